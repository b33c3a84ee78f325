//! Every option that a service on this machine declares as secret is known as one: it moves into the store, and is not shown.

use donjon_tests::{donjon::Donjon, tools};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Tells the group, name and secrecy of each option that installed packages give to a sample of a configuration.
const DECLARED: &str = r#"
import importlib.metadata, json
told = []
for entry in importlib.metadata.entry_points(group="oslo.config.opts"):
    for group, options in entry.load()():
        group = getattr(group, "name", group) or "DEFAULT"
        told += [[entry.name, group, option.dest, bool(option.secret)] for option in options]
print(json.dumps(told))
"#;

/// What is moved though its service does not call it secret, as part of all options: a value too many in the store costs little.
const MOST_TOO_MANY: f64 = 0.05;

#[test]
fn what_services_declare_as_secret_moves_and_is_hidden() {
    let mut command = Command::new(tools::program("python"));
    let told = command.args(["-W", "ignore", "-c", DECLARED]).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Vec<(String, String, String, bool)> = serde_json::from_slice(&told.stdout).unwrap();
    for package in
        ["nova", "keystone", "keystonemiddleware.auth_token", "oslo.db", "oslo.messaging", "castellan.config"]
    {
        assert!(told.iter().any(|(of, ..)| of.starts_with(package)), "the control: {package} is asked");
    }
    // By more than one service; one that keeps it secret is enough.
    let mut options = BTreeMap::<(String, String), bool>::new();
    for (_, group, name, secret) in told {
        *options.entry((group, name)).or_default() |= secret;
    }
    // A file that names sources has them opened.
    options.remove(&("DEFAULT".to_owned(), "config_source".to_owned()));
    let secret = |secret: bool| -> BTreeSet<String> {
        let of = options.iter().filter(|(_, is)| **is == secret);
        of.map(|((group, name), _)| format!("[{group}] {name}")).collect()
    };
    assert!(
        secret(true).len() > 30 && secret(false).len() > 1_000,
        "the control: {} {}",
        secret(true).len(),
        secret(false).len()
    );

    let donjon = Donjon::new();
    let file = donjon.home().join("all.conf");
    let mut groups = BTreeMap::<&str, String>::new();
    for (number, (group, name)) in options.keys().enumerate() {
        // None is the beginning of another.
        *groups.entry(group).or_default() += &format!("{name} = value-{number:05}\n");
    }
    let text: String = groups.iter().map(|(group, lines)| format!("[{group}]\n{lines}")).collect();
    donjon_drivers::fs::replace(&file, text.as_bytes()).unwrap();
    donjon.run(&["up", "--store", "file"]).ok();
    let path = file.display().to_string();

    let shown = donjon.run(&["config", "show", "--config-file", &path, "--output", "json"]).json();
    let shown = shown["options"].as_array().unwrap();
    let hidden = |row: &&Value| row["secret"] == true && row.get("value").is_none();
    let named = |row: &Value| format!("[{}] {}", row["group"].as_str().unwrap(), row["option"].as_str().unwrap());
    let all: BTreeSet<String> = options.keys().map(|(group, name)| format!("[{group}] {name}")).collect();
    assert_eq!(shown.iter().map(named).collect::<BTreeSet<_>>(), all, "the control: each is told");
    missing_none("hidden", &secret(true), &shown.iter().filter(hidden).map(named).collect());

    let wire = ["wire", "oslo", "--service", "everything", "--config", &path, "--plan", "--output", "json"];
    let planned = donjon.run(&wire).json();
    let rows = |of: &str| planned[of].as_array().unwrap().iter().map(|row| row["option"].as_str().unwrap().to_owned());
    let moved: BTreeSet<String> = rows("moved").collect();
    missing_none("moved", &secret(true), &moved);
    assert_eq!(rows("stays").collect::<Vec<_>>(), [] as [String; 0]);
    // Of an option that takes several values castellan would make letters.
    donjon_drivers::fs::replace(&donjon.home().join("castellan.conf"), b"").unwrap();
    let by_castellan = donjon.run(&[&wire[..], &["--driver", "castellan"]].concat()).json();
    let stays = by_castellan["stays"].as_array().unwrap();
    assert_eq!(stays.iter().map(|row| &row["option"]).collect::<Vec<_>>(), ["[cache] backend_argument"]);
    let open = secret(false);
    let too_many: Vec<_> = moved.intersection(&open).collect();
    let part = too_many.len() as f64 / open.len() as f64;
    assert!(part < MOST_TOO_MANY, "{part}: {too_many:?}");
}

#[track_caller]
fn missing_none(what: &str, of: &BTreeSet<String>, found: &BTreeSet<String>) {
    let missing: Vec<_> = of.difference(found).collect();
    assert!(missing.is_empty(), "not {what}: {missing:?}");
}
