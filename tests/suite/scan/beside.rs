//! A scan of the journal and of containers: a real journald's, and what the real podman says of a real container.

use super::recall::{VALUE, scanned};
use donjon_tests::{
    donjon::Donjon,
    podman::{Booted, Podman},
    process::write_program,
};
use serde_json::Value;

const OTHER: &str = "n0where/to be+Found";

/// Starts it, with three values.
fn filled(donjon: &Donjon) {
    donjon.up();
    for (name, value) in [("seeded", VALUE), ("bytes", BYTES), ("elsewhere", OTHER)] {
        donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }
}

/// The names of what was found in what a program printed.
fn found_in<'a>(report: &'a Value, is_it: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
    let findings = report["findings"].as_array().unwrap().iter();
    let there = findings.filter(|finding| finding["output"].as_str().is_some_and(is_it));
    there.map(|finding| finding["secret"].as_str().unwrap()).collect()
}

/// The journal is that of a host of its own, which the machine's `journalctl` cannot see: the daemon's asks there.
#[tokio::test]
async fn what_a_unit_has_logged_is_found_in_the_journal() {
    let host = Booted::start().await;
    let bin = tempfile::tempdir().unwrap();
    let ask = format!("#!/bin/sh\nexec podman --runtime runc exec {} journalctl \"$@\"\n", host.name());
    let path = bin.path().join("journalctl");
    write_program(&path, &ask);
    let mut donjon = Donjon::new();
    donjon.set("PATH", &format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap()));
    filled(&donjon);

    let logged = |unit: &str, text: &str| {
        // By standard input, as a service logs: an argument would be logged by systemd itself.
        donjon_drivers::fs::replace(&host.folder().join(unit), text.as_bytes()).unwrap();
        let command = format!("cat /test/{unit}");
        host.told(&["systemd-run", "--wait", "--quiet", &format!("--unit={unit}"), "sh", "-c", &command]);
        host.told(&["journalctl", "--sync"]);
        let read = host.told(&["journalctl", "--all", "--output=cat", &format!("--unit={unit}")]);
        assert!(read.contains(text), "the journal has it: {read:?}");
    };
    logged("clean", "started, and nothing to tell");
    let clean = scanned(&donjon, &["--journal"]);
    assert_eq!((&clean["found"], &clean["unsearched_count"]), (&0.into(), &0.into()), "{clean}");
    assert!(clean["bytes"].as_u64().unwrap() > 10_000, "the journal of a boot was read: {clean}");

    logged("plain", &format!("connecting with password={VALUE} to the database"));
    // What is no text to journald has a length before it instead of a line.
    logged("coloured", &format!("\u{1b}[31mfailed\u{1b}[0m\twith {BYTES}"));
    let report = scanned(&donjon, &["--journal"]);
    let mut found = found_in(&report, &|output| output.starts_with("journalctl "));
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, ["bytes", "seeded"], "{report}");
    assert_eq!(report["unsearched_count"], 0, "{report}");
}

#[tokio::test]
async fn what_podman_shows_of_a_container_is_found() {
    let donjon = Donjon::new();
    filled(&donjon);
    let clean = Podman::start(&["--env", "PASSWORD=none"], &["sleep", "600"]);
    let environment = Podman::start(&["--env", &format!("PASSWORD={VALUE}")], &["sleep", "600"]);
    let argument = Podman::start(&["--label", &format!("note={BYTES}")], &["sh", "-c", "sleep 600", VALUE]);
    let id = |container: &Podman| {
        let mut podman = std::process::Command::new("podman");
        let ran = podman.args(["inspect", "--format", "{{.Id}}", container.name()]).output().unwrap();
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let report = scanned(&donjon, &["--containers"]);
    let of = |container: &Podman| {
        let asked = format!("podman inspect {}", id(container));
        let mut found = found_in(&report, &|output| output == asked);
        found.sort_unstable();
        found.dedup();
        found
    };
    assert_eq!(of(&clean), [""; 0], "{report}");
    assert_eq!(of(&environment), ["seeded"], "{report}");
    assert_eq!(of(&argument), ["bytes", "seeded"], "{report}");
    assert!(found_in(&report, &|_| true).iter().all(|name| *name != "elsewhere"), "{report}");
}

const BYTES: &str = "zwölf Ähren \"grün\"";
