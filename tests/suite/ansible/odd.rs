//! Odd values: written by PyYAML, adopted by the command, read back from the store, and then by Ansible through references.

use super::site::{Setting, Site};
use crate::adopt::python;
use donjon_tests::donjon::{Donjon, binary};
use serde_json::{Value, json};

#[test]
fn odd_values_survive_from_pyyaml_through_the_store_to_ansible() {
    let donjon = Donjon::new();
    donjon.up();
    let site = Site::of("odd");
    let file = site.path().join("passwords.yml");
    let path = file.display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/adopt/deployers.py");
    let written: Value = serde_json::from_str(&python(&["-B", script, "odd", &path])).expect("it prints JSON");
    let written = written.as_object().expect("names");
    assert!(written.len() > 80, "{}", written.len());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains('\u{2028}') && text.contains('\u{2029}'), "the control: as YAML 1.1 alone ends a line");

    let adopt = ["adopt", &path, "--format", "kolla", "--output", "json"];
    let adopted = donjon.run(&[&adopt[..], &["--replace"]].concat()).json();
    assert_eq!(adopted["verified"], json!(written.len()));
    // What Ansible evaluates is no value, and stays; what is tagged `!unsafe` is one, however it looks.
    assert_eq!(adopted["left"].as_array().map(Vec::len), Some(1), "{}", adopted["left"]);
    assert_eq!((&adopted["left"][0]["name"], &adopted["left"][0]["why"]), (&json!("evaluated"), &json!("expression")));
    for (name, value) in written {
        assert_eq!(&json!(donjon.run(&["get", name]).ok()), value, "{name}");
    }

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.is_ascii() && text.matches("donjon.broker.secret").count() == written.len(), "{text}");
    let names: Vec<&str> = written.keys().map(String::as_str).chain(["evaluated"]).collect();
    let program = format!("donjon={}", binary().display());
    let (names_of, references) = (json!({"names": names}).to_string(), format!("@{path}"));
    let words = ["-i", "localhost,", "-c", "local", "-e", &program, "-e", &names_of, "-e", &references, "site.yml"];
    site.play(&donjon, Setting::Kept, &[], &words.map(str::to_owned)).ok();
    let read: Value = serde_json::from_slice(&std::fs::read(site.path().join("read.json")).unwrap()).unwrap();
    let read = read.as_array().expect("a list");
    for (name, found) in names.iter().zip(read) {
        let expected = written.get(*name).cloned().unwrap_or(json!("by Ansible"));
        assert_eq!(*found, expected, "{name}");
    }
    assert_eq!(read.len(), names.len());
}

#[test]
fn openstack_ansibles_file_is_written_of_references_that_ansible_reads() {
    let donjon = Donjon::new();
    donjon.describe("deployment: site1\ncatalogue: openstack-ansible\n");
    donjon.up();
    donjon.run(&["generate", "--catalogue", "openstack-ansible"]).ok();
    let site = Site::of("odd");
    let path = site.path().join("user_secrets.yml").display().to_string();
    for _ in 0..2 {
        donjon.run(&["wire", "osa", "-o", &path]).ok();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let referred = text.lines().filter(|line| line.contains("donjon.broker.secret"));
    let names: Vec<&str> = referred.filter_map(|line| line.split_once(':').map(|(name, _)| name)).collect();
    assert!(names.len() > 100 && names.contains(&"rabbitmq_cookie_token"), "{}", names.len());
    donjon.run(&["scan", &path]).ok();
    let program = format!("donjon={}", binary().display());
    let (names_of, references) = (json!({"names": names}).to_string(), format!("@{path}"));
    let words = ["-i", "localhost,", "-c", "local", "-e", &program, "-e", &names_of, "-e", &references, "site.yml"];
    site.play(&donjon, Setting::Kept, &[], &words.map(str::to_owned)).ok();
    let read: Value = serde_json::from_slice(&std::fs::read(site.path().join("read.json")).unwrap()).unwrap();
    let values: Vec<Value> = names.iter().map(|name| json!(donjon.run(&["get", name]).ok())).collect();
    assert!(read == json!(values), "what Ansible reads is what is stored");
    // A file with values is adopted, and not written over.
    donjon_drivers::fs::replace(path.as_ref(), b"rabbitmq_cookie_token: a-value-long-enough\n").unwrap();
    assert!(donjon.run(&["wire", "osa", "-o", &path]).failed(5).contains("donjon adopt"));
}
