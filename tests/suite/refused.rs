//! A bundle that is damaged, forged, stale or foreign, at each place that takes bundles in: refused by its own message and
//! exit 9, and all that was there is as it was.

use super::site::DEPLOYMENT;
use donjon_drivers::store::{RecordPath, Store, Which, vault::Vault};
use donjon_tests::{
    donjon::{Donjon, Ran},
    openbao::OpenBao,
};
use std::path::PathBuf;

/// The authority of a deployment, another one of the same name, and the files that travel.
struct Place {
    authority: Donjon,
    other: Donjon,
    files: tempfile::TempDir,
}

impl Place {
    /// With the bundles `one` and `two` of the authority for one node, and `forged`, whose epoch is newer, by the other.
    fn new() -> Self {
        use age::secrecy::ExposeSecret;
        let place = Self { authority: Donjon::new(), other: Donjon::new(), files: tempfile::tempdir().unwrap() };
        let key = age::x25519::Identity::generate();
        place.file("node", key.to_string().expose_secret().as_bytes());
        for donjon in [&place.authority, &place.other] {
            donjon.describe(&DEPLOYMENT.replace("RECIPIENT", &key.to_public().to_string()));
            donjon.up();
            for (name, value) in [("keystone_database_password", "s3cret-4711"), ("nova_database_password", "x-4711")] {
                donjon.run_with_input(&["put", name], value.as_bytes()).ok();
            }
        }
        place.export(&place.authority, "one", &[]);
        place.authority.run_with_input(&["put", "keystone_database_password"], b"s3cret-4712").ok();
        place.export(&place.authority, "two", &[]);
        for _ in 0..4 {
            place.export(&place.other, "forged", &[]);
        }
        let whole = std::fs::read(place.path("two")).unwrap();
        place.file("short", &whole[..whole.len() - 7]);
        let mut altered = whole;
        *altered.last_mut().unwrap() ^= 1;
        place.file("altered", &altered);
        place
    }

    fn export(&self, by: &Donjon, file: &str, more: &[&str]) {
        let words = ["export", "bundle", "--site", "edge1", "--role", "keystone", "-o", &self.text(file)];
        by.run(&[&words, more].concat()).ok();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn file(&self, name: &str, content: &[u8]) {
        donjon_drivers::fs::replace(&self.path(name), content).unwrap();
    }

    fn import(&self, by: &Donjon, file: &str, more: &[&str]) -> Ran {
        by.run(&[&["import", &self.text(file), "-i", &self.text("node")], more].concat())
    }
}

/// Each of the four, with more arguments of the import, and how it is told.
const REFUSED: [(&str, &[&str], &str); 6] = [
    ("one", &[], "the bundle is stale: its epoch is 1, and 2 was accepted before"),
    ("short", &[], "the bundle is damaged"),
    ("altered", &[], "the bundle is damaged"),
    ("forged", &[], "the bundle is forged: its authority is not the one pinned here"),
    ("two", &["--site", "edge2"], "the bundle is foreign: it is for site `edge1`"),
    ("two", &["--role", "nova"], "the bundle is foreign: it is for site `edge1`"),
];

#[test]
fn another_donjon_is_as_it_was() {
    let (place, there) = (Place::new(), Donjon::new());
    there.describe("deployment: site1\ncatalogue: kolla-ansible\n");
    there.up();
    place.import(&there, "two", &[]).ok();
    let state = || {
        let told = |words: &[&str]| there.run(&[words, &["--output", "json"]].concat()).json();
        let histories = ["keystone_database_password", "keystone.database.connection"].map(|n| told(&["history", n]));
        (told(&["list"]), histories, there.run(&["get", "keystone_database_password"]).ok())
    };
    let before = state();
    for (file, more, told) in REFUSED {
        let refused = place.import(&there, file, more).failed(9);
        assert!(refused.contains(told) && refused.contains("state: nothing was changed"), "{file}: {refused}");
        assert_eq!(state(), before, "{file}");
    }
    // The control: one that is taken in is seen.
    place.authority.run_with_input(&["put", "keystone_database_password"], b"s3cret-4713").ok();
    place.export(&place.authority, "three", &[]);
    place.import(&there, "three", &[]).ok();
    assert_ne!(state(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vault_of_a_site_is_as_it_was() {
    let (place, server, nobody) = (Place::new(), OpenBao::start().await, Donjon::new());
    place.file("token", server.root().expose()); // EXPOSE: the token of a server that lives for one test
    let (url, authority) = (server.address().url.clone(), server.authority().display().to_string());
    let (token, to) = (place.text("token"), ["--address", &url, "--cacert", &authority, "--token-file"]);
    let import = |file: &str, more: &[&str]| place.import(&nobody, file, &[&to[..], &[&token], more].concat());
    import("two", &[]).ok();
    let store = Vault::new(server.connection(), "donjon".parse().unwrap());
    let state = async || {
        let mut all = Vec::new();
        let mut folders: Vec<RecordPath> =
            ["site1", "donjon-public", "donjon-private"].map(|f| f.parse().unwrap()).into();
        while let Some(folder) = folders.pop() {
            for name in store.list(&folder).await.unwrap() {
                let below = format!("{folder}/{}", name.trim_end_matches('/')).parse().unwrap();
                if name.ends_with('/') {
                    folders.push(below);
                } else {
                    let latest = store.read(&below, Which::Latest).await.unwrap();
                    let text = latest.map(|stored| stored.document.parse::<serde_json::Value>().unwrap());
                    all.push((below.to_string(), store.versions(&below).await.unwrap().len(), text));
                }
            }
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    };
    let before = state().await;
    assert!(before.iter().any(|(path, ..)| path == "site1/keystone_database_password"), "{before:?}");
    for (file, more, told) in REFUSED {
        let refused = import(file, more).failed(9);
        assert!(refused.contains(told) && refused.contains("state: nothing was changed"), "{file}: {refused}");
        assert_eq!(state().await, before, "{file}");
    }
    place.authority.run_with_input(&["put", "keystone_database_password"], b"s3cret-4713").ok();
    place.export(&place.authority, "three", &[]);
    import("three", &[]).ok();
    assert_ne!(state().await, before, "the control");
}

#[test]
fn a_node_takes_no_bundle_of_another_host() {
    let place = Place::new();
    let node = Donjon::new();
    for (file, host) in [("of-one", "ctl1"), ("of-two", "ctl2"), ("of-one-2", "ctl1")] {
        place.export(&place.authority, file, &["--host", host]);
    }
    let folder = place.text("folder");
    let into = ["--into", folder.as_str()];
    place.import(&node, "of-one", &into).ok();
    let state = || std::fs::read(place.path("folder/node.json")).unwrap();
    let before = state();
    // The same identity opens it, and its epoch is new there: it is refused for the host alone.
    let refused = place.import(&node, "of-two", &into).failed(9);
    assert!(refused.contains("the bundle is foreign: it is for site `edge1`"), "{refused}");
    assert!(refused.contains("ctl2") && refused.contains("state: nothing was changed"), "{refused}");
    assert_eq!(state(), before);
    place.import(&node, "of-one-2", &into).ok();
    assert_ne!(state(), before, "the control");
}
