//! `donjon render`: files in memory, each by itself, declared so that a scan knows them.

use donjon_tests::donjon::Donjon;
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::Path,
    process::Command,
};

const VALUE: &str = "R7m/Aq2Lw&Zx'T9kVbN4cYp";

fn write(path: &Path, content: &str) {
    donjon_drivers::fs::replace(path, content.as_bytes()).expect("a temporary file can be written");
}

#[test]
fn each_template_becomes_a_file_in_memory_whatever_becomes_of_the_others() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], VALUE.as_bytes()).ok();
    let templates = tempfile::tempdir().expect("a temporary folder can be made");
    let memory = tempfile::tempdir_in("/dev/shm").expect("there is a tmpfs");
    let path = |name: &str| templates.path().join(name).display().to_string();
    let file = |name: &str| memory.path().join(name);
    let shown = |name: &str| file(name).display().to_string();
    write(&templates.path().join("my.cnf.html"), "[client]\npassword = \"{{ secret('database_password') }}\"\n");
    write(&templates.path().join("url"), "mysql://root:{{ secret('database_password', encoding='url') }}@h/d\n");
    write(&templates.path().join("bad"), "fine\n{{ secret('no_such_secret') }}\n");
    write(&file("bad"), "as it was");

    let all = [path("my.cnf.html"), path("bad"), path("url")];
    let files = [shown("my.cnf"), shown("bad"), shown("url")];
    let arguments: Vec<&str> =
        all.iter().zip(&files).flat_map(|(template, file)| [template.as_str(), "-o", file.as_str()]).collect();
    let arguments = [&["render", "--output", "json"][..], &arguments].concat();
    let ran = donjon.run(&arguments);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("line 2: there is no secret `no_such_secret`"), "{ran:?}");
    assert!(!ran.out.contains(VALUE) && !ran.err.contains(VALUE));
    let text = |name: &str| fs::read_to_string(file(name)).expect("it was written");
    assert_eq!(text("my.cnf"), format!("[client]\npassword = \"{VALUE}\"\n"), "nothing is escaped by itself");
    assert_eq!(text("url"), "mysql://root:R7m%2FAq2Lw%26Zx%27T9kVbN4cYp@h/d\n");
    assert_eq!(text("bad"), "as it was");
    let found = |name: &str| fs::metadata(file(name)).expect("it is there");
    assert_eq!(found("my.cnf").permissions().mode() & 0o777, 0o600);

    // Put right: what would not change is not touched.
    let before = (found("my.cnf").ino(), found("url").ino());
    write(&templates.path().join("bad"), "{{ secret('database_password', encoding='shell') }}");
    let again = donjon.run(&arguments).json();
    let states: Vec<&str> = again["files"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| file["state"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(states, ["unchanged", "written", "unchanged"]);
    assert_eq!((found("my.cnf").ino(), found("url").ino()), before);

    // A scan knows them as sinks; a copy is a finding.
    let scanned = donjon.run(&["scan", &memory.path().display().to_string()]);
    assert_eq!(scanned.code, 0, "{scanned:?}");
    assert!(scanned.out.contains("3 values are where they are declared to be"), "{scanned:?}");
    fs::copy(file("my.cnf"), file("copy")).expect("it can be copied");
    assert_eq!(donjon.run(&["scan", &memory.path().display().to_string()]).code, 7);

    let missing = donjon.run(&["render", &path("missing"), "-o", &shown("x")]).failed(2);
    assert!(missing.contains("cannot render") && missing.contains("is as it was"), "{missing}");

    // Not on a disk, unless that is asked for.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rendered-{}", std::process::id()));
    let on_disk = disk.display().to_string();
    let refused = donjon.run(&["render", &path("url"), "-o", &on_disk]).failed(2);
    assert!(refused.contains("would lie on a disk") && !disk.exists(), "{refused}");
    donjon.run(&["render", "--disk", "--mode", "0640", &path("url"), "-o", &on_disk]).ok();
    assert_eq!(fs::metadata(&disk).expect("it is there").permissions().mode() & 0o777, 0o640);
    // It stays whose it is, in a folder where nobody else makes files.
    std::os::unix::fs::chown(&disk, Some(1), Some(2)).expect("this is root");
    let value = b"another-value-for-the-file";
    donjon.run_with_input(&["put", "database_password"], value).ok();
    donjon.run(&["render", "--disk", "--mode", "0640", &path("url"), "-o", &on_disk]).ok();
    let found = fs::metadata(&disk).expect("it is there");
    assert_eq!((found.uid(), found.gid(), found.permissions().mode() & 0o777), (1, 2, 0o640));
    fs::remove_file(&disk).expect("it can be removed");
    // Whoever may make files there could have made it for himself.
    let theirs = memory.path().join("theirs");
    fs::set_permissions(memory.path(), PermissionsExt::from_mode(0o1777)).expect("it is ours");
    donjon_drivers::fs::replace(&theirs, b"").expect("it can be made");
    std::os::unix::fs::chown(&theirs, Some(1), Some(1)).expect("this is root");
    donjon.run(&["render", &path("url"), "-o", &theirs.display().to_string()]).ok();
    assert_eq!(fs::metadata(&theirs).expect("it is there").uid(), 0);
    fs::remove_file(&theirs).expect("it can be removed");
    fs::set_permissions(memory.path(), PermissionsExt::from_mode(0o700)).expect("it is ours");
    donjon.run(&["render", "--mode", "0644", &path("url"), "-o", &shown("x")]).failed(2);
    donjon.run(&["render", &path("url"), &path("bad"), "-o", &shown("x")]).failed(2);
}

#[test]
fn what_a_killed_run_left_is_gone_with_the_next() {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run_with_input(&["put", "database_password"], VALUE.as_bytes()).ok();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let [template, file] = ["template", "my.cnf"].map(|name| folder.path().join(name));
    // Longer than what a limit lets it write before the kernel kills it.
    write(&template, &format!("{{{{ secret('database_password') }}}}\n{}", "#\n".repeat(16 << 10)));
    let [template, shown] = [&template, &file].map(|path| path.display().to_string());
    let words = ["render", &template, "-o", &shown, "--disk", "--mode", "0640"];
    let killed = donjon.command_by(&["prlimit", "--fsize=16384"], &words).output().expect("prlimit is there");
    assert_eq!(killed.status.signal(), Some(rustix::process::Signal::XFSZ.as_raw()), "{killed:?}");
    let holding = || {
        let files = fs::read_dir(folder.path()).expect("it can be listed").map(|entry| entry.expect("one").path());
        let mut files: Vec<_> =
            files.filter(|path| fs::read_to_string(path).unwrap_or_default().contains(VALUE)).collect();
        files.sort_unstable();
        files
    };
    assert!(holding().len() == 1 && !file.exists(), "the control: it was cut off in the middle");
    donjon.run(&words).ok();
    assert_eq!(holding(), [file]);
}

/// What a command asked of the kernel, as `strace` tells it.
fn traced(donjon: &Donjon, log: &Path, words: &[&str]) -> (i32, Vec<String>) {
    let plain = donjon.command(&[]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=socket,connect,openat,execve", "-o"]).arg(log).arg("--");
    command.args(words).envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let code = command.output().expect("strace is there").status.code().unwrap_or(-1);
    (code, fs::read_to_string(log).expect("it was traced").lines().map(str::to_owned).collect())
}

/// Templates are text of somebody else's: none looks anything up, reads a file, starts a program or asks a network.
#[test]
fn a_template_asks_the_daemon_and_nobody_else() {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run_with_input(&["put", "database_password"], VALUE.as_bytes()).ok();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let memory = tempfile::tempdir_in("/dev/shm").expect("there is a tmpfs");
    let canary = folder.path().join("canary");
    write(&canary, "canary-4711");
    let (template, out, log) = (folder.path().join("t"), memory.path().join("out"), folder.path().join("log"));
    let program = donjon_tests::donjon::binary().display().to_string();
    let shown = |path: &Path| path.display().to_string();
    let render = [&program, "render", &shown(&template), "-o", &shown(&out)].map(str::to_owned);
    let render: Vec<&str> = render.iter().map(String::as_str).collect();

    let calls = |lines: &[String], call: &str| -> Vec<String> {
        lines.iter().filter(|line| line.contains(&format!("{call}("))).cloned().collect()
    };
    let socket = shown(&donjon.home().join("run/donjon.sock"));
    write(&template, "password = {{ secret('database_password') }}\n");
    let (code, plain) = traced(&donjon, &log, &render);
    assert_eq!(code, 0, "{plain:#?}");
    let connected = calls(&plain, "connect");
    assert!(
        connected.len() == 1 && connected[0].contains(&socket),
        "the control: the one way that is its own: {connected:?}"
    );
    assert!(
        calls(&plain, "openat").iter().any(|line| line.contains(&shown(&template))),
        "the control: it reads the template"
    );

    let file = shown(&canary);
    for hostile in [
        format!("{{% include '{file}' %}}"),
        format!("{{% import '{file}' as x %}}{{{{ x }}}}"),
        format!("{{% extends '{file}' %}}"),
        format!("{{% from '{file}' import x %}}"),
        format!("{{{{ lookup('file', '{file}') }}}}"),
        format!("{{{{ read_file('{file}') }}}}{{{{ open('{file}') }}}}"),
        "{{ lookup('pipe', 'id') }}".to_owned(),
        "{{ lookup('url', 'http://127.0.0.1:9/') }}".to_owned(),
        "{{ lookup('dig', 'donjon.example') }}{{ getHostByName('donjon.example') }}".to_owned(),
        "{{ env('HOME') }}{{ environ }}".to_owned(),
        "{{ ''.__class__.__mro__ }}".to_owned(),
        format!("{{{{ secret('{file}') }}}}"),
        "{{ secret('../../etc/passwd') }}".to_owned(),
        "{{ secret('http://127.0.0.1:9/') }}".to_owned(),
        // What looks harmless and is well-formed: nothing of it is resolved either.
        "{{ range(3) }}{{ 'donjon.example'|upper }}{{ secret('database_password')|length }}".to_owned(),
    ] {
        write(&template, &hostile);
        let (code, lines) = traced(&donjon, &log, &render);
        let well_formed = hostile.contains("range");
        assert_eq!(code == 0, well_formed, "{hostile}: {code}");
        for line in calls(&lines, "socket") {
            assert!(line.contains("socket(AF_UNIX"), "{hostile}: {line}");
        }
        assert!(calls(&lines, "connect").iter().all(|line| line.contains(&socket)), "{hostile}: {lines:#?}");
        assert_eq!(calls(&lines, "execve").len(), 1, "{hostile}: it starts nothing");
        assert!(
            !lines.iter().any(|line| line.contains("canary\"") || line.contains("resolv.conf")),
            "{hostile}: {lines:#?}"
        );
        assert!(!fs::read_to_string(&out).unwrap_or_default().contains("canary"), "{hostile}");
    }

    // The control: whoever does resolve, connect and read is seen so.
    let script = format!("import socket; open({file:?}); socket.create_connection(('127.0.0.1', 9))");
    let (_, lines) = traced(&donjon, &log, &["python3", "-c", &script]);
    assert!(calls(&lines, "socket").iter().any(|line| line.contains("AF_INET")), "the control: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("canary\"")), "the control: {lines:#?}");
}
