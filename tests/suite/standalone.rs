//! The periodic job: a cloud on one node, with two Keystones that read their database's URL from the broker behind HAProxy,
//! rotates everything that it can, while clients ask for tokens without pause; and somebody is told when it cannot.

use crate::clients::Clients;
use donjon_tests::{
    donjon::Donjon,
    haproxy::Haproxy,
    keystone::{ADMIN_VALUE, DATABASE_USER, DATABASE_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    python_driver,
    rabbitmq::RabbitMq,
    redis::Redis,
    tools,
};
use serde_json::Value;
use std::path::Path;

const ROOT: &str = "the-first-root-password-4711";
const OLD: &str = "an-old-service-password-0815";

/// Every secret of this cloud that can be rotated; its administrator of Keystone last, whose tokens end.
const ALL: [&str; 6] = [
    "database_password",
    "keystone_database_password",
    "rabbitmq_password",
    "valkey_master_password",
    "memcache_secret_key",
    "nova_keystone_password",
];

fn targets(server: &MariaDb, rabbit: &RabbitMq, redis: &Redis, keystone: &str) -> String {
    let (mq, kv) = (rabbit.member("mq1"), redis.member("kv1"));
    format!(
        "targets:
  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}
  rabbit: {{driver: rabbitmq, nodes: [{{name: mq1, address: 127.0.0.1, port: {}, management_port: {}}}]}}
  redis: {{driver: redis, nodes: [{{name: kv1, address: 127.0.0.1, port: {}}}]}}
  keystone: {{driver: keystone, nodes: [{{name: ks1, auth_url: '{keystone}'}}]}}
views:
  keystone.database.connection: 'mysql+pymysql://{DATABASE_USER}:{{keystone_database_password:url}}@127.0.0.1:{}/{DATABASE_USER}'
strategies: {{nova_keystone_password: dual-user}}
",
        server.port,
        server.socket().display(),
        mq.port,
        mq.management_port,
        kv.port,
        server.port
    )
}

/// An instance as a service: its workers start anew, away from clients, and its check is a token of its own.
fn service(keystone: &Keystone, at: usize, folder: &Path, proxy: &Haproxy) -> String {
    let (started, instance) = (folder.join(format!("started{at}")), &keystone.instances[at]);
    let restart = format!("kill -HUP {} && date +%s%6N > {}", instance.pid(), started.display());
    let check =
        [tools::program("python").display().to_string(), folder.join("check.py").display().to_string(), instance.url()];
    format!(
        "  w{}: {{driver: command, order: {at}, settle: 60, uses: [keystone.database.connection], restart: [sh, -c, {restart:?}], started: [cat, {}], check: {check:?}, drain: {{driver: haproxy, backend: web, server: w{}, proxies: [{{socket: {}}}]}}}}\n",
        at + 1,
        started.display(),
        at + 1,
        proxy.socket().display()
    )
}

/// How many consumers of a rotation were restarted and proven.
fn restarted(rotation: &Value) -> usize {
    rotation["restarted"].as_array().map_or(0, |all| all.iter().filter(|one| one["acknowledged"] == true).count())
}

/// A check of a Keystone: it issues a token.
pub(crate) const CHECK: &str = r#"
import json, sys, urllib.request
user = {"name": "app", "domain": {"id": "default"}, "password": "value-1"}
body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
request = urllib.request.Request(sys.argv[1] + "/v3/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"})
assert urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20).status == 201
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_on_one_node_rotates_everything_while_tokens_are_issued() {
    let (server, rabbit) = (MariaDb::start().await, RabbitMq::start_managed());
    let redis = Redis::start(&[&format!("user default on >{OLD} ~* &* +@all")]);
    server.account("root", "localhost", ROOT).await;
    rabbit.user("openstack", OLD).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        donjon_drivers::fs::replace(&path, text.as_bytes()).expect("it is our folder");
        path
    };
    file("check.py", CHECK);
    let donjon = Donjon::new();
    let described = |more: &str, keystone: &str| {
        donjon.describe(&format!("deployment: site1\n{}{more}", targets(&server, &rabbit, &redis, keystone)));
    };
    described("", "http://127.0.0.1:1");
    donjon.up();
    for (name, value) in [
        ("database_password", ROOT),
        ("keystone_database_password", DATABASE_VALUE),
        ("rabbitmq_password", OLD),
        ("valkey_master_password", OLD),
        ("memcache_secret_key", OLD),
        ("nova_keystone_password", OLD),
        ("keystone_admin_password", ADMIN_VALUE),
    ] {
        donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }

    let mapping = file("mapping.conf", "[database]\nconnection = keystone.database.connection\n");
    let lines = format!(
        "[DEFAULT]\nconfig_source = broker\n[broker]\ndriver = donjon\nmapping_file = {}\nsocket = {}\n",
        mapping.display(),
        donjon.home().join("run/donjon.sock").display()
    );
    let package = python_driver::installed();
    let environment = vec![("PYTHONPATH".to_owned(), package.path().display().to_string())];
    let setup = Setup { more: 1, database: Some(lines), environment, ..Setup::default() };
    let keystone = Keystone::start_with(&server, setup).await;
    for (user, value) in [("app", "value-1"), ("nova", OLD)] {
        keystone.user(user, value).await;
    }
    let ports: Vec<u16> = keystone.instances.iter().map(|instance| instance.port).collect();
    let proxy = Haproxy::before(&ports, "/v3", "check");
    let services: String = (0..2).map(|at| service(&keystone, at, folder.path(), &proxy)).collect();
    described(&format!("services:\n{services}"), &keystone.instances[0].url());

    let clients = Clients::start(&proxy);
    clients.go_on(10).await;
    let all = [&["rotate", "apply"], &ALL[..], &["--accept-outage", "--output", "json"]].concat();
    let applied = donjon.run(&all).json();
    let states: Vec<_> = applied["rotations"].as_array().expect("a list").iter().map(|r| r["state"].clone()).collect();
    assert!(states.iter().all(|state| *state == "retired" || *state == "settled"), "{applied}");
    let restarted: usize = applied["rotations"].as_array().expect("a list").iter().map(restarted).sum();
    assert_eq!(restarted, 2, "each Keystone once: {applied}");
    clients.go_on(10).await;
    let (issued, failed) = clients.end().await;
    assert_eq!(failed, 0, "of {issued}");
    println!("{} rotations, {issued} tokens issued meanwhile, none refused", states.len());

    let value = |name: &str| donjon.run(&["get", name]).ok();
    assert!(!server.logs_in(DATABASE_USER, DATABASE_VALUE).await);
    assert!(server.logs_in(DATABASE_USER, &value("keystone_database_password")).await);
    drop(rabbit.session("openstack_b", &value("rabbitmq_password")));
    assert_eq!(redis.say("default", &value("valkey_master_password"), &["PING"]), "PONG");
    assert!(keystone.token(0, "nova_b", &value("nova_keystone_password")).await.is_ok());
    assert!(keystone.token(0, "nova", OLD).await.is_err());

    // When it breaks, somebody is told.
    let told = folder.path().join("told");
    let tell = format!("cat >> {}", told.display());
    described(
        &format!(
            "services:\n{services}notifications:\n  - {{name: night shift, command: [/bin/sh, -c, {tell:?}], on: [failed]}}\n"
        ),
        &keystone.instances[0].url(),
    );
    server.account(DATABASE_USER, "%", "somebody-else-set-this").await;
    assert_ne!(donjon.run(&["rotate", "apply", "keystone_database_password"]).code, 0);
    donjon_tests::process::wait_for("the notice", std::time::Duration::from_secs(20), || {
        std::fs::read_to_string(&told).is_ok_and(|text| text.contains("keystone_database_password"))
    });
}
