//! The watch of a trial on a real MariaDB: a straggler of the deployment brings its account's old value back, once; a stranger
//! and this machine do not.

use donjon_tests::{
    donjon::Donjon,
    mariadb::MariaDb,
    process::{Guard, wait_for},
    sshd::{Sshd, key_pair},
    tools,
};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const OLD: &str = "the-first-root-password-4711";

/// Where `web1` is, a host of the deployment; and one of which the deployment knows nothing.
const HOST: &str = "127.0.0.5";
const STRANGER: &str = "127.0.0.9";

async fn site() -> (MariaDb, Donjon) {
    site_with("", "").await
}

/// With more under `hosts`, and more said of the node.
async fn site_with(hosts: &str, node: &str) -> (MariaDb, Donjon) {
    let server = MariaDb::start_with(&["--skip-name-resolve"]).await;
    for host in ["localhost", "%"] {
        server.account("root", host, OLD).await;
    }
    let log = server.folder().join("error.log");
    assert!(fs::metadata(&log).is_ok_and(|log| log.len() > 0), "the server writes a log: {}", log.display());
    let donjon = Donjon::new();
    donjon.describe(&format!(
        "deployment: site1
trial: 3
hosts:
  web1: {{driver: ssh, address: {HOST}, user: root}}
{hosts}targets:
  mariadb:
    driver: mariadb
    nodes:
      - {{name: db1, address: 127.0.0.1, port: {port}, socket: {socket}, log: {log}{node}}}
",
        port = server.port,
        socket = server.socket().display(),
        log = log.display(),
    ));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();
    (server, donjon)
}

/// Logs in as root with the old value from an address, ten times a second, whatever comes of it.
fn knocker(folder: &Path, port: u16, from: &str) -> Guard {
    let script = folder.join(format!("{from}.py"));
    let text = format!(
        "import pymysql, time\nwhile True:\n    try:\n        pymysql.connect(host='127.0.0.1', port={port}, user='root', password='{OLD}', bind_address='{from}').close()\n    except pymysql.err.OperationalError:\n        pass\n    time.sleep(0.1)\n"
    );
    donjon_drivers::fs::replace(&script, text.as_bytes()).unwrap();
    let mut command = Command::new(tools::program("python"));
    Guard::start(command.arg(script).stderr(Stdio::null())).expect("python is there")
}

/// Whether root gets in from an address with a value.
fn gets_in(port: u16, from: &str, value: &str) -> bool {
    let script = format!(
        "import pymysql\npymysql.connect(host='127.0.0.1', port={port}, user='root', password='{value}', bind_address='{from}').close()"
    );
    let mut command = Command::new(tools::program("python"));
    command.args(["-c", &script]).stderr(Stdio::null()).status().expect("python is there").success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_of_the_deployment_brings_the_old_value_back_once_for_its_account() {
    let (server, donjon) = site().await;
    let folder = tempfile::tempdir().unwrap();
    let straggler = knocker(folder.path(), server.port, HOST);
    let waits = donjon.run(&["rotate", "apply", "database_password"]).failed(13);
    assert!(waits.contains("knocks") && waits.contains("web1") && waits.contains("root@%"), "{waits}");
    let new = donjon.run(&["get", "database_password"]).ok();
    assert!(new != OLD && gets_in(server.port, HOST, &new), "what is served works");
    assert!(gets_in(server.port, HOST, OLD), "it came back where the straggler knocks");
    let locally = server.sql("select priv from mysql.global_priv where user = 'root' and host = 'localhost'").await;
    assert!(!locally[0][0].contains(&donjon_tests::mariadb::native_hash(OLD)), "and nowhere else");
    donjon.run(&["rotate", "status"]).failed(13);

    // It goes on knocking: the old value does not come back a second time.
    let resumed = donjon.run(&["rotate", "resume"]);
    assert_eq!(resumed.code, 0, "{resumed:#?}");
    assert!(resumed.err.contains("stays removed now"), "{resumed:#?}");
    drop(straggler);
    assert!(!gets_in(server.port, HOST, OLD) && gets_in(server.port, HOST, &new));
    donjon.run(&["rotate", "status"]).ok();
}

/// A deployer that knows nothing of Donjon sets what is in its own file.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_value_that_is_set_again_while_the_trial_runs_is_removed_again() {
    let (server, donjon) = site().await;
    let donjon = std::sync::Arc::new(donjon);
    let rotating = tokio::task::spawn_blocking({
        let donjon = donjon.clone();
        move || donjon.run(&["rotate", "apply", "database_password"])
    });
    let (port, hash) = (server.port, donjon_tests::mariadb::native_hash(OLD));
    let is_set = async || {
        let found = server.sql("select priv from mysql.global_priv where user = 'root' and host = '%'").await;
        found[0][0].contains(&hash)
    };
    // Not as soon as the old value goes: whoever sets one while accounts change stops the rotation. And the trial is short:
    // nothing that takes its time is asked while it runs.
    wait_for("the trial", Duration::from_secs(60), || donjon.run(&["rotate", "status"]).out.contains("trial"));
    assert!(!is_set().await, "the old value is gone");
    server.sql(&format!("alter user root@'%' identified by password '{hash}'")).await;
    assert!(is_set().await, "the control: it is set");
    let applied = rotating.await.unwrap();
    assert_eq!(applied.code, 0, "{applied:#?}");
    assert!(applied.err.contains("someone has set an old value again"), "{applied:#?}");
    let new = donjon.run(&["get", "database_password"]).ok();
    assert!(!gets_in(port, STRANGER, OLD) && gets_in(port, STRANGER, &new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_and_this_machine_are_told_and_not_obeyed() {
    let (server, donjon) = site().await;
    let folder = tempfile::tempdir().unwrap();
    let _knocking = [STRANGER, "127.0.0.1"].map(|from| knocker(folder.path(), server.port, from));
    let applied = donjon.run(&["rotate", "apply", "database_password"]);
    assert_eq!(applied.code, 0, "{applied:#?}");
    let told = |from: &str, whose: &str| {
        let line = applied.err.lines().find(|line| line.contains(&format!("from {from}:")));
        assert!(line.is_some_and(|line| line.contains(whose)), "{from}: {applied:#?}");
    };
    told(STRANGER, "no host of the deployment");
    told("127.0.0.1", "local, where nothing is missing");
    let new = donjon.run(&["get", "database_password"]).ok();
    for from in [STRANGER, "127.0.0.1", HOST] {
        assert!(!gets_in(server.port, from, OLD) && gets_in(server.port, from, &new), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lies_on_a_host_of_the_deployment_is_read_there() {
    let (sshd, (private, public)) = (Sshd::start(), key_pair());
    sshd.user("root", &public);
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    donjon_drivers::fs::replace(&identity, private.as_bytes()).unwrap();
    let host = format!(
        "  db1: {{driver: ssh, address: 127.0.0.1, port: {}, user: root, identity: {}, known_hosts: {}, config: /dev/null}}\n",
        sshd.port,
        identity.display(),
        sshd.known_hosts().display()
    );
    let (server, donjon) = site_with(&host, ", log_host: db1").await;
    let straggler = knocker(folder.path(), server.port, HOST);
    let waits = donjon.run(&["rotate", "apply", "database_password"]).failed(13);
    assert!(waits.contains("knocks") && waits.contains("web1") && waits.contains("root@%"), "{waits}");
    drop(straggler);

    // Nobody can tell who knocks while it cannot be read; the rotation stands, and goes on once it can.
    let [log, aside] = ["error.log", "error.log.aside"].map(|name| server.folder().join(name));
    fs::rename(&log, &aside).unwrap();
    let away = donjon.run(&["rotate", "resume"]).failed(1);
    assert!(away.contains("error.log on db1") && away.contains("No such file"), "{away}");
    fs::rename(&aside, &log).unwrap();
    donjon.run(&["rotate", "resume"]).ok();
    assert!(!gets_in(server.port, HOST, OLD));
}

#[tokio::test]
async fn a_log_on_a_host_that_is_not_described_is_a_mistake() {
    let (_server, donjon) = site_with("", ", log_host: db1").await;
    let mistake = donjon.run(&["rotate", "apply", "database_password"]).failed(2);
    assert!(mistake.contains("no host `db1`") && mistake.contains("nothing was changed"), "{mistake}");
}
