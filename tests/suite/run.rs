//! `donjon run` with values: in memory or in the environment, covered in what the command writes, its end passed through.

use donjon_tests::{
    donjon::{Donjon, end},
    process::wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{process::Stdio, time::Duration};

const GIVEN: &str = "g1ven by: \"a person\"";

fn with_secret() -> Donjon {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "given"], GIVEN.as_bytes()).ok();
    donjon.run_with_input(&["put", "binary"], b"zero\0byte").ok();
    donjon
}

#[test]
fn values_are_in_memory_or_the_environment_and_covered_in_the_output() {
    let donjon = with_secret();
    let sh = |options: &[&str], script: &str| donjon.run(&[&["run"], options, &["--", "sh", "-c", script]].concat());
    // The control: they are there to be seen.
    let shown = sh(
        &["--unmasked", "--file", "F=given", "--map", "V=given"],
        "cat $F; cat $F; printf %s \"$V\"; tr '\\0' ' ' < /proc/$$/cmdline",
    );
    assert!(shown.out.starts_with(&GIVEN.repeat(3)), "{shown:?}");
    assert_eq!(shown.out.matches("g1ven").count(), 3, "and not among the arguments");

    let script = "cat $F; echo; cat $F | base64; echo '>'$V'<' >&2; printf 'g1ven by: '; sleep 0.3; printf '\"a pers'; sleep 0.3; printf 'on\" then g1ven by'; exit 37";
    let ran = sh(&["--file", "F=given", "--map", "V=given"], script);
    assert_eq!(ran.code, 37, "{ran:?}");
    assert_eq!(ran.err, ">********<\n");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((lines[0], lines[2]), ("********", "******** then g1ven by"), "{ran:?}");
    assert!(lines[1].starts_with("********"), "{ran:?}");

    // Nobody can change it, and it reads whole each time.
    assert_eq!(sh(&["--file", "F=given"], "echo other > $F").code, 2);
    let read = sh(&["--file", "F=binary"], "cat $F | od -An -c | tr -d ' '; wc -c < $F");
    assert!(read.ok().contains('9'));
    let refused = sh(&["--map", "V=binary"], "true").failed(2);
    assert!(refused.contains("--file V=binary"), "{refused}");
    assert_eq!(sh(&["--map", "V=nowhere"], "echo ran").out, "", "nothing is started without its values");
    donjon.run(&["run", "--", "true"]).failed(2);
    donjon.run(&["run", "--map", "V=given", "--", "no-such-program"]).failed(4);
}

#[test]
fn signals_are_passed_on_and_a_signals_end_is_told() {
    let donjon = with_secret();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mark = folder.path().join("ready");
    let script = format!("trap 'exit 9' TERM; echo $$ > {}; while :; do sleep 0.1; done", mark.display());
    let mut command = donjon.command(&["run", "--map", "V=given", "--", "sh", "-c", &script]);
    let mut run = command.stdin(Stdio::null()).spawn().expect("donjon is built");
    let child = || std::fs::read_to_string(&mark).ok().and_then(|pid| pid.trim().parse::<i32>().ok());
    wait_for("the command to begin", Duration::from_secs(60), || child().is_some());
    let own = Pid::from_raw(run.id().cast_signed()).expect("it has an id");
    kill_process(own, Signal::TERM).expect("it runs");
    let ended = run.wait().expect("a child can be waited for");
    if ended.code() != Some(9) {
        end(child().expect("it has begun"), Signal::KILL);
    }
    assert_eq!(ended.code(), Some(9));
    assert_eq!(donjon.run(&["run", "--map", "V=given", "--", "sh", "-c", "kill -9 $$"]).code, 137);
}
