//! Files as deployers' own generators write them move in with every name there is, and a password is typed at a terminal.

use super::{python, read, write};
use donjon_policies::catalogue::Catalogue;
use donjon_tests::{
    donjon::{Donjon, binary},
    tools,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn script() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/suite/adopt/deployers.py").to_owned()
}

/// What a generator made, by name.
fn made(arguments: &[&str]) -> Value {
    serde_json::from_str(&python(&[&[&*script()], arguments].concat())).expect("it prints JSON")
}

/// Whether the store has all that was made, to the byte; how many secrets that are.
fn all_there(donjon: &Donjon, made: &Value, secrets: &Value) -> usize {
    let secrets = secrets.as_array().expect("a list");
    for secret in secrets {
        let (name, written) = (secret["name"].as_str().expect("a name"), secret["written"].as_str().expect("a name"));
        let got = donjon.run(&["get", name]).ok();
        match &made[written] {
            Value::String(value) => assert_eq!(&got, value, "{name}"),
            Value::Object(pair) if pair.contains_key("private_key") => {
                assert_eq!(json!(got), pair["private_key"], "{name}");
                let public = donjon.run(&["get", name, "--part", "public-key"]).ok();
                assert_eq!(json!(public), pair["public_key"], "{name}");
            }
            Value::Object(keys) => {
                let number = |path: &str| path.rsplit('/').next().expect("a last part").to_owned();
                let expected = keys.iter().map(|(path, key)| (number(path), key["content"].clone())).collect();
                let got: Value = serde_json::from_str(&got).expect("keys by their numbers");
                assert_eq!(got, Value::Object(expected), "{name}");
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => panic!("{name}: {other}"),
        }
    }
    let written: BTreeSet<&str> = secrets.iter().filter_map(|secret| secret["written"].as_str()).collect();
    let names: BTreeSet<&str> = made.as_object().expect("names").keys().map(String::as_str).collect();
    assert_eq!(written, names, "every name is taken");
    secrets.len()
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).expect("it is there")
}

#[test]
fn every_name_of_a_generated_user_secrets_yml_moves_in() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("user_secrets.yml").display().to_string();
    // Each name of the release, those too that an operator uncomments: suite: catalogues holds the list against the release's.
    let catalogue = Catalogue::named("openstack-ansible").expect("it is built in");
    let older = catalogue.older_names().map(|name| name.as_str());
    let names: Vec<&str> = catalogue.current().map(|entry| entry.name.as_str()).chain(older).collect();
    let made = made(&[&["user-secrets", &path][..], &names].concat());
    let file = Path::new(&path);

    let adopted = donjon.run(&["adopt", &path, "--replace", "--output", "json"]).json();
    assert_eq!((&adopted["format"], &adopted["left"]), (&json!("openstack-ansible"), &json!([])));
    assert_eq!(adopted["survey"]["unknown"], json!([]), "the catalogue knows each");
    assert_eq!(all_there(&donjon, &made, &adopted["secrets"]), names.len());
    assert!(names.len() > 130, "{}", names.len());
    let after = read(file);
    for (name, value) in after.as_object().expect("names") {
        assert_eq!(*value, json!(format!("{{{{ lookup('donjon.broker.secret', '{name}') }}}}")));
    }
    assert_eq!(donjon.run(&["scan", &path]).code, 0);
    donjon.run(&["adopt", &path, "--confirm"]).ok();
    assert!(!folder.path().join(".user_secrets.yml.donjon-adopted").exists());
}

#[test]
fn every_password_of_a_generated_overcloud_environment_moves_in() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("tripleo-overcloud-passwords.yaml");
    let path = file.display().to_string();
    let made = made(&["overcloud", &path]);
    let adopted = donjon.run(&["adopt", &path, "--replace", "--output", "json"]).json();
    assert_eq!((&adopted["format"], &adopted["left"]), (&json!("tripleo"), &json!([])));
    assert_eq!((&adopted["survey"]["unknown"], &adopted["stays"]), (&json!([]), &json!([])));
    assert_eq!(all_there(&donjon, &made, &adopted["secrets"]), 52);
    let after = fs::read_to_string(&file).expect("it is there");
    assert!(after.matches("DONJON_REF_").count() > 40, "{after}");
    let texts = made.as_object().expect("names").values().filter_map(Value::as_str);
    assert!(texts.chain(made["MigrationSshKey"]["public_key"].as_str()).all(|value| !after.contains(value)), "{after}");
    assert_eq!(donjon.run(&["scan", &path]).code, 0);
    donjon.run(&["adopt", &path, "--confirm"]).ok();
    assert!(!folder.path().join(".tripleo-overcloud-passwords.yaml.donjon-adopted").exists());
}

#[test]
fn a_plan_export_moves_in_and_nothing_in_it_is_replaced() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("overcloud.tar.gz");
    let path = file.display().to_string();
    let files = folder.path().join("plan").display().to_string();
    let made = made(&["plan", &path, &files]);
    let before = bytes(&file);

    let refused = donjon.run(&["adopt", &path, "--replace"]).failed(2);
    assert!(refused.contains("what is in an archive cannot be replaced"), "{refused}");
    let refused = donjon.run(&["adopt", &path, "--confirm"]).failed(5);
    assert!(refused.contains("is not erased") && refused.contains("not in the store as the file has it"), "{refused}");
    assert_eq!(donjon.run(&["list", "--output", "json"]).json()["secrets"], json!([]), "nothing was stored");
    assert!(bytes(&file) == before, "the archive is as it was");

    let said = donjon.run(&["adopt", &path]).ok();
    assert!(said.contains("nothing in an archive is replaced") && !said.contains("--replace puts"), "{said}");
    let adopted = donjon.run(&["adopt", &path, "--output", "json"]).json();
    assert_eq!((&adopted["format"], &adopted["survey"]["unknown"]), (&json!("tripleo"), &json!([])));
    // A plan of another name that lies in a folder of it gives nothing.
    assert_eq!(all_there(&donjon, &made, &adopted["secrets"]), 64);
    let said = adopted.to_string() + &said;
    assert!(made.as_object().expect("names").values().filter_map(Value::as_str).all(|value| !said.contains(value)));
    assert!(bytes(&file) == before, "the archive is as it was");
    assert_eq!(donjon.run(&["adopt", &path, "--undo"]).code, 4, "there is nothing to put back");
    // It is erased where the store has all that its plan held, and stays where that held anything else.
    donjon.run(&["adopt", &path, "--confirm"]).ok();
    assert!(!file.exists());

    // The plan itself, unpacked, becomes one of references.
    let plan = folder.path().join("plan/plan-environment.yaml");
    let unpacked = plan.display().to_string();
    let adopted = donjon.run(&["adopt", &unpacked, "--replace", "--output", "json"]).json();
    assert_eq!(adopted["left"], json!([]));
    assert_eq!(adopted["stays"], json!([]), "older names have a placeholder, too");
    let after = fs::read_to_string(&plan).expect("it is there");
    for (name, value) in made.as_object().expect("names") {
        assert!(value.as_str().is_none_or(|value| !after.contains(value)), "{name}");
    }
    assert!(after.contains("PankoPassword: \"DONJON_REF_PankoPassword_END\""), "{after}");
    assert!(
        after.contains("overcloud-resource-registry-puppet.yaml") && after.contains("name: overcloud\n"),
        "{after}"
    );
    donjon.run(&["adopt", &unpacked, "--confirm"]).ok();

    python(&[&script(), "plan", &path, &files, r#"{"NtpServer": "ntp.example"}"#]);
    donjon.run(&["adopt", &path, "--overwrite"]).ok();
    let refused = donjon.run(&["adopt", &path, "--confirm"]).failed(2);
    assert!(refused.contains("is not erased") && file.exists(), "{refused}");
}

/// Runs a command on a terminal of its own; its code, and what stood there once the password was typed.
fn on_terminal(donjon: &Donjon, password: &str, words: &[&str]) -> (i64, String) {
    let real = donjon.command(&[]);
    let mut terminal = Command::new(tools::program("python3"));
    terminal.args([&*script(), "typed", password]).args(words).env_remove("DONJON_SOCKET");
    terminal.envs(real.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = terminal.output().expect("python is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told: Value = serde_json::from_slice(&ran.stdout).expect("it prints JSON");
    assert_eq!(told["typed"], true, "it was asked: {told}");
    (told["code"].as_i64().expect("a code"), told["said"].as_str().expect("a text").to_owned())
}

#[test]
fn a_vaults_password_is_typed_at_the_prompt_and_is_not_seen() {
    let donjon = Donjon::new();
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("passwords.yml");
    let path = file.display().to_string();
    write(&file, "database_password: the-value-in-the-vault\n");
    let (right, wrong) = ("correct h\u{f6}rse $4711", "another-horse-4712");
    let password = folder.path().join("password");
    write(&password, right);
    let vault = tools::program("ansible-vault").display().to_string();
    python(&[&vault, "encrypt", "--vault-password-file", &password.display().to_string(), &path]);
    let sealed = bytes(&file);
    let (_, shown) = on_terminal(&donjon, right, &["--echoing", "sh", "-c", "printf 'password: '; read it"]);
    assert!(shown.contains(right), "the control: what echoes is seen: {shown}");

    let program = binary().display().to_string();
    let adopt = |password: &str| on_terminal(&donjon, password, &[&program, "adopt", &path]);
    let (code, said) = adopt(wrong);
    assert!(code == 2 && said.contains("none of the passwords opens the ansible-vault"), "{code}: {said}");
    assert!(said.contains("ansible-vault password: "), "{said}");
    let seen = |said: &str, password: &str| password.split(['-', ' ']).any(|word| said.contains(word));
    assert!(!seen(&said, wrong), "{said}");
    assert_eq!(donjon.run(&["get", "database_password"]).code, 4, "nothing was stored");
    let (code, said) = adopt(right);
    assert!(code == 0 && said.contains("1 values are stored"), "{code}: {said}");
    assert!(!seen(&said, right) && !said.contains("the-value-in-the-vault"), "{said}");
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), "the-value-in-the-vault");
    assert!(bytes(&file) == sealed, "the vault is as it was");
}
