//! Odd values, as PyYAML and ansible-vault write them: each is stored to the byte, or the file is refused and says why.

use super::{python, script};
use donjon::adopt::{self, Format, yaml};
use donjon_drivers::material::Material;
use donjon_policies::catalogue::Catalogue;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};
use zeroize::Zeroizing;

#[test]
fn what_pyyaml_reads_is_what_is_taken() {
    let seen = compared("yaml", 300, &[]);
    assert!(seen.values > 1_000, "{seen:?}");
    assert!(seen.line_ends > 10 && seen.refused > 10 && seen.templates > 10, "{seen:?}");
}

#[test]
fn what_ansible_vault_sealed_is_what_is_taken() {
    let seen = compared("vault", 40, &[Material::from("a password".to_owned())]);
    assert!(seen.values > 150, "{seen:?}");
}

#[derive(Debug, Default)]
struct Compared {
    values: usize,
    /// Files in which a line ends where it does for YAML 1.1 alone, as it is.
    line_ends: usize,
    /// Values that look like templates, of which heat makes nothing.
    templates: usize,
    /// Files that no two readers read alike.
    refused: usize,
}

fn compared(kind: &str, seeds: u32, passwords: &[Material]) -> Compared {
    let mut seen = Compared::default();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    python(&[&script(), kind, &seeds.to_string(), &folder.path().display().to_string()]);
    for entry in fs::read_dir(folder.path()).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let values = compare(&path, passwords);
            seen.values += values.len();
            seen.templates += values.iter().filter(|value| value.contains("{{") || value.contains("{%")).count();
            let text = fs::read_to_string(&path).expect("it is text");
            seen.line_ends += usize::from(text.contains(['\u{2028}', '\u{2029}']));
        } else if path.extension().is_some_and(|extension| extension == "refused") {
            let text = fs::read_to_string(&path).expect("it is text");
            assert!(matches!(yaml::read(&text), Err(yaml::YamlError::LineEnd(_))), "{text}");
            seen.refused += 1;
        }
    }
    seen
}

/// The file as we take it, beside what Python read of it.
fn compare(path: &Path, passwords: &[Material]) -> Vec<String> {
    let expected: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(path.with_extension("json")).expect("it is there")).expect("texts alone");
    let format = match path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.split('.').nth(1)) {
        Some("kolla") => Format::Kolla,
        Some("osa") => Format::Osa,
        other => {
            assert_eq!(other, Some("tripleo"));
            Format::Tripleo
        }
    };
    let bytes = Zeroizing::new(fs::read(path).expect("it is there"));
    let given = || Ok::<_, adopt::container::OpenError>(passwords.iter().map(Material::duplicate).collect());
    let opened = adopt::open(bytes, &mut { given }).expect("it opens");
    let document = yaml::read(&opened.text).unwrap_or_else(|error| panic!("{error}:\n{}", *opened.text));
    let catalogue = Catalogue::named(format.catalogue()).expect("it is built in");
    let taken = adopt::take(&document.expect("it holds something"), format, &catalogue, passwords);
    let taken = taken.unwrap_or_else(|mistakes| panic!("{mistakes:?}:\n{}", *opened.text));
    let text = |given: &adopt::Given| given.value.material().expose_text().expect("text").to_owned(); // EXPOSE: a test value
    let ours: BTreeMap<String, String> =
        taken.given.iter().map(|given| (given.name.to_string(), text(given))).collect();
    assert_eq!(ours, expected, "{}", *opened.text);
    ours.into_values().collect()
}

/// What YAML makes of words without quotes: taken where it is text, refused where it is not.
#[test]
fn a_word_without_quotes_is_what_pyyaml_makes_of_it() {
    let words = [
        "abc",
        "12345",
        "0",
        "00",
        "0123",
        "0189",
        "1_000",
        "0x1F",
        "0b11",
        "+5",
        "-5",
        "1.5",
        "1e5",
        "1.5e+3",
        ".5",
        ".inf",
        "-.INF",
        ".nan",
        "12:30",
        "12:30:45",
        "190:20:30.15",
        "99:99",
        "yes",
        "Yes",
        "yEs",
        "on",
        "OFF",
        "y",
        "n",
        "true",
        "True",
        "~",
        "null",
        "Null",
        "nUll",
        "=",
        "2026-11-23",
        "2026-1-2",
        "2026-11-23T10:00:00Z",
        "2026-11-23 10:00:00",
        "1.2.3",
        "0o17",
        "0x",
        "1__0",
        "_1",
        "a#b",
        "a:b",
        "p@ss",
        "-",
        "--x",
        "0.",
        "1.",
        "e5",
        "12e03",
        "685.230_15e+03",
        "0b",
        "1:",
        "5:5",
    ];
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("words.yml");
    super::write(&file, &serde_json::to_string(&words[..]).expect("texts"));
    let read: Vec<Value> =
        serde_json::from_str(&python(&[&script(), "words", &file.display().to_string()])).expect("it prints JSON");
    let mut checked = 0;
    for (word, read) in words.into_iter().zip(read) {
        let text = format!("database_password: {word}\n");
        let read = match &read {
            Value::String(value) => Some(value.clone()),
            Value::Number(number) if number.is_i64() && number.to_string() == word => Some(word.to_owned()),
            Value::Null | Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let catalogue = Catalogue::named("kolla-ansible").expect("it is built in");
        // What no YAML holds is refused by both.
        let document = yaml::read(&text).ok().flatten();
        let ours = document.and_then(|document| {
            let taken = adopt::take(&document, Format::Kolla, &catalogue, &[]).ok()?;
            Some(taken.given.first()?.value.material().expose_text().expect("text").to_owned()) // EXPOSE: a test value
        });
        assert_eq!(ours, read, "{word:?}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}
