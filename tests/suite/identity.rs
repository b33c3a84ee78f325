//! The issue that this project is for, in small: a database password changes under a Keystone that issues tokens.

use crate::clients::Clients;
use donjon_drivers::{
    drain::registry::{DRAINS, Place},
    host::{Host, local::Local},
    material::Material,
    store::{
        Document, Expected, RecordPath, Store, Version,
        secret::{Origin, SecretRecord, SecretValue},
        vault::Trust,
    },
    target::{
        Account, Admin, Began, Login, Target,
        mariadb::{Limits, MariaDb as Driver},
    },
};
use donjon_tests::{
    haproxy::Haproxy,
    keystone::{DATABASE_USER, DATABASE_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    openbao::OpenBao,
};
use serde_json::json;
use std::sync::Arc;

const RECORD: &str = "kolla/keystone.database.connection";

/// Publishes the database's URL.
async fn publish(store: &Arc<dyn Store>, port: u16, value: &str, expected: Expected) -> Version {
    let url = format!("mysql+pymysql://{DATABASE_USER}:{value}@127.0.0.1:{port}/{DATABASE_USER}");
    let record = SecretRecord {
        name: "keystone.database.connection".parse().unwrap(),
        value: SecretValue::Whole(Material::from(url)),
        created: 1_700_000_000,
        origin: Origin::Assembled,
        user: None,
    };
    let document: Document = record.to_document().unwrap();
    store.write(&RECORD.parse::<RecordPath>().unwrap(), &document, expected).await.unwrap()
}

/// The lines of a service that has its database's URL from the store, and the folder that they name.
fn from_the_store(vault: &OpenBao) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Trust::Only(authority) = &vault.address().trust else { panic!("the harness trusts its own authority") };
    let token = vault.root().expose_text().unwrap(); // EXPOSE: the token of a server that lives for one test
    let castellan = format!(
        "[key_manager]\nbackend = vault\n[vault]\nvault_url = {}\nkv_mountpoint = kv\nroot_token_id = {token}\n\
         use_ssl = true\nssl_ca_crt_file = {}\n",
        vault.address().url,
        at("authority.pem").display()
    );
    for (name, content) in [
        ("authority.pem", authority.as_slice()),
        ("castellan.conf", castellan.as_bytes()),
        ("mapping.conf", format!("[database]\nconnection = {RECORD}\n").as_bytes()),
    ] {
        donjon_drivers::fs::replace(&at(name), content).unwrap();
    }
    let lines = format!(
        "[DEFAULT]\nconfig_source = secrets\n[secrets]\ndriver = castellan\nconfig_file = {}\nmapping_file = {}",
        at("castellan.conf").display(),
        at("mapping.conf").display()
    );
    (lines, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_password_changes_under_two_keystones_and_no_token_request_fails() {
    let (database, vault) = tokio::join!(MariaDb::start(), OpenBao::start());
    let store = vault.store();
    let first = publish(&store, database.port, DATABASE_VALUE, Expected::Absent).await;
    let (lines, _folder) = from_the_store(&vault);
    let mut keystone =
        Keystone::start_with(&database, Setup { more: 1, database: Some(lines), ..Setup::default() }).await;
    keystone.user("app", "value-1").await;
    let ports: Vec<u16> = keystone.instances.iter().map(|instance| instance.port).collect();
    let proxy = Haproxy::before(&ports, "/v3", "check");
    let host: Arc<dyn Host> = Arc::new(Local::new("local", vec![]));
    let drain = |server: &str| {
        let place =
            Place { host_name: server.into(), hosts: Arc::new([("local".to_owned(), Arc::clone(&host))].into()) };
        let options = json!({"backend": "web", "proxies": [{"socket": proxy.socket()}]});
        DRAINS.open("haproxy", &serde_json::from_value(options).unwrap(), "keystone.drain", place).unwrap()
    };
    database.account("keeper", "localhost", "keeper-value-1").await;
    let driver = Driver::new(vec![database.member("db1")], Limits::default());
    let (keeper, old, new) =
        ["keeper-value-1", DATABASE_VALUE, "keystone-database-2"].map(|v| Material::from(v.to_owned())).into();
    let admin = Admin { user: "keeper", values: &[&keeper], fence: None, passes: &[] };
    let account = Account { user: DATABASE_USER.into(), host: "%".into() };

    let clients = Clients::start(&proxy);
    clients.go_on(20).await;
    driver.declare(&admin, &account, &[&new, &old]).await.unwrap();
    publish(&store, database.port, "keystone-database-2", Expected::Newest(first)).await;
    let mark = driver.mark(&admin, &driver.nodes()[0]).await.unwrap();
    let of_before = async || {
        driver.sessions(&admin, &driver.nodes()[0], DATABASE_USER, Began::NoLaterThan(mark)).await.unwrap().len()
    };
    assert!(of_before().await > 0, "the control: both instances hold sessions");
    for (at, server) in ["w1", "w2"].into_iter().enumerate() {
        let drain = drain(server);
        let before = drain.standing().await.unwrap();
        drain.drain().await.unwrap();
        keystone.restart(at).await;
        drain.release(&before).await.unwrap();
        clients.go_on(10).await;
    }
    assert_eq!(of_before().await, 0, "none is left of those");
    driver.declare(&admin, &account, &[&new]).await.unwrap();
    clients.go_on(20).await;
    let found = driver.login(&driver.nodes()[0], &account, std::slice::from_ref(&account), &old).await.unwrap();
    assert_eq!(found, Login::Refused);
    let (issued, failed) = clients.end().await;
    assert_eq!(failed, 0, "of {issued}");
    println!("{issued} tokens issued, none refused");

    // The control: these clients would have seen an instance go that was not drained.
    let clients = Clients::start(&proxy);
    clients.go_on(5).await;
    keystone.restart(0).await;
    clients.go_on(5).await;
    let (issued, failed) = clients.end().await;
    assert!(failed > 0, "of {issued}");
}
