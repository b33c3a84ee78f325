//! A run is of one epoch: with the real daemon, and a secret that changes in the middle of a play.

use super::site::{Setting, Site};
use donjon_tests::donjon::{Donjon, binary};

#[test]
fn a_secret_that_changes_meanwhile_is_not_mixed_into_the_run() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"the-first-value-of-x").ok();
    let site = Site::of("epoch");
    let program = format!("donjon={}", binary().display());
    let arguments = ["-i", "localhost,", "-c", "local", "-e", &program, "site.yml"].map(str::to_owned);
    // Under `run --deploy` it does not change, and the run goes on to read what it began with.
    let kept = site.play(&donjon, Setting::Kept, &[], &arguments);
    assert!(kept.said.contains("before: 20") && kept.said.contains("a deployer run is under way"), "{}", kept.said);
    let masked = [("ANSIBLE_CALLBACKS_ENABLED", "donjon.broker.mask"), ("DONJON_MASK_SETTINGS", "warn")];
    let played = site.play(&donjon, Setting::Careless, &masked, &arguments);
    assert!(!played.ok, "{}", played.said);
    assert!(played.said.contains("before: 20"), "{}", played.said);
    let changed = "the secrets changed while this run was under way, which began at epoch 1";
    assert!(played.said.contains(changed), "{}", played.said);
    assert!(!played.said.contains("after: 21"));
}
