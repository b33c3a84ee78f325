//! A daemon that is killed in the middle of `up --from`: what it leaves is no authority, says so, and goes on by the same command.

use age::secrecy::ExposeSecret;
use donjon::transfer::{
    Places,
    authority::Authority,
    bundle::{Recipients, Scope},
    export::{Request, everything, export},
};
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, Store, memory::Memory},
};
use donjon_tests::{
    donjon::{Donjon, runs},
    process::wait_for,
};
use std::time::Duration;

const NAMES: [&str; 4] =
    ["database_password", "glance_database_password", "keystone_admin_password", "nova_database_password"];

#[test]
fn a_store_that_has_a_part_of_a_bundle_makes_nothing_and_goes_on_with_it() {
    let (old, mut new, files) = (Donjon::new(), Donjon::new(), tempfile::tempdir().unwrap());
    for donjon in [&old, &new] {
        donjon.describe("deployment: site1\ncatalogue: kolla-ansible\n");
    }
    old.up();
    old.run(&[&["generate"], &NAMES[..]].concat()).ok();
    let file = |name: &str| files.path().join(name).display().to_string();
    let key = age::x25519::Identity::generate();
    // EXPOSE: the key of a test
    donjon_drivers::fs::replace(&files.path().join("custodian"), key.to_string().expose_secret().as_bytes()).unwrap();
    let (bundle, identity) = (file("everything.donjon"), file("custodian"));
    old.run(&["export", "bundle", "--custodians", "--recipient", &key.to_public().to_string(), "-o", &bundle]).ok();
    let authority = file("authority.pem");
    old.run(&["export", "key", "-o", &authority]).ok();
    let from = ["up", "--from", &bundle, "-i", &identity, "--authority-key", &authority];

    new.set("FAILPOINTS", "restore.written=2*off->return");
    new.up();
    new.unset("FAILPOINTS");
    let victim = new.daemon().expect("it runs");
    // Before the bundle: a key that has signed nothing yet.
    new.run(&["export", "key", "-o", &file("early.pem")]).ok();
    assert_eq!(new.run(&from).code, 6);
    wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
    new.up();
    let status = new.run(&["status"]).ok();
    assert!(status.contains("not all of it is there") && status.contains("`donjon up --from`"), "{status}");
    let list = new.run(&["list", "--output", "json"]).json();
    assert!(list["secrets"].as_array().unwrap().len() < NAMES.len(), "the control: a part of it is there, {list}");
    for command in [&["generate"][..], &["rotate", "apply", "database_password"], &["export", "key", "-o", "x"]] {
        let refused = new.run(command).failed(5);
        assert!(refused.contains("being restored into this store"), "{refused}");
    }
    new.run(&from).ok();
    for name in NAMES {
        assert_eq!(new.run(&["get", name]).ok(), old.run(&["get", name]).ok(), "{name}");
    }
    let status = new.run(&["status"]).ok();
    assert!(!status.contains("restored"), "{status}");
    new.run(&["generate", "cinder_database_password"]).ok();
}

#[tokio::test]
async fn the_last_bundle_is_taken_after_its_end_where_that_is_said_and_not_otherwise() {
    let (new, files) = (Donjon::new(), tempfile::tempdir().unwrap());
    new.describe("deployment: site1\ncatalogue: kolla-ansible\n");
    let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
    let value = Document::from_json(Material::from(r#"{"password":"of-then"}"#.to_owned())).unwrap();
    store.write(&"site1/nova_database_password".parse().unwrap(), &value, Expected::Absent).await.unwrap();
    let key = age::x25519::Identity::generate();
    let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
    let then = jiff::Timestamp::now().as_second() - 100 * DAY;
    let authority = Authority::ensure(&store, &places, then).await.unwrap();
    let closure = everything(&store, &places).await.unwrap();
    let (scope, folder) = (Scope::Custodians {}, files.path());
    let request = Request { scope, closure: &closure, recipients: &recipients, lifetime: 40 * DAY, folder };
    let bundle = export(&store, &places, &authority, &request, then).await.unwrap();
    bundle.write(&files.path().join("everything.donjon")).unwrap();
    // EXPOSE: the key of a test
    donjon_drivers::fs::replace(&files.path().join("custodian"), key.to_string().expose_secret().as_bytes()).unwrap();
    let file = |name: &str| files.path().join(name).display().to_string();
    let (bundle, identity) = (file("everything.donjon"), file("custodian"));
    let from = ["up", "--from", &bundle, "-i", &identity, "--trust-first"];
    let refused = new.run(&from).failed(9);
    assert!(refused.contains("stale") && refused.contains("--expired"), "{refused}");
    assert_eq!(new.daemon(), None, "nothing was started for it");
    let told = new.run(&[&from[..], &["--expired"]].concat()).ok();
    assert!(told.contains("made 100 days ago and had ended 60 days ago"), "{told}");
    let list = new.run(&["list"]).ok();
    assert!(list.contains("nova_database_password"), "{list}");
}

const DAY: i64 = 86_400;
