//! What is written whole is never open to another user, not for a moment: one who watches the folder tries each new name.

use donjon_drivers::fs::{self, Attributes, Standing};
use std::{
    fs::Permissions,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Opens whatever gets a name in the folder, as soon as the kernel tells of it, until its input ends.
const WATCH: &str = r#"
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.inotify_init1(os.O_NONBLOCK)
CREATED, MOVED, CHANGED = 0x100, 0x80, 0x4
folder = sys.argv[1]
assert libc.inotify_add_watch(watch, folder.encode(), CREATED | MOVED | CHANGED) >= 0, os.strerror(ctypes.get_errno())
opened = refused = early = gone = 0
print("watching", flush=True)
ended = False
while True:
    ready, _, _ = select.select([watch] if ended else [watch, 0], [], [], 0 if ended else 20)
    if not ready:
        break
    if watch in ready:
        told, at = os.read(watch, 1 << 16), 0
        while at < len(told):
            _, mask, _, length = struct.unpack_from("iIII", told, at)
            name = told[at + 16:at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length
            if not name:
                continue
            try:
                os.close(os.open(os.path.join(folder, name), os.O_RDONLY))
                opened += 1
            except PermissionError:
                refused += 1
                early += name.startswith(".")
            except FileNotFoundError:
                gone += 1
    elif 0 in ready:
        # All that was told before is tried.
        if os.read(0, 1):
            print("tried", flush=True)
        else:
            ended = True
print(opened, refused, early, gone)
"#;

/// A watcher of another user, at a folder that anybody may list.
struct Watcher(Child, BufReader<std::process::ChildStdout>);

/// How often it could open a file, was refused, was so before the file had the name that it is to have, and came too late.
#[derive(Debug)]
struct Tries {
    opened: u32,
    refused: u32,
    early: u32,
    gone: u32,
}

impl Watcher {
    fn at(folder: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "python3", "-c", WATCH]).arg(folder);
        // What is in a folder of the tester's own is out of its reach.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("setpriv is there");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "watching\n");
        Self(child, out)
    }

    /// Waits until it has tried what it was told of so far: the kernel remembers so many names and no more.
    fn tries(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        assert_eq!(line, "tried\n");
    }

    fn ends(mut self) -> Tries {
        drop(self.0.stdin.take());
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        assert!(self.0.wait().unwrap().success());
        let numbers: Vec<u32> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Tries { opened: numbers[0], refused: numbers[1], early: numbers[2], gone: numbers[3] }
    }
}

#[test]
fn another_user_opens_none_of_ten_thousand_rewrites() {
    // Nothing may rely on the umask.
    rustix::process::umask(rustix::fs::Mode::empty());
    let folder = tempfile::tempdir_in("/dev/shm").expect("there is a tmpfs");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut watcher = Watcher::at(folder.path());
    // A consumer's own file, given to its user; a group's; and those of nobody else.
    let consumer = Standing { mode: 0o600, uid: 42_425, gid: 42_425, attributes: Attributes::default() };
    // Long enough that it takes a while to be written.
    let content = vec![b'x'; 128 << 10];
    for n in 0..2_500_u32 {
        fs::replace(&at("own"), &content).unwrap();
        fs::replace_with_mode(&at("rendered"), &content, 0o600).unwrap();
        fs::replace_with_mode(&at("group"), &content, 0o640).unwrap();
        fs::replace_as(&at("consumer"), &content, &consumer).unwrap();
        if n % 50 == 0 {
            watcher.tries();
        }
    }
    let tries = watcher.ends();
    let Tries { opened, refused, early, gone } = tries;
    println!("{refused} tries refused, {early} of them on files that are being written; {gone} came too late");
    assert_eq!(opened, 0);
    assert!(refused > 1_000 && early > 10, "the control: it was there in time to be refused");

    // The control: a writer that makes the mode right afterwards is caught.
    let watcher = Watcher::at(folder.path());
    for n in 0..500 {
        let path = at(&format!("late-{n}"));
        let mut file = std::fs::OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
        file.write_all(&content).unwrap();
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    }
    let tries = watcher.ends();
    println!("a writer that is late: {tries:?}");
    assert!(tries.opened > 0, "the control: {tries:?}");
}
