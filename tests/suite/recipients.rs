//! Recipients come and go, and what those who go have seen is told and rotated.

use super::overcloud::DEPLOYMENT;
use donjon_tests::{donjon::Donjon, process::write_program};
use serde_json::Value;
use std::{path::PathBuf, process::Command};

const SITES: &str = "  cache: {reads: [memcache_secret_key]}
sites:
  edge1: {roles: [keystone, cache], recipients: []}
  edge2: {roles: [cache], recipients: []}
";

struct Place {
    donjon: Donjon,
    files: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { donjon: Donjon::new(), files: tempfile::tempdir().unwrap() };
        place.donjon.describe(&format!("{DEPLOYMENT}{SITES}"));
        place.donjon.up();
        for (name, value) in [("keystone_database_password", "s3cret-4711"), ("memcache_secret_key", "shared-4711")] {
            place.donjon.run_with_input(&["put", name], value.as_bytes()).ok();
        }
        place
    }

    fn recipient() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn export(&self, site: &str, role: &str) -> Value {
        let file = self.path(&format!("{site}-{role}")).display().to_string();
        let export = ["export", "bundle", "--site", site, "--role", role, "-o", &file, "--output", "json"];
        self.donjon.run(&export).json()
    }

    fn names(value: &Value, list: &str, key: &str) -> Vec<String> {
        let list = value[list].as_array().unwrap();
        list.iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn who_is_removed_opens_nothing_new_and_what_it_has_seen_is_rotated() {
    let place = Place::new();
    let (stays, goes) = (Place::recipient(), Place::recipient());
    let file = place.path("x").display().to_string();
    let nobody = place.donjon.run(&["export", "bundle", "--site", "edge1", "--role", "cache", "-o", &file]);
    assert!(nobody.failed(2).contains("no recipient was given"));
    place.donjon.run(&["recipients", "add", &goes, "--name", "compute7", "--site", "edge1"]).ok();
    place.donjon.run(&["recipients", "add", "age1nonsense", "--site", "edge1"]).failed(2);
    let error = place.donjon.run(&["recipients", "add", &stays, "--name", "compute7", "--site", "edge1"]).failed(5);
    assert!(error.contains("another recipient has the name `compute7`"), "{error}");
    assert!(place.donjon.run(&["recipients", "add", &Place::recipient(), "--name", "bob"]).ok().contains("--site"));
    place.donjon.run(&["recipients", "add", &stays, "--site", "edge9"]).failed(4);
    assert_eq!(place.export("edge1", "keystone")["bundle"]["recipients"], 1);
    place.donjon.run(&["recipients", "add", &stays, "--site", "edge1"]).ok();
    assert_eq!(place.export("edge1", "cache")["bundle"]["recipients"], 2);

    let removed = place.donjon.run(&["recipients", "remove", "compute7", "--output", "json"]).json();
    let mut seen = Place::names(&removed, "exposed", "name");
    seen.sort();
    assert_eq!(seen, ["keystone.database.connection", "memcache_secret_key"]);
    let mut secrets = Place::names(&removed, "secrets", "secret");
    secrets.sort();
    assert_eq!(secrets, ["keystone_database_password", "memcache_secret_key"], "a view is what it is made of");
    assert_eq!(removed["rotations"][0]["secrets"][0]["secret"], "memcache_secret_key");
    assert_eq!(removed["left"][0]["secret"], "keystone_database_password", "no target is described");
    assert!(!removed.to_string().contains("4711"));
    assert_eq!(place.export("edge1", "cache")["bundle"]["recipients"], 1);
    let alone = ["export", "bundle", "--site", "edge2", "--role", "cache", "--recipient", &goes, "-o", &file];
    let error = place.donjon.run(&alone).failed(2);
    assert!(error.contains("every recipient that was given or declared has been removed"), "{error}");
    let capitals = goes.to_uppercase();
    let alone = ["export", "bundle", "--site", "edge2", "--role", "cache", "--recipient", &capitals, "-o", &file];
    assert!(place.donjon.run(&alone).failed(2).contains("has been removed"), "however it is written");
    // Also for a daemon that comes later.
    place.donjon.kill_daemon();
    place.donjon.up();
    assert_eq!(place.export("edge1", "cache")["bundle"]["recipients"], 1, "after a restart");
    let listed = place.donjon.run(&["recipients", "list"]).ok();
    assert!(listed.contains("compute7") && listed.contains(&stays), "{listed}");

    let plan = place.donjon.run(&["rotate", "plan", "--exposed-to", "compute7"]).ok();
    assert!(plan.contains("memcache_secret_key"), "{plan}");
    place.donjon.run(&["rotate", "apply", "--exposed-to", "compute7"]).failed(8);
    let waits = place.donjon.run(&["rotate", "apply", "--exposed-to", "compute7", "--accept-outage"]).failed(13);
    assert!(waits.contains("edge1"), "{waits}");
    place.donjon.run(&["rotate", "resume", "--leave", "edge1"]).ok();
    let again = place.donjon.run(&["rotate", "plan", "--exposed-to", "compute7", "--output", "json"]).json();
    assert_eq!(again["rotations"].as_array().unwrap().len(), 0, "it is replaced: {again}");
    place.donjon.run(&["rotate", "plan", "--exposed-to", "nobody"]).failed(4);
}

#[test]
fn who_saw_a_value_before_it_was_published_has_seen_what_is_served() {
    let mut place = Place::new();
    let custodian = Place::recipient();
    place.donjon.kill_daemon();
    place.donjon.set("FAILPOINTS", "rotation.pending-written=return");
    place.donjon.up();
    place.donjon.unset("FAILPOINTS");
    let apply = ["rotate", "apply", "memcache_secret_key", "--accept-outage"];
    assert_eq!(place.donjon.run(&apply).code, 6);
    place.donjon.up();
    let file = place.path("everything").display().to_string();
    place.donjon.run(&["export", "bundle", "--custodians", "--recipient", &custodian, "-o", &file]).ok();
    let in_use = || {
        let removed = place.donjon.run(&["recipients", "remove", &custodian, "--output", "json"]).json();
        let exposed = removed["exposed"].as_array().unwrap().clone();
        let of = exposed.into_iter().find(|one| one["name"] == "memcache_secret_key").unwrap();
        (of["in_use"].as_bool().unwrap(), of["version"].as_u64().unwrap())
    };
    // The old value is served still, and the new one is about to be.
    assert_eq!(in_use(), (true, 2));
    place.donjon.run(&["rotate", "resume"]).ok();
    assert_eq!(in_use(), (true, 2), "what was pending is served now");
    let removed = place.donjon.run(&["recipients", "remove", &custodian]).ok();
    assert!(removed.contains("to rotate: memcache_secret_key"), "{removed}");
    place.donjon.run(&apply).ok();
    assert_eq!(in_use(), (false, 2), "nobody has seen what is served now");
}

#[test]
fn a_custodian_who_leaves_with_the_next_key_is_told_of() {
    let place = Place::new();
    let (with, without) = (Place::recipient(), Place::recipient());
    for (recipient, more) in [(&without, None), (&with, Some("--with-heir"))] {
        let file = place.path(more.unwrap_or("without")).display().to_string();
        let words = ["export", "bundle", "--custodians", "--recipient", recipient, "-o", &file];
        place.donjon.run(&words.into_iter().chain(more).collect::<Vec<_>>()).ok();
    }
    let removed = |recipient: &str| place.donjon.run(&["recipients", "remove", recipient]).ok();
    let can_sign = "it had the key that is to sign after this one";
    assert!(!removed(&without).contains(can_sign));
    assert!(removed(&with).contains(can_sign));
    place.donjon.run(&["rotate", "signing-key"]).ok();
    assert!(!removed(&with).contains(can_sign), "that key is named no more");
}

#[test]
fn a_site_that_leaves_is_waited_for_no_more() {
    let place = Place::new();
    for site in ["edge1", "edge2"] {
        let name = format!("{site}-node");
        place.donjon.run(&["recipients", "add", &Place::recipient(), "--name", &name, "--site", site]).ok();
        place.export(site, "cache");
    }
    let apply = ["rotate", "apply", "memcache_secret_key", "--accept-outage"];
    let waits = place.donjon.run(&apply).failed(13);
    assert!(waits.contains("edge1") && waits.contains("edge2"), "{waits}");
    let retired = place.donjon.run(&["retire-host", "edge1", "--output", "json"]).json();
    assert_eq!(retired["recipients"].as_array().unwrap().len(), 1);
    assert_eq!(retired["bundles"][0], "site `edge1`, role `cache`");
    assert_eq!(Place::names(&retired, "exposed", "name"), ["memcache_secret_key"]);
    let waits = place.donjon.run(&["rotate", "resume"]).failed(13);
    assert!(!waits.contains("edge1") && waits.contains("edge2"), "{waits}");
    place.donjon.run(&["retire-host", "edge2"]).ok();
    place.donjon.run(&["rotate", "resume"]).ok();
    place.donjon.run(&["retire-host", "nobody"]).failed(4);
    let audit = std::fs::read_to_string(place.donjon.home().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"retire\"") && audit.contains("\"recipients\""), "both acts are in the log");
}

#[test]
fn what_is_to_be_typed_after_a_site_or_a_host_has_left_knows_it_by_that_name() {
    let place = Place::new();
    // Keys that have no names.
    for (site, host) in [("edge1", Some("ctl9")), ("edge2", None)] {
        let (file, key) = (place.path(site).display().to_string(), Place::recipient());
        let words = ["export", "bundle", "--site", site, "--role", "cache", "--recipient", &key, "-o", &file];
        let host = host.map(|host| ["--host", host]);
        place.donjon.run(&words.into_iter().chain(host.into_iter().flatten()).collect::<Vec<_>>()).ok();
        let listed = place.donjon.run(&["recipients", "list", "--output", "json"]).json();
        let row = listed["recipients"].as_array().unwrap().iter().find(|row| row["recipient"] == *key).unwrap();
        assert_eq!(row["sites"][0], site, "what it has is of there");
    }
    for name in ["ctl9", "edge2"] {
        let told = place.donjon.run(&["retire-host", name]).ok();
        let next = told.lines().find_map(|line| line.strip_prefix("next: donjon rotate apply ")).expect("what is next");
        let words: Vec<&str> = ["rotate", "plan", "--output", "json"].into_iter().chain(next.split(' ')).collect();
        let planned = place.donjon.run(&words).json();
        assert_eq!(planned["rotations"][0]["secrets"][0]["secret"], "memcache_secret_key", "{name}: {planned}");
    }
}

/// A recipient and an identity that age's own tools hand to the program `age-plugin-canary`.
const PLUGIN: [&str; 2] = ["age1canary1dpjkcmr0a67058", "AGE-PLUGIN-CANARY-1DPJKCMR0LQAZM8"];

#[test]
fn no_recipient_and_no_identity_starts_a_program() {
    let place = Place::new();
    let (plugin, ran, log) = (place.path("age-plugin-canary"), place.path("ran"), place.path("strace"));
    let script = format!("#!/bin/sh\ntouch {}\n", ran.display());
    write_program(&plugin, &script);
    let identity = place.path("identity");
    donjon_drivers::fs::replace(&identity, format!("{}\n", PLUGIN[1]).as_bytes()).unwrap();
    let search = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", place.files.path().display());
    let mut age = Command::new("age");
    age.args(["-r", PLUGIN[0], "-o", "/dev/null", "/dev/null"]).env("PATH", &search);
    assert!(!age.output().expect("age is there").status.success() && ran.exists(), "the control: age starts it");
    std::fs::remove_file(&ran).unwrap();

    // The daemon, which parses recipients, and commands, which parse identities.
    let folder = place.path("folder").display().to_string();
    let (identity, bundle) = (identity.display().to_string(), place.path("bundle").display().to_string());
    place.donjon.run(&["down", "--force", "--no-search"]).ok();
    let odd =
        [PLUGIN[0], PLUGIN[1], "age1../../canary", "ssh-ed25519 AAAAC3Nz", "age1$(touch ran)", "-", "@/etc/passwd"];
    let mut script = "set -u\ndonjon up --store file >&2\n".to_owned();
    for recipient in odd {
        script += &format!("donjon recipients add --site edge1 -- '{recipient}'; echo $?\n");
        script += &format!("donjon export bundle --custodians -o '{bundle}' --recipient='{recipient}'; echo $?\n");
    }
    script += &format!("donjon import '{bundle}' -i '{identity}' --into '{folder}'; echo $?\n");
    script += &format!("donjon unseal -i '{identity}'; echo $?\ndonjon down --force --no-search >&2\n");
    let plain = place.donjon.command(&[]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "trace=execve", "-o"]).arg(&log).args(["sh", "-c", &script]);
    traced.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let bin = donjon_tests::donjon::binary().parent().unwrap().display().to_string();
    let output = traced.env("PATH", format!("{bin}:{search}")).output().expect("strace is there");
    let codes = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(codes.lines().count() == 16 && codes.lines().all(|code| code != "0"), "{codes}{told}");
    assert!(!ran.exists());
    let log = std::fs::read_to_string(&log).unwrap();
    let started = |line: &&str| line.contains("execve(") && !line.contains("/donjon\"") && !line.contains("= -1");
    let others: Vec<&str> = log.lines().filter(started).collect();
    assert!(others.iter().all(|line| line.contains("/sh\"")), "{others:#?}");
    assert!(log.contains("\"recipients\""), "the control: what is started is seen");
}

#[test]
fn a_sites_bundle_ends_and_that_is_told_before_and_the_custodians_is_for_good() {
    let place = Place::new();
    let file = place.path("x").display().to_string();
    let recipient = Place::recipient();
    let days = |asked: &[&str]| {
        let export = ["export", "bundle", "--recipient", &recipient, "-o", &file, "--output", "json"];
        let exported = place.donjon.run(&[&export[..], asked].concat()).json();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        (exported["bundle"]["not_after"].as_u64().unwrap() - now).div_ceil(86_400)
    };
    let status = || place.donjon.run(&["status"]).ok();
    let site = ["--site", "edge1", "--role", "cache"];
    assert_eq!((days(&site), days(&["--custodians"])), (400, 36_500));
    assert!(!status().contains("good until"), "{}", status());
    assert_eq!(days(&[&site[..], &["--days", "29"]].concat()), 29);
    assert!(status().contains("warning: the bundle for site `edge1`, role `cache` is good until "), "{}", status());
}
