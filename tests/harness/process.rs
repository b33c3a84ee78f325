//! A child that ends with the test: by its own id, and by the kernel where the test itself is killed.

use rustix::process::{Pid, Signal};
use std::{
    ffi::OsStr,
    io::{self, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A command whose process the kernel kills when the thread that starts it ends.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Writes a program that is to be run. Another process does: what another thread starts meanwhile would hold the file that
/// is written open for a moment, and one that somebody could write to is run by no kernel (ETXTBSY).
pub fn write_program(path: &Path, text: &str) {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$1.new\" && chmod 700 \"$1.new\" && mv \"$1.new\" \"$1\"", "sh"]).arg(path);
    let mut writer = writer.stdin(Stdio::piped()).spawn().expect("there is a shell");
    writer.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    assert!(writer.wait().expect("it ends").success(), "cannot write {}", path.display());
}

/// Copies a program that is to be run there, by another process for the same reason.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().expect("there is cp");
    assert!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
}

/// A process that stands still until this is dropped.
#[derive(Debug)]
pub struct Standing(Pid);

impl Standing {
    /// Stops it.
    pub fn still(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).expect("it is a process");
        rustix::process::kill_process(pid, Signal::STOP).expect("it is ours");
        Self(pid)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        // It may have been killed as it stood.
        let _ = rustix::process::kill_process(self.0, Signal::CONT);
    }
}

/// Ends the child when dropped.
#[derive(Debug)]
pub struct Guard(Child);

impl From<Child> for Guard {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Guard {
    /// Starts a command.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        rustix::process::kill_process(id.ok_or(io::ErrorKind::InvalidInput)?, signal).map_err(Into::into)
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        // It may have ended by itself; what matters is that it is gone and reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process has in memory now, and had at most since it began or since that was forgotten, in bytes.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// From now on, the most that a process has had in memory counts anew.
pub fn forget_peak(pid: u32) {
    let path = format!("/proc/{pid}/clear_refs");
    let refs = rustix::fs::open(path, rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty()).expect("it runs");
    rustix::io::write(refs, b"5").expect("it is this user's");
}

/// Polls a condition, and panics with `what` when it does not come true within the bound.
pub fn wait_for(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < end, "waited {} s in vain: {what}", within.as_secs());
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a bounded condition")]
        std::thread::sleep(Duration::from_millis(10));
    }
}
