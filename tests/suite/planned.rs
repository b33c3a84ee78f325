//! `rotate plan --all`: what stays as it is, and why.

use donjon_tests::donjon::Donjon;
use serde_json::Value;

const DEPLOYMENT: &str = "
deployment: default
targets:
  mariadb: {driver: mariadb, nodes: [{name: db1, address: 127.0.0.1, port: 1}]}
services:
  keystone: {driver: systemd, unit: keystone.service, uses: [keystone_database_password, glance_database_password]}
roles:
  keystone: {reads: [nova_database_password], users: [games]}
";

#[test]
fn what_the_store_has_no_value_of_is_said_to_be_that_before_all_else() {
    let donjon = Donjon::new();
    donjon.describe(DEPLOYMENT);
    donjon.run(&["up", "--store", "file"]).ok();
    for name in ["keystone_database_password", "nova_database_password", "heat_database_password"] {
        donjon.run_with_input(&["put", name], b"a-value-of-its-own-4711").ok();
    }
    let plan = donjon.run(&["rotate", "plan", "--all", "--output", "json"]).json();
    let why = |name: &str| {
        let left = plan["left"].as_array().unwrap().iter().find(|left| left["secret"] == name);
        left.and_then(|left| left["why"].as_str()).unwrap_or_default()
    };
    assert!(why("keystone_database_password").contains("the role of the service `keystone`"), "{plan:#}");
    // Neither its role, nor that nothing is there to change.
    for absent in ["glance_database_password", "cinder_database_password", "rabbitmq_password"] {
        assert_eq!(why(absent), "the store has no value of it");
    }
    let rotations = plan["rotations"].as_array().unwrap().iter();
    let planned: Vec<&Value> = rotations.flat_map(|rotation| rotation["secrets"].as_array().unwrap()).collect();
    let mut planned: Vec<&str> = planned.iter().filter_map(|secret| secret["secret"].as_str()).collect();
    planned.sort_unstable();
    assert_eq!(planned, ["heat_database_password", "nova_database_password"]);
}
