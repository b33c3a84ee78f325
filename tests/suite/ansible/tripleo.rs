//! A config-download tree, written by tripleo-common's own code from what heat would have made of our placeholders, and played.
//!
//! The measure is the tree that TripleO would have made of the values themselves: played, both must render the same bytes.

use super::site::{Search, Setting, Site};
use donjon::wire::{Numbers, Piece, Placeholders, Reference};
use donjon_policies::catalogue::Catalogue;
use donjon_tests::{donjon::Donjon, tools};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Values that every way of writing them gets wrong when it is careless, where their consumers would take them.
const AWKWARD: [(&str, &str); 6] = [
    ("KeystonePassword", "p@ss/w:rd?canary#%25&'\"\\é=canary"),
    ("RpcPassword", "100000000000000000e5"),
    ("AdminPassword", "01234567890123456789"),
    ("HorizonSecret", "0x1234567890abcdef12"),
    ("SwiftHashSuffix", "suf\"fix\\canary'canary-canary"),
    ("SwiftPassword", "s:w@i/f#t?canary\"canary%canary"),
];

#[test]
fn a_config_download_tree_of_references_renders_what_the_values_would() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run(&["generate", "--catalogue", "tripleo"]).ok();
    for (name, value) in AWKWARD {
        donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }
    let values = values(&donjon);
    let secret = |placeholder: &&String| !placeholder.contains("public_key") && !placeholder.contains('-');
    let search = Search::new(values.keys().filter(secret).map(|placeholder| values[placeholder].as_str()));

    // The control: TripleO as it is, whose tree, git history and output hold the values.
    let plain = Site::of("tripleo");
    environment(&donjon, &plain);
    let known = plain.sinks().with_file_name("values.json");
    write(&known, &serde_json::to_string(&values).unwrap());
    download(&plain, Some(&known));
    assert!(search.finds(plain.history()));
    assert!(!search.among(plain.files("group_vars")).is_empty());
    let said = play(&plain, &donjon, Setting::Careless).ok();
    assert!(search.finds(&said));

    // References: heat and the tree never see a value.
    let wired = Site::of("tripleo");
    environment(&donjon, &wired);
    download(&wired, None);
    let folder = wired.path().display().to_string();
    let report = donjon.run(&["wire", "tripleo", &folder, "--output", "json"]).json();
    assert!(report["changed"].as_array().unwrap().len() >= 8, "{report}");
    let again = donjon.run(&["wire", "tripleo", &folder, "--output", "json"]).json();
    assert_eq!(again["changed"], serde_json::json!([]));
    wired.commit();
    let said = play(&wired, &donjon, Setting::Kept).ok();
    assert!(said.contains("********"), "something was there to be covered");
    assert_eq!(search.lines(&said), [""; 0]);
    wired.commit();
    assert!(!search.finds(wired.history()));
    assert_eq!(search.among(wired.files("")), Vec::<PathBuf>::new());

    let rendered = ["service_configs.json", "docker_config.json", "scripts.json", "step_config.pp", "octavia.json"];
    for file in rendered {
        let read = |site: &Site| fs::read_to_string(site.sinks().join(file)).unwrap();
        assert_eq!(read(&wired), read(&plain), "{file}");
        assert!(search.finds(read(&wired)), "{file} has values in it");
    }
}

#[test]
fn every_kind_of_place_renders_what_the_value_itself_would() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run(&["generate", "RedisPassword", "RpcPassword", "--catalogue", "tripleo"]).ok();
    let placeholders = Placeholders::of(&Catalogue::named("tripleo").unwrap(), &Numbers::default());
    let plain = Site::of("places");
    for (reference, placeholder) in
        placeholders.iter().filter(|(r, _)| ["RedisPassword", "RpcPassword"].contains(&r.name.as_str()))
    {
        // Letters and digits, which stand as they are wherever the placeholder stood.
        let value = value(&donjon, reference);
        for file in plain.files("") {
            write(&file, &fs::read_to_string(&file).unwrap().replace(placeholder, &value));
        }
    }
    places(&plain, &donjon, Setting::Careless);
    let wired = Site::of("places");
    donjon.run(&["wire", "tripleo", &wired.path().display().to_string()]).ok();
    places(&wired, &donjon, Setting::Kept);
    for file in ["places.txt", "places.json"] {
        let read = |site: &Site| fs::read_to_string(site.sinks().join(file)).unwrap();
        assert_eq!(read(&wired), read(&plain), "{file}");
        assert!(read(&wired).contains(&donjon.run(&["get", "RedisPassword"]).ok()), "{file} has the value in it");
    }
}

fn places(site: &Site, donjon: &Donjon, setting: Setting) {
    fs::create_dir_all(site.sinks()).unwrap();
    let sinks = format!("sinks={}", site.sinks().display());
    site.write("hosts", "one ansible_connection=local\n");
    site.play(donjon, setting, &[], &["-i", "hosts", "-e", &sinks, "site.yml"].map(str::to_owned)).ok();
}

#[test]
fn a_tree_that_cannot_be_wired_is_left_as_it_is() {
    let donjon = Donjon::new();
    let site = Site::of("tripleo");
    let environment = site.path().join("environment.yaml").display().to_string();
    donjon.run(&["wire", "tripleo", "--environment", &environment]).ok();
    site.write("ok.yaml", "k: DONJON_REF_RedisPassword_END\n");
    site.write("overcloud.sh", "#!/bin/sh\nexport P=DONJON_REF_RedisPassword_END\n");
    fs::remove_file(&environment).unwrap();
    let folder = site.path().display().to_string();
    let said = donjon.run(&["wire", "tripleo", &folder]).failed(1);
    assert!(said.contains("overcloud.sh:2: a placeholder is in a file that Ansible does not evaluate"), "{said}");
    assert!(said.contains("no file was changed"), "{said}");
    assert_eq!(fs::read_to_string(site.path().join("ok.yaml")).unwrap(), "k: DONJON_REF_RedisPassword_END\n");
}

#[test]
fn after_a_rotation_of_keystones_keys_the_references_are_to_those_that_there_are() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run(&["generate", "--catalogue", "tripleo"]).ok();
    let wired = Site::of("tripleo");
    environment(&donjon, &wired);
    download(&wired, None);
    let folder = wired.path().display().to_string();
    let before = wired.files("").iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();

    // As two rotations leave them, of which three are kept.
    let repository = donjon.run(&["get", "KeystoneFernetKeys"]).ok();
    let mut keys: serde_json::Value = serde_json::from_str(&repository).unwrap();
    for (number, byte) in [("2", 2_u8), ("3", 3)] {
        keys[number] = base64(byte).into();
    }
    keys.as_object_mut().unwrap().remove("1");
    donjon.run_with_input(&["put", "KeystoneFernetKeys"], keys.to_string().as_bytes()).ok();

    // The tree that is there would leave Keystone without what it signs with.
    let said = donjon.run(&["wire", "tripleo", &folder]).failed(1);
    assert!(said.contains("a key that `KeystoneFernetKeys` has no more: it has rotated since"), "{said}");
    assert!(said.contains("no placeholder is there for its key 2, 3"), "{said}");
    assert!(said.contains("`donjon wire tripleo --environment FILE`"), "{said}");
    let after = wired.files("").iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
    assert!(before == after, "no file was changed");

    // What it says to do.
    let wired = Site::of("tripleo");
    environment(&donjon, &wired);
    download(&wired, None);
    donjon.run(&["wire", "tripleo", &wired.path().display().to_string()]).ok();
    wired.commit();
    play(&wired, &donjon, Setting::Kept).ok();
    let rendered = fs::read_to_string(wired.sinks().join("service_configs.json")).unwrap();
    for key in keys.as_object().unwrap().values() {
        assert!(rendered.contains(key.as_str().unwrap()), "each key of the store is rendered");
    }
}

/// A Fernet key of one byte.
fn base64(byte: u8) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE};
    URL_SAFE.encode([byte; 32])
}

/// Every placeholder with the value that it stands for.
fn values(donjon: &Donjon) -> BTreeMap<String, String> {
    let catalogue = Catalogue::named("tripleo").unwrap();
    let is_made = |reference: &Reference| catalogue.current().any(|entry| entry.name == reference.name);
    let placeholders = Placeholders::of(&catalogue, &Numbers::default());
    let made = placeholders.iter().filter(|(reference, _)| is_made(reference));
    made.map(|(reference, text)| (text.to_owned(), value(donjon, reference))).collect()
}

fn value(donjon: &Donjon, reference: &Reference) -> String {
    let get = |part| donjon.run(&["get", reference.name.as_str(), "--part", part]).ok();
    match reference.piece {
        Piece::Whole => get("whole"),
        Piece::PrivateKey => get("private-key"),
        Piece::PublicKey => get("public-key"),
        Piece::Key(key) => {
            let repository: serde_json::Value = serde_json::from_str(&get("whole")).unwrap();
            repository[key.to_string()].as_str().unwrap().to_owned()
        }
    }
}

fn environment(donjon: &Donjon, site: &Site) {
    // Outside of the tree, as the operator's templates are.
    let file = site.sinks().with_file_name("environment.yaml").display().to_string();
    donjon.run(&["wire", "tripleo", "--environment", &file]).ok();
}

/// Lets tripleo-common write the tree into the folder, and commit it.
fn download(site: &Site, values: Option<&Path>) {
    let done = Command::new(tools::program("python3"))
        .arg("config_download.py")
        .arg(site.sinks().with_file_name("environment.yaml"))
        .arg(site.path())
        .args(values)
        .current_dir(site.path())
        .envs([
            ("GIT_AUTHOR_NAME", "t"),
            ("GIT_AUTHOR_EMAIL", "t@t"),
            ("GIT_COMMITTER_NAME", "t"),
            ("GIT_COMMITTER_EMAIL", "t@t"),
        ])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(site.path().join("group_vars/Controller").exists());
}

fn play(site: &Site, donjon: &Donjon, setting: Setting) -> super::site::Played {
    fs::create_dir_all(site.sinks()).unwrap();
    let inventory = site.sinks().with_file_name("hosts");
    write(&inventory, "[Controller]\novercloud-controller-0 ansible_connection=local\n");
    let sinks = format!("sinks={}", site.sinks().display());
    let inventory = inventory.display().to_string();
    let arguments = ["-i", &inventory, "-e", &sinks, "deploy_steps_playbook.yaml"].map(str::to_owned);
    site.play(donjon, setting, &[], &arguments)
}

fn write(path: &Path, text: &str) {
    donjon_drivers::fs::replace(path, text.as_bytes()).unwrap();
}
