//! A deployer's run: one epoch, no rotation meanwhile, its own exit code.

use donjon_tests::{
    donjon::{Donjon, end},
    process::wait_for,
};
use rustix::process::Signal;
use std::{process::Stdio, time::Duration};

#[test]
fn rotations_wait_for_a_deployer_and_its_exit_code_passes_through() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], b"a-value-long-enough").ok();
    let said =
        donjon.run(&["run", "--deploy", "--", "sh", "-c", "echo $DONJON_EPOCH $ANSIBLE_CALLBACKS_ENABLED; exit 37"]);
    assert_eq!(said.code, 37, "{said:?}");
    assert!(said.out.starts_with("1 donjon.broker.mask"), "{said:?}");
    // It becomes the deployer, so that a signal is the deployer's own end too: 137 to a shell, no code to a parent.
    assert_eq!(donjon.run(&["run", "--deploy", "--", "sh", "-c", "kill -9 $$"]).code, -1);
    let missing = donjon.run(&["run", "--deploy", "--", "no-such-program"]);
    assert!(missing.code != 0 && missing.err.contains("no-such-program"), "{missing:?}");

    // Whoever the deployer starts, as another user too, has no connection of the owner's.
    let open = donjon
        .run(&["run", "--deploy", "--", "sh", "-c", "for fd in /proc/self/fd/*; do readlink $fd; done; true"])
        .ok();
    assert!(open.contains("pipe:") && !open.contains("socket:"), "{open}");
    // What it leaves behind does not keep rotations waiting.
    let left = donjon.run(&["run", "--deploy", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).ok();
    wait_for("the lease to end with the deployer", Duration::from_secs(60), || {
        donjon.run(&["rotate", "resume"]).code == 0
    });
    end(left.trim().parse().expect("it still runs"), Signal::KILL);

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mark = folder.path().join("runs");
    let script = format!("echo $$ > {}; exec sleep 60", mark.display());
    let mut command = donjon.command(&["run", "--deploy", "--", "sh", "-c", &script]);
    let mut run = command.stdin(Stdio::null()).spawn().expect("donjon is built");
    let child = || std::fs::read_to_string(&mark).ok().and_then(|pid| pid.trim().parse::<i32>().ok());
    wait_for("the run to begin", Duration::from_secs(60), || child().is_some());
    let waiting = donjon.run(&["rotate", "resume"]).failed(13);
    assert!(waiting.contains("deployer"), "{waiting}");
    // Nor does anything else move the epoch under it; what is there already may be asked for again.
    let own = folder.path().join("user_secrets.yml");
    donjon_drivers::fs::replace(&own, b"galera_root_password: a-value-long-enough\n").expect("it can be written");
    let refused = donjon.run_with_input(&["put", "x"], b"a-value-long-enough").failed(13);
    assert!(refused.contains("nothing was stored"), "{refused}");
    donjon.run(&["generate", "--catalogue", "kolla-ansible"]).failed(13);
    donjon.run(&["adopt", &own.display().to_string()]).failed(13);
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), "a-value-long-enough");
    // Nothing takes its secrets away from under it, forced or not.
    for down in [&["down"][..], &["down", "--force"], &["down", "--force", "--no-search"]] {
        let refused = donjon.run(down).failed(13);
        assert!(
            refused.contains("a deployer run is under way") && refused.contains("nothing was changed"),
            "{refused}"
        );
    }
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), "a-value-long-enough");
    // However it ends: the kernel ends its lease with it.
    run.kill().expect("it runs");
    run.wait().expect("a child can be waited for");
    end(child().expect("it has begun"), Signal::KILL);
    wait_for("the lease to end", Duration::from_secs(60), || donjon.run(&["rotate", "resume"]).code == 0);
}

#[test]
fn what_a_deployer_is_about_to_ask_for_is_read_while_it_starts_and_handed_to_nobody() {
    let donjon = Donjon::new();
    donjon.up();
    for name in ["a", "b", "c"] {
        donjon.run_with_input(&["put", name], b"a-value-long-enough").ok();
    }
    let kept = || donjon.run(&["status", "--output", "json"]).json()["memory"]["kept"].clone();
    let reads = || {
        let log = std::fs::read_to_string(donjon.home().join("audit.jsonl")).expect("there is an audit log");
        log.lines().filter(|line| line.contains(r#""act":"read""#)).count()
    };
    assert_eq!(kept(), 0, "the control: nobody has asked for anything");
    let mut command = donjon.command(&["run", "--deploy", "--", "sleep", "60"]);
    let mut run = command.stdin(Stdio::null()).spawn().expect("donjon is built");
    wait_for("the values to be read", Duration::from_secs(20), || kept() == 3);
    assert_eq!(reads(), 0, "nobody was given one");
    donjon.run(&["get", "a"]).ok();
    assert_eq!(reads(), 1, "the control");
    run.kill().expect("it runs");
    run.wait().expect("a child can be waited for");
}
