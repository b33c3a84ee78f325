//! A Vault that is already there: used, refused where it cannot hold records, never stopped.

use donjon::vault::existing::{Existing, ExistingError, Named};
use donjon_drivers::{
    material::Material,
    store::{
        Store, conformance,
        vault::{Call, Trust},
    },
};
use donjon_tests::{donjon::Donjon, openbao::OpenBao, wait::until};
use std::{sync::Arc, time::Duration};

fn named(server: &OpenBao, folder: &tempfile::TempDir, mount: &str) -> Named {
    let Trust::Only(authority) = &server.address().trust else { panic!("the server has its own authority") };
    let path = folder.path().join("ca.pem");
    donjon_drivers::fs::replace(&path, authority).expect("a temporary file can be written");
    Named {
        url: server.address().url.clone(),
        token: server.root().duplicate(),
        authority: Some(path),
        namespace: None,
        mount: mount.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_records_and_goes_on_without_the_broker() {
    let (server, folder) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let existing = Existing::open(named(&server, &folder, "kv")).await.unwrap();
    let tending = tokio::spawn(existing.clone().tend());
    let store: Arc<dyn Store> = Arc::new(existing.store());
    conformance::check(&store, &"kit".parse().unwrap()).await.unwrap();
    tending.abort();
    drop((store, existing));
    assert!(Existing::open(named(&server, &folder, "kv")).await.is_ok(), "it is still there");
}

#[tokio::test]
async fn one_that_cannot_hold_records_is_refused() {
    let (server, folder) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let none = Existing::open(named(&server, &folder, "nothing")).await;
    assert!(matches!(none, Err(ExistingError::NoMount { .. })), "{none:?}");
    let old = Material::from(r#"{"type":"kv","options":{"version":"1"}}"#.to_owned());
    server.connection().call(Call::post("sys/mounts/old", old)).await.unwrap();
    let old = Existing::open(named(&server, &folder, "old")).await;
    assert!(matches!(old, Err(ExistingError::NoMount { .. })), "no versions, no compare-and-set: {old:?}");
    let stranger = Named { token: Material::from("s.x".to_owned()), ..named(&server, &folder, "kv") };
    let denied = Existing::open(stranger).await;
    assert!(matches!(denied, Err(ExistingError::Call(_))), "{denied:?}");
    server.seal().await;
    let sealed = Existing::open(named(&server, &folder, "kv")).await;
    assert!(matches!(sealed, Err(ExistingError::Sealed { .. })), "{sealed:?}");
}

/// Has a program use a server; gives back the token.
pub(super) fn uses(donjon: &mut Donjon, server: &OpenBao, folder: &tempfile::TempDir) -> String {
    uses_by("BAO", donjon, server, folder)
}

/// As [`uses`], by the variables of one family.
fn uses_by(family: &str, donjon: &mut Donjon, server: &OpenBao, folder: &tempfile::TempDir) -> String {
    let named = named(server, folder, "kv");
    let token = named.token.expose_text().unwrap().to_owned(); // EXPOSE: the root token of a server of this test
    for (name, value) in [
        ("ADDR", named.url.as_str()),
        ("TOKEN", &token),
        ("CACERT", &folder.path().join("ca.pem").display().to_string()),
    ] {
        donjon.set(&format!("{family}_{name}"), value);
    }
    donjon.set("DONJON_MOUNT", "kv");
    token
}

/// The whole program on a server that is there: used, told when it is sealed, and never stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_uses_it_and_leaves_it_running() {
    let (mut server, folder) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let mut donjon = Donjon::new();
    let token = uses(&mut donjon, &server, &folder);
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    assert_eq!(donjon.run(&["get", "x"]).ok().trim_end(), "a-value-long-enough");
    assert!(!donjon.home().join("vault").exists(), "no temporary Vault was made");
    let daemon = donjon.daemon().unwrap();
    let seen =
        |name: &str| String::from_utf8_lossy(&std::fs::read(format!("/proc/{daemon}/{name}")).unwrap()).into_owned();
    assert!(seen("environ").contains("BAO_ADDR="), "the control: the daemon's environment is seen");
    assert!(!seen("environ").contains(&token) && !seen("cmdline").contains(&token), "its token is not in it");

    server.seal().await;
    // What was read may be answered until the daemon has seen it.
    let refused = until("the daemon to see it", Duration::from_secs(20), async || {
        Some(donjon.run(&["get", "x"])).filter(|ran| ran.code != 0)
    });
    let error = refused.await.failed(6);
    assert!(error.contains("sealed") && error.contains("bao operator unseal"), "{error}");
    let status = donjon.run(&["status"]);
    assert!(status.out.starts_with("sealed: 0 of 1 unseal shares given"), "{status:?}");
    assert!(status.failed(2).contains("bao operator unseal"));
    // Whoever starts another now is not led to a new Vault, which would have nothing in it.
    let mut another = Donjon::new();
    uses(&mut another, &server, &folder);
    let error = another.run(&["up"]).failed(6);
    assert!(error.contains("bao operator unseal") && !error.contains("unset"), "{error}");
    server.unseal().await;
    assert!(donjon.run(&["status"]).ok().starts_with("ready"));
    another.set("BAO_TOKEN", "nobodys-token");
    let error = another.run(&["up"]).failed(6);
    assert!(error.contains("BAO_TOKEN") && !error.contains("unset"), "{error}");
    assert_eq!(donjon.run(&["get", "x"]).ok().trim_end(), "a-value-long-enough");

    donjon.run(&["down"]).ok();
    assert!(Existing::open(named(&server, &folder, "kv")).await.is_ok(), "it is still there");
    donjon.set("DONJON_MOUNT", "nothing");
    let error = donjon.run(&["up"]).failed(2);
    assert!(error.contains("`nothing`") && error.contains("DONJON_MOUNT"), "{error}");
    donjon.set("DONJON_MOUNT", "kv");
    donjon.up();
    server.kill();
    let status = donjon.run(&["status"]);
    assert!(status.out.starts_with("unavailable"), "{status:?}");
    assert!(status.failed(1).contains("journalctl"));
}

/// HashiCorp's names alone do as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_family_of_names_leads_to_it_too() {
    let (server, folder) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let mut donjon = Donjon::new();
    uses_by("VAULT", &mut donjon, &server, &folder);
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    assert_eq!(donjon.run(&["get", "x"]).ok(), "a-value-long-enough");
    assert!(!donjon.home().join("vault").exists(), "no temporary Vault was made");
    donjon.run(&["down"]).ok();
    let existing = Existing::open(named(&server, &folder, "kv")).await.expect("it is still there");
    let held = existing.store().list(&"default".parse().unwrap()).await.unwrap();
    assert_eq!(held, ["x"], "and holds what was put");
}
