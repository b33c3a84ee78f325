//! MySQL root rotates under a real systemd unit in a booted Debian behind ssh, and a real podman container: both restart,
//! and both are proven by logins of their own.

use donjon_tests::{
    consumer::Report,
    debian_root::DebianRoot,
    donjon::Donjon,
    mariadb::MariaDb,
    podman::{ENGINE_ARGUMENTS, Podman},
    process::wait_for,
};
use std::{path::Path, time::Duration};

const OLD: &str = "the-first-root-password-4711";

#[tokio::test(flavor = "multi_thread")]
async fn root_rotates_under_a_systemd_unit_and_a_container() {
    let server = MariaDb::start().await;
    server.root_accounts(OLD).await;
    let debian = DebianRoot::boot().await;
    let mut donjon = Donjon::new();
    donjon.set("DONJON_SOCKET", &debian.folder().join("donjon.sock").display().to_string());
    donjon.describe(&deployment(&server, &debian, "none"));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();

    give_script(debian.folder());
    let unit = format!(
        "[Service]\nExecStart=/usr/bin/python3 /test/consumer.py /test/donjon.sock {} /test/report\nKillSignal=SIGKILL\n",
        server.port
    );
    debian.unit("consumer.service", &unit);
    debian.told(&["systemctl", "start", "consumer.service"]);
    let (port, volume) = (server.port.to_string(), format!("--volume={}:/donjon", debian.folder().display()));
    let words = ["python3", "/donjon/consumer.py", "/donjon/donjon.sock", &port, "/test/report"];
    let container = Podman::start(&[&volume], &words);
    let reports = || (Report::read(&debian.folder().join("report")), Report::read(&container.folder().join("report")));
    wait_for("both consumers to start", Duration::from_secs(20), || {
        reports().0.started == 1 && reports().1.started == 1
    });

    donjon.describe(&deployment(&server, &debian, container.name()));
    let plan = donjon.run(&["rotate", "plan", "database_password"]).ok();
    let steps = plan.find("unit@debian").zip(plan.find("box@local"));
    assert!(steps.is_some_and(|(unit, container)| unit < container), "in the order of the file: {plan}");
    let applied = donjon.run(&["rotate", "apply", "database_password", "--output", "json"]).json();
    let rotation = &applied["rotations"][0];
    assert_eq!(rotation["state"], "retired", "{applied}");
    assert_eq!(rotation["restarted"].as_array().map(Vec::len), Some(2), "{applied}");
    println!(
        "a rotation with a unit and a container took {} ms",
        rotation["microseconds"].as_i64().unwrap_or(0) / 1000
    );

    let logins = reports();
    wait_for("both to go on logging in", Duration::from_secs(20), || {
        reports().0.logins > logins.0.logins + 25 && reports().1.logins > logins.1.logins + 25
    });
    for report in [reports().0, reports().1] {
        assert_eq!((report.started, report.denied), (2, 0), "{report:?}");
    }
}

fn deployment(server: &MariaDb, debian: &DebianRoot, container: &str) -> String {
    let login = debian.login();
    let file = |path: Option<std::path::PathBuf>| path.unwrap_or_default().display().to_string();
    format!(
        "deployment: site1
hosts:
  debian: {{driver: ssh, address: {address}, port: {ssh}, user: root, identity: {identity}, known_hosts: {known}, config: {config}}}
targets:
  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {port}, socket: {socket}}}]}}
services:
  unit: {{driver: systemd, unit: consumer.service, hosts: [debian], order: 1, uses: [database_password]}}
  box: {{driver: container, container: {container}, engine_arguments: {arguments:?}, stop_timeout: 0, order: 2, uses: [database_password]}}
",
        address = login.address,
        ssh = login.port.unwrap_or(22),
        identity = file(login.identity),
        known = file(login.known_hosts),
        config = file(login.config),
        port = server.port,
        socket = server.socket().display(),
        arguments = ENGINE_ARGUMENTS,
    )
}

fn give_script(folder: &Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/consumer/consumer.py");
    std::fs::copy(script, folder.join("consumer.py")).expect("the fixture can be copied");
}
