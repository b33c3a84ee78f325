//! `donjon adopt`: real deployers' files move in, values survive exactly, and what is left behind holds none of them.

mod deployers;
mod odd;
mod split;

use donjon_tests::{donjon::Donjon, process::write_program, tools};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

pub(super) fn python(arguments: &[&str]) -> String {
    let ran = Command::new(tools::program("python3")).args(arguments).output().expect("python is there");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("it prints text")
}

fn script() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/suite/adopt/python.py").to_owned()
}

fn write(path: &Path, content: &str) {
    donjon_drivers::fs::replace(path, content.as_bytes()).expect("a temporary file can be written");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// kolla-ansible's own passwords.yml, filled by its own kolla-genpwd: a value for every name, without comments.
pub(super) fn kolla(folder: &Path) -> PathBuf {
    let tool = tools::program("kolla-genpwd");
    let sample = tool.ancestors().nth(2).expect("a venv").join("share/kolla-ansible/etc_examples/kolla/passwords.yml");
    let file = folder.join("passwords.yml");
    write(&file, &fs::read_to_string(sample).expect("it is in the package"));
    let made = Command::new(tool).arg("-p").arg(&file).output().expect("it is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file
}

pub(super) fn read(file: &Path) -> Value {
    serde_json::from_str(&python(&[&script(), "read", &file.display().to_string()])).expect("it prints JSON")
}

#[test]
fn kollas_passwords_move_in_and_references_stand_in_their_place() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = kolla(folder.path());
    let original = mode(&file);
    assert_eq!(original, 0o640, "as kolla-genpwd leaves it");
    // What an operator writes into it.
    let made = fs::read_to_string(&file).expect("it is there");
    let text = format!("---\n# Of the cluster.\n{}", made.replacen("\ndatabase_", "\n\n# Root's.\ndatabase_", 1));
    donjon_drivers::fs::replace_with_mode(&file, text.as_bytes(), original).expect("it is ours");
    let text = text.into_bytes();
    let before = read(&file);
    let path = file.display().to_string();
    let root = before["database_password"].as_str().expect("kolla-genpwd made it").to_owned();

    let planned = donjon.run(&["adopt", &path, "--plan", "--output", "json"]).json();
    assert_eq!((&planned["format"], &planned["planned"]), (&json!("kolla-ansible"), &json!(true)));
    assert_eq!(donjon.run(&["list", "--output", "json"]).json()["secrets"], json!([]), "a plan stores nothing");

    let adopted = donjon.run(&["adopt", &path, "--replace", "--output", "json"]);
    assert!(!adopted.out.contains(&root) && !adopted.err.contains(&root));
    let adopted = adopted.json();
    let given = adopted["secrets"].as_array().expect("a list");
    assert_eq!(adopted["verified"], json!(given.len()));
    assert!(given.len() > 95, "{}", given.len());
    // The daemon has compared them all; a consumer reads each pair and each tenth of the rest.
    for (at, secret) in given.iter().enumerate() {
        let (name, written) = (secret["name"].as_str().expect("a name"), secret["written"].as_str().expect("a name"));
        let whole = before[written].as_str();
        let expected = whole.or(before[written]["private_key"].as_str()).expect("a value or a pair").to_owned();
        if at % 10 != 0 && before[written].is_string() {
            continue;
        }
        assert_eq!(donjon.run(&["get", name]).ok(), expected, "{name}");
    }
    let public = donjon.run(&["get", "nova_ssh_key", "--part", "public-key"]).ok();
    assert_eq!(json!(public), before["nova_ssh_key"]["public_key"]);

    // The file: no value is left, comments and order are, and the original is beside it.
    let after = fs::read_to_string(&file).expect("it is there");
    let scanned = donjon.run(&["scan", &path]);
    assert_eq!(scanned.code, 0, "{scanned:?}");
    assert!(after.starts_with("---\n# Of the cluster.\naodh_") && after.contains("\n\n# Root's.\ndatabase_password: "));
    assert_eq!(read(&file)["database_password"], json!("{{ lookup('donjon.broker.secret', 'database_password') }}"));
    let kept = folder.path().join(".passwords.yml.donjon-adopted");
    assert_eq!((fs::read(&kept).expect("it is kept"), mode(&kept)), (text.clone(), original));

    // A file of references may be written anew, with the mode that it has; one of values is not written over, nor one with words of
    // somebody's.
    let refused = donjon.run(&["wire", "kolla", "-o", &path]).failed(5);
    assert!(refused.contains("comments") && fs::read_to_string(&file).expect("it is there") == after, "{refused}");
    let references: String =
        after.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    donjon_drivers::fs::replace_with_mode(&file, references.as_bytes(), 0o640).expect("it is ours");
    donjon.run(&["wire", "kolla", "-o", &path]).ok();
    assert_eq!(mode(&file), 0o640);

    // Undone, and done again: nothing is stored twice, and what was added meanwhile is kept beside.
    let more = format!("{after}new_after_upgrade: brand-new-value\n");
    write(&file, &more);
    let undone = donjon.run(&["adopt", &path, "--undo"]).ok();
    assert!(undone.contains("its values stay in the store too"), "{undone}");
    assert_eq!(fs::read(&file).expect("it is there"), text);
    assert_eq!(fs::read_to_string(folder.path().join(".passwords.yml.donjon-undone")).expect("it is kept"), more);
    let refused = donjon.run(&["wire", "kolla", "-o", &path]).failed(5);
    assert!(refused.contains("adopt") && fs::read(&file).expect("it is there") == text, "{refused}");
    // The only file is never erased.
    let refused = donjon.run(&["adopt", &path, "--confirm"]).failed(2);
    assert!(refused.contains("--replace") && file.exists(), "{refused}");
    let again = donjon.run(&["adopt", &path, "--replace", "--output", "json"]).json();
    assert!(again["secrets"].as_array().expect("a list").iter().all(|secret| secret["standing"] == "same"));

    // Confirmed only while the store has it all; a witness sees that it is overwritten.
    let witness = folder.path().join("witness");
    fs::hard_link(&kept, &witness).expect("a link can be made");
    donjon.run_with_input(&["put", "database_password"], b"another-value-than-before").ok();
    let refused = donjon.run(&["adopt", &path, "--confirm"]).failed(5);
    assert!(refused.contains("`database_password` is not in the store as the file has it"), "{refused}");
    assert!(kept.exists());
    donjon.run_with_input(&["put", "database_password"], root.as_bytes()).ok();
    let confirmed = donjon.run(&["adopt", &path, "--confirm"]).ok();
    assert!(confirmed.contains("snapshots, backups"), "{confirmed}");
    assert!(!kept.exists() && file.exists());
    let again = donjon.run(&["adopt", &path, "--confirm"]).ok();
    assert!(again.contains("it was confirmed before; nothing to do") && file.exists(), "{again}");
    assert!(fs::read(&witness).expect("it is there").iter().all(|byte| *byte == 0));
    assert!(!donjon.log().contains(&root));
}

#[test]
fn what_stands_out_is_told_and_a_file_with_mistakes_stores_nothing() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("passwords.yaml");
    let path = file.display().to_string();
    let long = "R7mAq2LwZxT9kVbN4cYpH8sJ";
    write(
        &file,
        &format!(
            "parameter_defaults:\n  MysqlRootPassword: aB3dE6gH9k\n  NovaPassword: {long}\n  HeatPassword: {long}\n  \
             NeutronPasword: {long}x\n  Mine: {long}z\n  MineToo: {long}z\n  ControllerCount: 3\n  AdminToken: {long}y\n"
        ),
    );
    let said = donjon.run(&["adopt", &path]).ok();
    for expected in [
        "weak: `MysqlRootPassword` has 10 characters, 59 bits at best",
        "reused: NovaPassword, HeatPassword have one value; split them: donjon rotate apply HeatPassword",
        "reused: Mine, MineToo have one value; split them: donjon put MineToo, and the same where it is used",
        "unknown: `NeutronPasword` is not in the catalogue of tripleo, so nothing rotates it; did you mean `NeutronPassword`?",
        "shared: `NovaPassword` feeds 2 credentials (mariadb, keystone)",
        "ControllerCount",
        "KeystonePassword",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    assert!(!said.contains(long) && !said.contains("aB3dE6gH9k"));
    assert_eq!(donjon.run(&["get", "KeystonePassword"]).ok(), format!("{long}y"), "an older name");

    // Another value in the store is a conflict, unless it is to be stored over; then the other is the version before.
    write(&file, "parameter_defaults:\n  NovaPassword: another-value\n  GlancePassword: not-yet-there\n");
    let refused = donjon.run(&["adopt", &path]).failed(5);
    assert!(refused.contains("`NovaPassword` has another value in the store"), "{refused}");
    assert_eq!(donjon.run(&["get", "GlancePassword"]).code, 4, "nothing was stored");
    donjon.run(&["adopt", &path, "--overwrite", "--split", "GlancePassword=GlanceDatabasePassword"]).ok();
    assert_eq!(donjon.run(&["get", "NovaPassword", "--version", "previous"]).ok(), long);
    assert_eq!(donjon.run(&["get", "GlanceDatabasePassword"]).ok(), "not-yet-there");

    write(&file, "parameter_defaults:\n  SwiftPassword: canary-one\n  GlancePassword: 0123\n  NovaPassword: yes\n");
    let refused = donjon.run(&["adopt", &path]).failed(2);
    assert!(refused.contains("line 3") && refused.contains("line 4") && !refused.contains("0123"), "{refused}");
    assert_eq!(donjon.run(&["get", "SwiftPassword"]).code, 4);
    assert!(donjon.run(&["audit", "verify"]).code == 0);
}

#[test]
fn openstack_ansibles_secrets_and_a_vault_move_in() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("user_secrets.yml");
    let path = file.display().to_string();
    write(
        &file,
        "---\n## Galera\ngalera_root_password: 5f4dcc3b5aa765d61d8327deb882cf99 # made by pw-token-gen.py\nkeystone_auth_admin_password:\n",
    );
    let password = folder.path().join("vault-password");
    write(&password, "a vault's password\n");
    let vault = tools::program("ansible-vault").display().to_string();
    python(&[&vault, "encrypt", "--vault-password-file", &password.display().to_string(), &path]);
    assert!(fs::read_to_string(&file).expect("it is there").starts_with("$ANSIBLE_VAULT;1.1;AES256"));

    let asked = donjon.run(&["adopt", &path]).failed(2);
    assert!(asked.contains("--vault-password-file"), "{asked}");
    let wrong = folder.path().join("wrong");
    write(&wrong, "another\n");
    let refused = donjon.run(&["adopt", &path, "--vault-password-file", &wrong.display().to_string()]).failed(2);
    assert!(refused.contains("none of the passwords opens"), "{refused}");
    // One that can be executed prints it, as for Ansible.
    let program = folder.path().join("program");
    let text = format!("#!/bin/sh\ncat {}\n", password.display());
    write_program(&program, &text);
    let adopt =
        |what| ["adopt", &path, what, "--vault-password-file", &program.display().to_string()].map(str::to_owned);
    let run = |what| donjon.run(&adopt(what).each_ref().map(String::as_str)).ok();
    let planned = run("--plan");
    assert!(planned.contains("--replace leaves the comments out, as they are sealed: lines 2, 3\n"), "{planned}");
    let replaced = run("--replace");
    assert!(replaced.contains("the comments are left out, as they were sealed: lines 2, 3;"), "{replaced}");
    assert_eq!(donjon.run(&["get", "galera_root_password"]).ok(), "5f4dcc3b5aa765d61d8327deb882cf99");
    assert_eq!(
        fs::read_to_string(&file).expect("it is there"),
        "---\ngalera_root_password: \"{{ lookup('donjon.broker.secret', 'galera_root_password') }}\"\nkeystone_auth_admin_password:\n"
    );
    run("--confirm");
}

#[test]
fn what_is_put_back_after_a_rotation_is_told() {
    let (donjon, folder) = (Donjon::new(), tempfile::tempdir().expect("a folder"));
    donjon.run(&["up", "--store", "file"]).ok();
    let file = folder.path().join("passwords.yml");
    let path = file.display().to_string();
    let text = "database_password: the-old-root-password-4711\nrabbitmq_password: the-old-rabbit-password-4711\n";
    let replace = || {
        write(&file, text);
        donjon.run(&["adopt", &path, "--format", "kolla", "--replace", "--overwrite"]).ok();
    };
    replace();
    donjon.run_with_input(&["put", "database_password"], b"the-new-root-password-4711").ok();
    let undone = donjon.run(&["adopt", &path, "--format", "kolla", "--undo"]).ok();
    assert!(undone.contains("these have other values by now: database_password\n"), "{undone}");
    assert!(undone.contains("the deployer is not to run with this file"), "{undone}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
    // Nobody to ask is no reason to leave it.
    replace();
    donjon.kill_daemon();
    let undone = donjon.run(&["adopt", &path, "--format", "kolla", "--undo"]).ok();
    assert!(undone.contains("could not be seen"), "{undone}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
}
