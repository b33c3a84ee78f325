//! `donjon generate` on a real store: two at once, a kill in the middle, progress, and what is refused.

use donjon_tests::{donjon::Donjon, process::wait_for};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    time::Duration,
};

fn names(of: &Value) -> Vec<&str> {
    of.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn started(donjon: &Donjon, arguments: &[&str]) -> Child {
    let mut command = donjon.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("donjon is built: `cargo build --workspace`")
}

fn ended(child: Child) -> Value {
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

#[test]
fn two_at_once_make_one_value_each() {
    let donjon = Donjon::new();
    donjon.up();
    let arguments = ["generate", "--catalogue", "tripleo", "--output", "json"];
    let (one, other) = (started(&donjon, &arguments), started(&donjon, &arguments));
    let (one, other) = (ended(one), ended(other));
    let (made_by_one, made_by_other) = (names(&one["made"]), names(&other["made"]));
    assert!(made_by_one.iter().all(|name| !made_by_other.contains(name)), "{one} {other}");
    let mut both = [made_by_one.clone(), made_by_other.clone()].concat();
    both.sort_unstable();
    let told: Vec<&str> = [&one, &other].iter().flat_map(|of| names(&of["present"])).collect();
    assert!(told.iter().all(|name| both.contains(name)), "what one did not make the other did");

    let listed = donjon.run(&["list", "--output", "json"]).json();
    let listed: BTreeMap<&str, u64> = listed["secrets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| (s["name"].as_str().expect("a name"), s["version"].as_u64().expect("a number")))
        .collect();
    assert!(listed.keys().copied().eq(both.iter().copied()), "{listed:?} {both:?}");
    assert!(listed.values().all(|version| *version == 1), "{listed:?}");
    assert!(listed.len() >= 50);
}

/// Whether a daemon has threads that make key pairs.
fn makes_pairs(daemon: i32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{daemon}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).any(|name| name == "key pairs\n")
}

#[test]
fn key_pairs_are_begun_where_there_is_nothing_yet_and_only_there() {
    let donjon = Donjon::new();
    donjon.up();
    let daemon = donjon.daemon().expect("it runs");
    wait_for("key pairs to be begun", Duration::from_secs(10), || makes_pairs(daemon));
    donjon.run_with_input(&["put", "database_password"], b"a-value-of-some-length").ok();
    donjon.kill_daemon();
    donjon.up();
    // `list` is answered after the daemon has looked.
    donjon.run(&["list"]).ok();
    assert!(!makes_pairs(donjon.daemon().expect("it runs")));
}

#[test]
fn a_kill_in_the_middle_loses_nothing_and_is_made_up_for() {
    let donjon = Donjon::new();
    donjon.up();
    let run = started(&donjon, &["generate", "--catalogue", "kolla-ansible"]);
    // Letters are stored within a fraction of a second, key pairs take longer: there is a middle.
    let stored = || donjon.run(&["list", "--output", "json"]).json()["secrets"].as_array().map_or(0, Vec::len);
    wait_for("some secrets are stored", Duration::from_secs(30), || stored() >= 10);
    donjon.kill_daemon();
    let cut_off = run.wait_with_output().expect("a child can be waited for");
    assert!(!cut_off.status.success(), "the command tells that the daemon went away: {cut_off:?}");
    donjon.up();
    let before: Vec<(String, String)> = {
        let listed = donjon.run(&["list", "--output", "json"]).json();
        let names = listed["secrets"].as_array().cloned().unwrap_or_default();
        let name = |s: &Value| s["name"].as_str().unwrap_or_default().to_owned();
        names.iter().map(|s| (name(s), donjon.run(&["get", &name(s)]).ok())).collect()
    };
    assert!(before.len() < 104, "all was made before the kill");
    let again = donjon.run(&["generate", "--catalogue", "kolla-ansible", "--output", "json"]).json();
    assert_eq!(names(&again["made"]).len() + names(&again["present"]).len(), 104);
    assert!(names(&again["present"]).len() >= before.len());
    for (name, value) in before {
        assert_eq!(donjon.run(&["get", &name]).ok(), value, "{name} changed");
    }
    let third = donjon.run(&["generate", "--catalogue", "kolla-ansible"]);
    let lines: Vec<&str> = third.out.lines().collect();
    assert_eq!(lines[0], "made 0 secrets; 104 were there already", "{third:?}");
    assert_eq!(lines[2], "a person supplies `docker_registry_password`: donjon put docker_registry_password");
}

#[test]
fn one_that_is_named_is_made_and_told_on_the_way() {
    let donjon = Donjon::new();
    donjon.up();
    let ran = donjon.run(&["generate", "--catalogue", "kolla-ansible", "database_password", "keystone_ssh_key"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "made 2 secrets; 0 were there already\n"), "{ran:?}");
    assert_eq!(ran.err, "2 of 2 done\n");
    assert_eq!(donjon.run(&["get", "database_password"]).ok().len(), 40);
    assert!(donjon.run(&["get", "keystone_ssh_key", "--part", "public-key"]).ok().starts_with("ssh-rsa "));
    let refused =
        donjon.run(&["generate", "--catalogue", "kolla-ansible", "docker_registry_password", "nope"]).failed(4);
    assert!(refused.contains("1: `docker_registry_password` is supplied by a person"), "{refused}");
    assert!(refused.contains("2: the catalogue has no secret `nope`"), "{refused}");
    assert!(refused.contains("state: nothing was made"), "{refused}");
}

#[test]
fn a_catalogue_of_ones_own_is_read_or_every_mistake_in_it_is_told() {
    let donjon = Donjon::new();
    donjon.up();
    let file = donjon.home().join("own.yaml");
    let path = file.display().to_string();
    let write = |text: &str| donjon_drivers::fs::replace(&file, text.as_bytes()).expect("the home can be written");
    write(
        "deployer: own\nrecipe: hex 32\nclasses:\n  shared-secret: { credentials: [{ target: consumers, strategy: together, phase: 1 }] }\nsecrets:\n  one: { class: shared-secret }\n  two: { class: shared-secret, recipe: fernet }\n",
    );
    let made = donjon.run(&["generate", "--catalogue", &path, "--output", "json"]).json();
    assert_eq!(names(&made["made"]), ["one", "two"]);
    write("deployer: own\nsecrets:\n  one: { class: nonesuch }\n  two: { recipe: hexx 32 }\n");
    let error = donjon.run(&["generate", "--catalogue", &path]).failed(2);
    assert!(error.contains("own.yaml:3:") && error.contains("own.yaml:4:"), "{error}");
    let error = donjon.run(&["generate", "--catalogue", "./not-there.yaml"]).failed(2);
    assert!(error.contains("not-there.yaml"), "{error}");
}
