//! `donjon scan`: what lies in clear is found and named, in files and in a git history, and no value is ever printed.

mod beside;
mod bounded;
mod clean;
mod pending;
mod recall;
mod written;

use donjon_tests::donjon::Donjon;
use serde_json::Value;
use std::{fs, path::Path, process::Command};

const GIVEN: &str = "g1ven by a person: \"quoted\" & <more>";

fn with_secrets() -> Donjon {
    let donjon = Donjon::new();
    donjon.up();
    let wanted =
        ["database_password", "nova_database_password", "barbican_crypto_key", "haproxy_ssh_key", "rbd_secret_uuid"];
    donjon.run(&[&["generate", "--catalogue", "kolla-ansible"][..], &wanted].concat()).ok();
    donjon.run_with_input(&["put", "given"], GIVEN.as_bytes()).ok();
    donjon.run_with_input(&["put", "pin"], b"1234").ok();
    donjon
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    donjon_drivers::fs::replace(path, content.as_ref()).expect("a temporary file can be written");
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(arguments);
    let ended = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git is installed");
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn what_lies_in_clear_is_found_and_no_value_is_printed() {
    let donjon = with_secrets();
    let value = |name: &str| donjon.run(&["get", name]).ok();
    let (root, nova, key) = (value("database_password"), value("nova_database_password"), value("haproxy_ssh_key"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let top = folder.path();
    // The control: a folder that holds none of it is clean, though it holds names, a public key and an identifier.
    let public = donjon.run(&["get", "haproxy_ssh_key", "--part", "public-key"]).ok();
    write(
        &top.join("clean.yml"),
        format!("database_password: '{{{{ lookup }}}}'\nkey: {public}\nid: {}\n", value("rbd_secret_uuid")),
    );
    let clean = donjon.run(&["scan", &top.display().to_string()]);
    assert_eq!(clean.code, 0, "{clean:?}");
    assert!(clean.out.contains("not looked for: pin (its value is shorter than 8 bytes)"), "{clean:?}");
    assert!(clean.out.contains("not looked for: rbd_secret_uuid (it is an identifier)"), "{clean:?}");
    assert!(clean.out.contains("looked for 5 secrets in 1 files"), "{clean:?}");

    // config-download: a repository in which a value was committed, and removed by the next run.
    let repository = top.join("config-download");
    fs::create_dir(&repository).expect("a folder can be made");
    git(&repository, &["init", "--quiet"]);
    write(&repository.join("group_vars"), format!("mysql_root_password: {root}\n"));
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "-m", "one"]);
    write(&repository.join("group_vars"), "mysql_root_password: '{{ lookup }}'\n");
    git(&repository, &["commit", "--quiet", "-a", "-m", "two"]);
    let indented: String = key.lines().map(|line| format!("    {line}\n")).collect();
    write(&top.join("key.yml"), format!("private_key: |\n{indented}"));
    write(&top.join("facts.json"), serde_json::json!({"ansible_facts": {"given": GIVEN}}).to_string());
    write(&top.join("dump"), format!("binlog {}", hex::encode(&nova)));

    let ran = donjon.run(&["scan", "--output", "json", &top.display().to_string()]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let reply: Value = serde_json::from_str(&ran.out).expect("it prints JSON");
    let findings = reply["report"]["findings"].as_array().expect("a list");
    let told: Vec<[&str; 3]> = findings
        .iter()
        .map(|f| ["secret", "encoding", "path"].map(|key| f[key].as_str().unwrap_or_default()))
        .map(|[secret, encoding, path]| [secret, encoding, path.rsplit('/').next().unwrap_or_default()])
        .collect();
    let mut sorted = told.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ["database_password", "raw", "group_vars"],
            ["given", "json", "facts.json"],
            ["haproxy_ssh_key", "raw", "key.yml"],
            ["nova_database_password", "hex", "dump"],
        ]
    );
    let in_history = findings.iter().find(|f| f["object"].is_string()).expect("the history holds one");
    assert!(in_history["commit"].is_string() && in_history["kind"] == "blob", "{in_history}");
    let people = donjon.run(&["scan", &top.display().to_string()]);
    assert_eq!(people.code, 7);
    let log = donjon.log();
    for printed in [&ran.out, &ran.err, &people.out, &people.err, &log] {
        for secret in
            [&root[..20], &nova[..20], &hex::encode(&nova)[..20], key.lines().nth(20).expect("a line"), "g1ven"]
        {
            assert!(!printed.contains(secret), "a value was printed");
        }
    }
}

#[test]
fn previous_values_are_looked_for_and_a_place_out_of_reach_is_told() {
    let donjon = with_secrets();
    let old = donjon.run(&["get", "database_password"]).ok();
    // Stored twice, it is one value.
    for _ in 0..2 {
        donjon.run_with_input(&["put", "database_password"], b"another-value-0123456789").ok();
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    write(&folder.path().join("old"), &old);
    write(&folder.path().join("new"), "another-value-0123456789");
    let ran = donjon.run(&["scan", &folder.path().display().to_string()]);
    assert_eq!(ran.code, 7, "{ran:?}");
    let rows: Vec<Vec<&str>> =
        ran.out.lines().skip(1).take(2).map(|row| row.split_whitespace().take(2).collect()).collect();
    assert_eq!(rows, [["database_password", "current"], ["database_password", "previous"]]);
    assert!(ran.err.contains("in 2 places"), "{ran:?}");

    let missing = donjon.run(&["scan", "/nowhere/at/all"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.out.contains("could not look at /nowhere/at/all: No such file"), "{missing:?}");
}
