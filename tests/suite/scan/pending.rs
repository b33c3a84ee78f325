//! A value that a rotation has stored and not yet published is looked for too.

use super::{recall::scanned, write};
use crate::{existing, rotation::killed_at};
use donjon::records::Layout;
use donjon_drivers::store::{Which, secret::SecretRecord};
use donjon_tests::{donjon::Donjon, openbao::OpenBao};
use serde_json::Value;

const NAME: &str = "memcache_secret_key";

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_value_is_found_and_named_as_pending() {
    let (server, trust) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let mut donjon = Donjon::new();
    existing::uses(&mut donjon, &server, &trust);
    donjon.describe("deployment: site1\ncatalogue: kolla-ansible\n");
    donjon.up();
    donjon.run(&["generate", NAME]).ok();
    let current = donjon.run(&["get", NAME]).ok();
    killed_at(&mut donjon, "rotation.moved.staged=return", &["rotate", "apply", NAME, "--accept-outage"]);
    assert_eq!(donjon.run(&["get", NAME]).ok(), current, "nothing was published");
    let staged = pending(&donjon, &server).await;
    assert_ne!(staged, current);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let found = || {
        let report = scanned(&donjon, &[&path]);
        let findings = report["findings"].as_array().unwrap().clone();
        let told = |of: &Value| ["secret", "standing"].map(|key| of[key].as_str().unwrap_or_default().to_owned());
        findings.iter().map(told).collect::<Vec<_>>()
    };
    write(&folder.path().join("clean"), staged.chars().rev().collect::<String>());
    assert!(found().is_empty(), "the control");
    write(&folder.path().join("leaked"), format!("memcache_secret_key = {staged}\n"));
    assert_eq!(found(), [[NAME, "pending"]]);

    // It is that very value: once it is published, it is the current one.
    donjon.run(&["rotate", "resume"]).ok();
    assert_eq!(donjon.run(&["get", NAME]).ok(), staged);
    assert_eq!(found(), [[NAME, "current"]]);
}

/// The value that is staged, as whoever owns the Vault reads it. No consumer can.
async fn pending(donjon: &Donjon, server: &OpenBao) -> String {
    let status: Value = serde_json::from_str(&donjon.run(&["rotate", "status", "--output", "json"]).out).unwrap();
    let rotation = status["rotations"][0]["id"].as_str().unwrap_or_else(|| panic!("{status}"));
    let (name, layout) = (NAME.parse().unwrap(), Layout::new("site1".parse().unwrap()).unwrap());
    let path = layout.pending(rotation, &name);
    let stored = server.store().read(&path, Which::Latest).await.unwrap().expect("it is staged");
    let record = SecretRecord::from_document(&name, &stored.document).unwrap();
    record.value.material().expose_text().unwrap().to_owned() // EXPOSE: a test value
}
