//! Nothing is interrupted: two Keystones behind HAProxy on a Galera cluster of three issue tokens without pause, and a
//! prober logs in a thousand times a second, while MySQL root, Keystone's database password, RabbitMQ's user and the
//! Fernet keys rotate and their consumers restart one by one.

use crate::{
    clients::Clients,
    prober::{Probed, Prober},
};
use donjon_tests::{
    consumer::Consumer,
    donjon::Donjon,
    galera,
    haproxy::Haproxy,
    keystone::{DATABASE_USER, DATABASE_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    python_driver,
    rabbitmq::RabbitMq,
    tools,
};
use serde_json::{Map, Value};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

const ROOT: &str = "the-first-root-password-4711";
const OLD: &str = "an-old-service-password-0815";
/// What rotates, in one command.
const ALL: [&str; 4] = ["MysqlRootPassword", "KeystonePassword", "RpcPassword", "KeystoneFernetKeys"];

/// The servers, and what is assembled for their consumers. `database_password` is how the consumer of root calls its own.
fn servers(nodes: &[MariaDb; 3], rabbit: &RabbitMq) -> String {
    let node = |(at, server): (usize, &MariaDb)| {
        format!("{{name: db{at}, address: 127.0.0.1, port: {}, socket: {}}}", server.port, server.socket().display())
    };
    let galera: Vec<String> = (1..).zip(nodes).map(node).collect();
    let mq = rabbit.member("mq1");
    format!(
        "deployment: site1
catalogue: tripleo
targets:
  mariadb: {{driver: mariadb, nodes: [{}]}}
  rabbit: {{driver: rabbitmq, administrator: {{user: guest, secret: RpcPassword}}, nodes: [{{name: mq1, address: 127.0.0.1, port: {}, management_port: {}}}]}}
views:
  keystone.database.connection: 'mysql+pymysql://{DATABASE_USER}:{{KeystonePassword:url}}@127.0.0.1:{}/{DATABASE_USER}'
  transport_url: 'rabbit://{{RpcPassword:user:guest}}:{{RpcPassword:url}}@127.0.0.1:{}//'
  database_password: '{{MysqlRootPassword}}'
",
        galera.join(", "),
        mq.port,
        mq.management_port,
        nodes[0].port,
        mq.port
    )
}

/// The Fernet repositories of the Keystones, whose tokens of before are not asked for again here.
fn keyrings(keystone: &Keystone) -> String {
    let node = |(at, instance): (usize, &donjon_tests::keystone::Instance)| {
        format!("{{name: ks{at}, path: {}}}", instance.repository("fernet").display())
    };
    let nodes: Vec<String> = (1..).zip(&keystone.instances).map(node).collect();
    format!(
        "keyrings:\n  KeystoneFernetKeys: {{driver: repository, life: 0, most: 3, nodes: [{}]}}\n",
        nodes.join(", ")
    )
}

/// A Keystone as a service: its workers start anew, away from clients, and its check is a token of its own.
fn service(keystone: &Keystone, at: usize, folder: &Path, proxy: &Haproxy) -> String {
    let (started, instance) = (started(folder, at), &keystone.instances[at]);
    let restart = format!("kill -HUP {} && date +%s%6N > {}", instance.pid(), started.display());
    let check =
        [tools::program("python").display().to_string(), folder.join("check.py").display().to_string(), instance.url()];
    format!(
        "  keystone{at}: {{driver: command, order: {}, settle: 60, quorum_group: keystone, uses: [keystone.database.connection], restart: [sh, -c, {restart:?}], started: [cat, {}], check: {check:?}, drain: {{driver: haproxy, backend: web, server: w{}, proxies: [{{socket: {}}}]}}}}\n",
        at + 2,
        started.display(),
        at + 1,
        proxy.socket().display()
    )
}

fn started(folder: &Path, at: usize) -> PathBuf {
    folder.join(format!("started{at}"))
}

/// The keys of a repository as the store holds them.
fn stored(repository: &Path) -> String {
    let keys: Map<String, Value> = std::fs::read_dir(repository)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap().into()))
        .collect();
    Value::Object(keys).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_issued_and_nobody_is_refused_while_everything_below_keystone_rotates() {
    let rabbit = RabbitMq::start_managed();
    let nodes = galera::start(&[]).await;
    for host in ["localhost", "127.0.0.1", "%"] {
        nodes[0].account("root", host, ROOT).await;
    }
    rabbit.user("guest", OLD).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
        path
    };
    file("check.py", crate::standalone::CHECK);

    let donjon = Donjon::new();
    let servers = servers(&nodes, &rabbit);
    donjon.describe(&servers);
    donjon.up();
    let put = |name: &str, value: &str| drop(donjon.run_with_input(&["put", name], value.as_bytes()).ok());
    put("MysqlRootPassword", ROOT);
    put("KeystonePassword", DATABASE_VALUE);
    put("RpcPassword", OLD);

    let mapping = file("mapping.conf", "[database]\nconnection = keystone.database.connection\n");
    let socket = donjon.home().join("run/donjon.sock");
    let lines = format!(
        "[DEFAULT]\nconfig_source = broker\n[broker]\ndriver = donjon\nmapping_file = {}\nsocket = {}\n",
        mapping.display(),
        socket.display()
    );
    let package = python_driver::installed();
    let environment = vec![("PYTHONPATH".to_owned(), package.path().display().to_string())];
    let setup = Setup { more: 1, database: Some(lines), environment, ..Setup::default() };
    let keystone = Keystone::start_with(&nodes[0], setup).await;
    keystone.user("app", "value-1").await;
    put("KeystoneFernetKeys", &stored(&keystone.instances[0].repository("fernet")));
    let ports: Vec<u16> = keystone.instances.iter().map(|instance| instance.port).collect();
    let proxy = Haproxy::before(&ports, "/v3", "check");
    let consumer = Consumer::new(&donjon, nodes[0].port);
    let keystones: String = (0..2).map(|at| service(&keystone, at, folder.path(), &proxy)).collect();
    let all = format!(
        "{servers}{}{}{keystones}",
        keyrings(&keystone),
        consumer.service().replace("settle: 20", "settle: 60\n    order: 1")
    );
    donjon.describe(&all);
    consumer.start();

    let root = Probed { user: "root", secret: "MysqlRootPassword", started: vec![consumer.started()] };
    let both = (0..2).map(|at| started(folder.path(), at)).collect();
    let database = Probed { user: DATABASE_USER, secret: "KeystonePassword", started: both };
    let (clients, begun) = (Clients::start(&proxy), Instant::now());
    let prober = Prober::start(socket, &nodes.each_ref().map(|node| node.port), &[root, database]);
    clients.go_on(20).await;
    let applied = donjon.run(&[&["rotate", "apply"], &ALL[..], &["--output", "json"]].concat()).json();
    clients.go_on(20).await;
    let (seen, took) = (prober.end().await, begun.elapsed().as_secs_f64());
    let (issued, failed) = clients.end().await;
    println!(
        "{issued} tokens in {took:.0} s, {failed} failed; {} logins probed, {:.0} a second, {} refused; root's consumer: {:?}",
        seen.logins,
        seen.logins as f64 / took,
        seen.refused.len(),
        consumer.report()
    );
    let rotations = applied["rotations"].as_array().unwrap();
    assert!(rotations.iter().all(|rotation| rotation["state"] == "retired"), "{applied}");
    assert_eq!(failed, 0, "of {issued} requests for a token");
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);
    assert_eq!((consumer.report().denied, consumer.report().started), (0, 2));

    let value = |name: &str| donjon.run(&["get", name]).ok();
    for node in &nodes {
        assert!(!node.logs_in("root", ROOT).await && node.logs_in("root", &value("MysqlRootPassword")).await);
        assert!(!node.logs_in(DATABASE_USER, DATABASE_VALUE).await);
        assert!(node.logs_in(DATABASE_USER, &value("KeystonePassword")).await);
    }
    drop(rabbit.session("guest_b", &value("RpcPassword")));
    assert!(value("transport_url").starts_with("rabbit://guest_b:"), "the view follows the name");
    for instance in &keystone.instances {
        let (now, then): (Value, Value) = (
            serde_json::from_str(&stored(&instance.repository("fernet"))).unwrap(),
            serde_json::from_str(&value("KeystoneFernetKeys")).unwrap(),
        );
        assert_eq!(now, then, "both sign with the same key");
    }
}

/// The control: a prober sees a value that is refused while somebody holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prober_sees_a_password_that_is_changed_the_usual_way() {
    let server = MariaDb::start().await;
    server.account("nova", "%", OLD).await;
    let donjon = Donjon::new();
    donjon.describe("deployment: site1\n");
    donjon.up();
    donjon.run_with_input(&["put", "nova_database_password"], OLD.as_bytes()).ok();
    let probed = Probed { user: "nova", secret: "nova_database_password", started: vec![PathBuf::from("/nowhere")] };
    let socket = donjon.home().join("run/donjon.sock");
    let prober = Prober::start(socket.clone(), &[server.port], std::slice::from_ref(&probed));
    prober.tried(50).await;
    // The server first, the store at once after it: for that moment what is served is refused.
    server.account("nova", "%", "a-new-service-password-0816").await;
    donjon.run_with_input(&["put", "nova_database_password"], b"a-new-service-password-0816").ok();
    prober.tried(200).await;
    let seen = prober.end().await;
    let of = |whose: &str| seen.refused.iter().filter(|what| what.contains(whose)).count();
    assert!(of("what the store serves") > 0 && of("what a consumer holds") > 0, "{seen:?}");
}
