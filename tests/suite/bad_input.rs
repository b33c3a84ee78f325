//! What people type wrong and what breaks around them: each a clear error, its exit code, and nothing lost.

use donjon_tests::{
    donjon::{Donjon, Ran, binary},
    process::copy_program,
};
use std::{os::unix::fs::PermissionsExt, process::Command};

#[test]
fn nobody_listens() {
    let donjon = Donjon::new();
    for arguments in [&["get", "x"][..], &["list"], &["rotate", "status"], &["history", "x"]] {
        donjon.run(arguments).failed(6);
    }
    // As with `vault status`, whatever is wrong there is 1.
    donjon.run(&["status"]).failed(1);
}

#[test]
fn what_is_put_by_mistake_is_refused_or_told() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run(&["put", "database_password"]).failed(2);
    assert_eq!(donjon.run(&["get", "database_password"]).code, 4, "a value of no bytes is not stored by mistake");
    donjon.run(&["put", "database_password", "--empty"]).ok();
    let told = donjon.run_with_input(&["put", "database_pasword"], b"a-value-long-enough").ok();
    assert!(told.contains("note: `database_pasword` is new") && told.contains("`database_password`"), "{told}");
    let told = donjon.run_with_input(&["put", "database_password"], b"a-value-long-enough").ok();
    assert!(told.contains("no server was changed"), "{told}");
    // What is refused for its file has stored nothing.
    donjon.describe("deployment: [\n");
    donjon.run_with_input(&["put", "database_password"], b"another-value-long-enough").failed(2);
    donjon.describe("deployment: default\n");
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), "a-value-long-enough");
}

#[test]
fn an_unknown_name_has_the_nearest_one() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], b"a-value-long-enough").ok();
    let error = donjon.run(&["get", "database_pasword"]).failed(4);
    assert!(error.contains("`database_password`"), "{error}");
    let error = donjon.run(&["generate", "--catalogue", "kola-ansible"]).failed(2);
    assert!(error.contains("kolla-ansible"), "{error}");
    let error = donjon.run(&["generate", "nova_pasword", "--catalogue", "kolla-ansible"]).failed(4);
    assert!(error.contains("nova_"), "{error}");
    donjon.run(&["get", "../escape"]).failed(2);
    donjon.run(&["get", "database_password", "--version", "7"]).failed(4);
    donjon.run(&["get", "database_password", "--version", "previous"]).failed(4);
}

#[test]
fn a_malformed_deployment_file_is_told_with_its_lines_and_nothing_starts() {
    let donjon = Donjon::new();
    donjon.describe("deployment: site1\nservices:\n  web: {driver: systemd, hosts: [nowhere], batch: 0}\n");
    let error = donjon.run(&["up"]).failed(2);
    assert!(error.contains("nowhere") && error.contains("batch 0"), "every mistake at once: {error}");
    donjon.describe("deployment: [\n");
    let error = donjon.run(&["up"]).failed(2);
    assert!(error.contains("line"), "{error}");
    // What cannot be read, what does not hang together, and what a driver does not understand.
    donjon.describe(
        "deployment: site1\ntrial: soon\ntargets:\n  db:\n    driver: mariadb\n    nodes: [{name: a, address: b, prot: 1}]\n\
         services:\n  web: {driver: systemd, unit: w, hosts: [nowhere]}\n",
    );
    for words in [&["up"][..], &["config", "show"], &["config", "get", "trial"]] {
        let error = donjon.run(words).failed(2);
        for part in ["line 2", "`nowhere`", "did you mean `port`?"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    // What was left out for its form lacks nowhere else.
    donjon.describe("deployment: site1\ntargets:\n  db:\n    driver: mariadb\n    nodes: 1.5\n");
    let error = donjon.run(&["config", "show"]).failed(2);
    assert!(error.contains("at line 4") && !error.contains("  2: "), "{error}");
    assert_eq!(donjon.daemon(), None);
}

#[test]
fn the_socket_of_another_user_is_out_of_reach() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    let as_nobody = || {
        // Nobody may not enter this test's own build folder; the binary is reached through a copy.
        let copy = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let program = copy.path().join("donjon");
        copy_program(&binary(), &program);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).arg(&program);
        let asked = ["get", "x"];
        let output = command.args(asked).env("DONJON_HOME", donjon.home()).output().expect("setpriv is there");
        assert!(output.stdout.is_empty(), "{output:?}");
        Ran::of(&asked, output)
    };
    as_nobody().failed(3);
    // Even where the folders are open, the kernel says who asks.
    for folder in [donjon.home().to_path_buf(), donjon.home().join("run")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    std::fs::set_permissions(donjon.home().join("run/donjon.sock"), std::fs::Permissions::from_mode(0o777))
        .expect("ours");
    let error = as_nobody().failed(3);
    assert!(error.contains("may not ask this daemon"), "{error}");
    std::fs::set_permissions(donjon.home(), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    std::fs::set_permissions(donjon.home().join("run"), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
}

#[test]
fn a_second_daemon_in_one_home_is_refused_and_a_second_up_finds_the_first() {
    let donjon = Donjon::new();
    donjon.up();
    let first = donjon.daemon();
    donjon.run(&["up", "--foreground"]).failed(5);
    assert!(donjon.run(&["up"]).ok().contains("already"));
    assert_eq!(donjon.daemon(), first);
}

#[test]
fn a_home_that_others_can_enter_is_refused() {
    let donjon = Donjon::new();
    std::fs::set_permissions(donjon.home(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let error = donjon.run(&["up"]).failed(1);
    assert!(error.contains("755"), "{error}");
    std::fs::set_permissions(donjon.home(), std::fs::Permissions::from_mode(0o700)).expect("it is ours");
}

#[test]
fn what_must_not_change_is_refused_by_name() {
    let donjon = Donjon::new();
    donjon.up();
    let error = donjon.run(&["rotate", "apply", "cinder_rbd_secret_uuid"]).failed(8);
    assert!(error.contains("lose data"), "{error}");
    let costly = donjon.run(&["rotate", "apply", "memcache_secret_key"]).failed(8);
    assert!(costly.contains("--accept-outage"), "{costly}");
    donjon.run(&["rotate", "apply"]).failed(2);
}

#[test]
fn a_value_survives_exactly_and_nothing_is_an_argument() {
    let donjon = Donjon::new();
    donjon.up();
    for (name, value) in [
        ("a", &b"$#'\"\\ \t%@:/"[..]),
        ("b", b"\xff\x00\xfe"),
        ("c", b""),
        ("d", b"two\nlines"),
        ("e", "ü€\u{1f512}".as_bytes()),
    ] {
        donjon.run_with_input(&["put", name, "--empty"], value).ok();
        let mut command = donjon.command(&["get", name]);
        assert_eq!(command.output().expect("donjon is built").stdout, value, "{name}");
    }
    assert_eq!(donjon.run(&["put", "a", "a-value-as-an-argument"]).code, 2);
}
