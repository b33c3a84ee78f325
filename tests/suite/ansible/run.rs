//! `donjon run --deploy`: the deployer's exit code, the epoch that its lookups are pinned to, and rotations that wait.

use super::site::{Setting, Site};
use donjon_tests::{
    donjon::{Donjon, binary},
    process::wait_for,
};
use std::{process::Stdio, time::Duration};

fn donjon() -> Donjon {
    let donjon = Donjon::new();
    donjon.describe("deployment: test\ncatalogue: kolla-ansible\n");
    donjon.up();
    donjon
}

#[test]
fn it_becomes_the_deployer() {
    let donjon = donjon();
    let ran =
        donjon.run(&["run", "--deploy", "--", "sh", "-c", "echo $DONJON_EPOCH $ANSIBLE_CALLBACKS_ENABLED; exit 7"]);
    assert_eq!((ran.code, ran.out.as_str()), (7, "0 donjon.broker.mask\n"), "{}", ran.err);
    let said = donjon.run(&["run", "--deploy", "--", "no-such-deployer"]).failed(4);
    assert!(said.contains("cannot run no-such-deployer"), "{said}");
    donjon.run(&["run", "--", "true"]).failed(2);
}

#[test]
fn rotations_wait_for_a_deployer_and_its_death_lets_them_go_on() {
    let donjon = donjon();
    donjon.run(&["rotate", "resume"]).ok();
    let mut deployer = donjon.command(&["run", "--deploy", "--", "sleep", "600"]);
    let mut deployer = deployer.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the run to begin", Duration::from_secs(20), || donjon.run(&["rotate", "resume"]).code == 13);
    let said = donjon.run(&["rotate", "resume"]).failed(13);
    assert!(said.contains("a deployer run is under way"), "{said}");
    // A second deployer may run beside it.
    donjon.run(&["run", "--deploy", "--", "true"]).ok();
    deployer.kill().unwrap();
    deployer.wait().unwrap();
    wait_for("rotations to be let go", Duration::from_secs(20), || donjon.run(&["rotate", "resume"]).code == 0);
    donjon.run(&["audit", "verify"]).ok();
}

#[test]
fn a_secret_that_changes_meanwhile_is_not_mixed_into_the_run() {
    let donjon = donjon();
    donjon.run_with_input(&["put", "x"], b"the-first-value-of-x").ok();
    let site = Site::of("epoch");
    let program = format!("donjon={}", binary().display());
    let played = site.play(
        &donjon,
        Setting::Kept,
        &[],
        &["-i", "localhost,", "-c", "local", "-e", &program, "site.yml"].map(str::to_owned),
    );
    assert!(!played.ok, "{}", played.said);
    assert!(played.said.contains("before: 20"), "{}", played.said);
    assert!(
        played.said.contains("the secrets changed while this run was under way, which began at epoch 1"),
        "{}",
        played.said
    );
    assert!(!played.said.contains("after: 21"));
}
