//! Checks on a real MariaDB: each driver's check fails on a consumer that has a wrong value, and one that is fed wrong
//! values and does not mind is found out.

use donjon_drivers::{
    fs,
    host::{Host, local::Local},
    material::Material,
    service::{
        Service, ServiceError,
        fed::{Distrust, Fed},
        place::Place,
        registry::SERVICES,
    },
};
use donjon_tests::{
    debian_root::DebianRoot,
    mariadb::MariaDb,
    podman::{ENGINE_ARGUMENTS, Podman},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

const RIGHT: &str = "right-4hZq0Xw1";
const WRONG: &str = "wrong-9kLm2Tr8";

fn place(host: Arc<dyn Host>) -> Place {
    Place { service: "consumer".into(), host_name: "h".into(), host }
}

fn local() -> Arc<dyn Host> {
    Arc::new(Local::new("local", vec![]))
}

fn open(driver: &str, host: Arc<dyn Host>, options: Value) -> Arc<dyn Service> {
    SERVICES.open(driver, &serde_json::from_value(options).unwrap(), "services.consumer", place(host)).unwrap()
}

async fn server() -> MariaDb {
    let server = MariaDb::start().await;
    server.account("consumer", "%", RIGHT).await;
    server
}

/// Gives the consumer, whose folder this is, its value.
fn give(folder: &Path, server: &MariaDb, value: &str) {
    let text =
        format!("[client]\nhost=127.0.0.1\nport={}\nuser=consumer\npassword=\"{value}\"\nskip-ssl\n", server.port);
    fs::replace(&folder.join("consumer.cnf"), text.as_bytes()).unwrap();
}

/// The service runs whatever value it has; its check passes with the right one alone.
async fn tells_wrong_values(service: &dyn Service, folder: &Path, server: &MariaDb) {
    for _ in 0..2 {
        give(folder, server, RIGHT);
        service.restart().await.unwrap();
        service.check().await.unwrap();
        give(folder, server, WRONG);
        service.restart().await.unwrap();
        assert!(service.started().await.unwrap().is_some(), "to its service manager it is well");
        let failed = service.check().await.unwrap_err();
        assert!(matches!(&failed, ServiceError::Failed { act: "pass its check", .. }), "{failed}");
        assert!(!format!("{failed} {failed:?}").contains(WRONG));
    }
}

#[tokio::test]
async fn the_check_of_a_unit_fails_on_a_wrong_value() {
    let (server, debian) = (server().await, DebianRoot::boot().await);
    debian.unit("consumer.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    let check = ["mariadb", "--defaults-file=/test/consumer.cnf", "--execute=SELECT 1"];
    let host = Arc::new(debian.host("debian"));
    let service = open("systemd", host, json!({"unit": "consumer.service", "check": check}));
    tells_wrong_values(&*service, debian.folder(), &server).await;
}

#[tokio::test]
async fn the_check_of_a_container_fails_on_a_wrong_value() {
    let (server, container) = (server().await, Podman::start(&[], &["sleep", "infinity"]));
    let inside = ["exec", container.name(), "mariadb", "--defaults-file=/test/consumer.cnf", "--execute=SELECT 1"];
    let check: Vec<_> = ["podman"].into_iter().chain(ENGINE_ARGUMENTS).chain(inside).collect();
    let options = json!({
        "container": container.name(), "engine_arguments": ENGINE_ARGUMENTS, "stop_timeout": 0, "check": check,
    });
    tells_wrong_values(&*open("container", local(), options), container.folder(), &server).await;
}

#[tokio::test]
async fn the_check_of_an_operators_own_service_fails_on_a_wrong_value() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let (file, mark) = (folder.path().join("consumer.cnf"), folder.path().join("started"));
    let options = json!({
        "restart": ["sh", "-c", "date +%s%6N > \"$1\"", "sh", mark],
        "started": ["cat", mark],
        "check": ["mariadb", format!("--defaults-file={}", file.display()), "--execute=SELECT 1"],
    });
    tells_wrong_values(&*open("command", local(), options), folder.path(), &server).await;
}

#[tokio::test]
async fn a_check_is_trusted_once_it_has_told_a_wrong_value_from_the_right_one() {
    let server = server().await;
    let material = |text: &str| Material::from(text.to_owned());
    let (right, wrong) = (material(RIGHT), material(WRONG));
    // As the module's docs show it.
    let login = format!(
        "{{ printf '[client]\\npassword=\"'; cat; printf '\"\\n'; }} | mariadb --defaults-file=/dev/stdin --skip-ssl \
         --user=consumer --host=127.0.0.1 --port={} --execute='SELECT 1'",
        server.port
    );
    let fed = |words: Value| {
        let settings = serde_json::from_value(json!({"check": words})).unwrap();
        Fed::open(place(local()), &settings, "services.consumer").unwrap()
    };
    let proven = fed(json!(["sh", "-c", login])).prove(&wrong, &right).await.unwrap();
    proven.passes(&right).await.unwrap();
    assert!(matches!(proven.passes(&wrong).await, Err(ServiceError::Failed { .. })));
    // The new value, beside the old one as in a rotation, and after it.
    let new = material("new-7yBv3Nc5");
    assert!(proven.passes(&new).await.is_err());
    server.account("consumer", "%", "new-7yBv3Nc5").await;
    proven.passes(&new).await.unwrap();
    assert!(proven.passes(&right).await.is_err());

    let blind = fed(json!(["true"])).prove(&wrong, &new).await.unwrap_err();
    assert!(matches!(blind, Distrust::Blind { .. }), "{blind}");
    let broken = fed(json!(["false"])).prove(&wrong, &new).await.unwrap_err();
    assert!(matches!(broken, Distrust::Fails { .. }), "{broken}");
    // One that cannot be run at all has not told wrong from right.
    let missing = fed(json!(["/nowhere/check"])).prove(&wrong, &new).await.unwrap_err();
    assert!(matches!(missing, Distrust::Untested { .. }), "{missing}");
    assert!(Fed::open(place(local()), &Default::default(), "services.consumer").is_err());
}
