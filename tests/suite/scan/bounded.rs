//! A scan holds a little of what it reads, however long that is; and it is told of how much it is behind.

use super::{recall::VALUE, write};
use donjon_tests::{
    donjon::Donjon,
    process::{forget_peak, memory, wait_for},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// A text of many lines, words and runs of white space, with a value at its very end. Each line is another one.
fn long(file: &Path) {
    let script = format!(
        "BEGIN {{ for (n = 0; n < {LINES}; n++) printf \"%08d a b\\tc  some words of a line, and = signs: %d\\\\\\n\", n, n * 7 }}"
    );
    let made = Command::new("awk").arg(script).stdout(file_at(file)).stdin(Stdio::null()).status().unwrap();
    assert!(made.success());
    let mut end = fs::OpenOptions::new().append(true).open(file).unwrap();
    std::io::Write::write_all(&mut end, format!("\npassword={VALUE}\n").as_bytes()).unwrap();
}

fn file_at(path: &Path) -> fs::File {
    write(path, "");
    fs::OpenOptions::new().write(true).open(path).unwrap()
}

#[test]
fn a_long_file_is_not_held_in_memory_packed_or_not() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "seeded"], VALUE.as_bytes()).ok();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (plain, packed) = (folder.path().join("plain"), folder.path().join("plain.gz"));
    long(&plain);
    let length = fs::metadata(&plain).unwrap().len();
    assert!(length > 90 << 20, "{length}");
    let gzip = Command::new("gzip").args(["-1", "--keep"]).arg(&plain).status().unwrap();
    assert!(gzip.success() && packed.exists());

    // The control: a process that holds all of it is seen to.
    let script = "import sys; text = open(sys.argv[1], 'rb').read(); print(len(text), flush=True); sys.stdin.read()";
    let mut python = Command::new("python3");
    let python = python.args(["-c", script]).arg(&plain).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = python.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), length.to_string());
    assert!(memory(holder.id()).1 > length, "the control: it is seen who holds it");
    drop(holder.stdin.take());
    holder.wait().unwrap();

    let daemon = u32::try_from(donjon.daemon().unwrap()).unwrap();
    // Once before: what a first scan needs of the program is in memory from then on.
    donjon.run(&["scan", "/etc/hostname"]);
    for (file, key) in [(&plain, "path"), (&packed, "member")] {
        forget_peak(daemon);
        let (before, _) = memory(daemon);
        let ran = donjon.run(&["scan", "--output", "json", &file.display().to_string()]);
        let (_, most) = memory(daemon);
        assert_eq!(ran.code, 7, "{ran:?}");
        let reply: Value = serde_json::from_str(&ran.out).unwrap();
        let finding = &reply["report"]["findings"][0];
        assert!(
            finding[key].is_string() && finding["offset"].as_u64().unwrap() > length - 100,
            "to the end: {finding}"
        );
        // What was there before may be given back in between.
        let took = most.saturating_sub(before);
        assert!(took < MOST_HELD, "the daemon took {took} bytes for {length}");
    }
    a_bar_is_drawn(&donjon, folder.path());
}

/// On a terminal, which `script` is: two of three files.
fn a_bar_is_drawn(donjon: &Donjon, folder: &Path) {
    write(&folder.join("a-short-one"), "nothing");
    let command = donjon.command(&["scan", &folder.display().to_string()]);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let typed = folder.join("typed");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" ")]).arg(&typed);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let ran = script.env("TERM", "xterm").stdin(Stdio::null()).output().unwrap();
    assert_eq!(ran.status.code(), Some(7), "{ran:?}");
    wait_for("what was typed to be written", Duration::from_secs(10), || typed.exists());
    let shown = String::from_utf8_lossy(&fs::read(&typed).unwrap()).into_owned();
    assert!(shown.contains(" 1/") && shown.contains("MB;"), "{shown:?}");
}

const LINES: usize = 1_800_000;
/// Of a hundred million bytes: what a scan may take for its window, its needles and what it reads into.
const MOST_HELD: u64 = 16 << 20;
