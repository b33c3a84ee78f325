//! Schedules, notifications and metrics on a real MariaDB: what is due rotates by command and by itself, somebody is told,
//! and the figures parse.

use donjon_drivers::fs::replace;
use donjon_tests::{donjon::Donjon, listener::Listener, mariadb::MariaDb, process::wait_for};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

const OLD: &str = "the-first-root-password-4711";
const BOUND: Duration = Duration::from_secs(60);

async fn server() -> MariaDb {
    let server = MariaDb::start().await;
    for host in ["localhost", "127.0.0.1", "%"] {
        server.account("root", host, OLD).await;
    }
    server
}

fn deployment(server: &MariaDb, rest: &str) -> String {
    format!(
        "deployment: site1
targets:
  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}
{rest}",
        server.port,
        server.socket().display()
    )
}

fn stored(server: &MariaDb, rest: &str) -> Donjon {
    let donjon = Donjon::new();
    donjon.describe(&deployment(server, rest));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();
    donjon
}

fn of<'a>(schedule: &'a Value, secret: &str) -> &'a Value {
    schedule["secrets"].as_array().unwrap().iter().find(|s| s["secret"] == secret).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_rotates_and_nothing_else_does() {
    let server = server().await;
    let donjon = stored(&server, "schedules: {rules: [{secrets: [database_password], max_age: 90d}]}\n");
    let schedule = donjon.run(&["schedule", "--output", "json"]).json();
    assert_eq!(of(&schedule, "database_password")["due"], "later", "{schedule}");
    assert_eq!(donjon.run(&["schedule", "--detailed-exitcode"]).code, 0);
    let nothing = donjon.run(&["rotate", "apply", "--due", "--output", "json"]).json();
    let planned = donjon.run(&["rotate", "plan", "--due"]).ok();
    assert!(planned.starts_with("there is nothing to do"), "{planned}");
    assert_eq!(nothing["rotations"], serde_json::json!([]));
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), OLD);

    // Older than a second by now, but frozen; then due.
    let frozen = "schedules: {freezes: [{first: 2026-01-01, last: 2999-12-31}], rules: [{max_age: 0s}]}\n";
    donjon.describe(&deployment(&server, frozen));
    let schedule = donjon.run(&["schedule", "--output", "json"]).json();
    assert_eq!(of(&schedule, "database_password")["due"], "waits", "{schedule}");
    donjon.run(&["rotate", "apply", "--due"]).ok();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), OLD, "frozen");
    donjon.describe(&deployment(&server, "schedules: {rules: [{max_age: 0s}]}\n"));
    assert_eq!(donjon.run(&["schedule", "--detailed-exitcode"]).code, 12);
    let plan = donjon.run(&["rotate", "plan", "--due", "--output", "json"]).json();
    assert_eq!(plan["rotations"][0]["secrets"][0]["secret"], "database_password", "{plan}");
    let done = donjon.run(&["rotate", "apply", "--due", "--output", "json"]).json();
    assert_eq!(done["rotations"][0]["state"], "retired", "{done}");
    assert_ne!(donjon.run(&["get", "database_password"]).ok(), OLD);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_nobody_accepted_keeps_what_is_due_as_it_is() {
    let server = server().await;
    let donjon = stored(&server, "schedules: {rules: [{secrets: [memcache_secret_key], max_age: 0s}]}\n");
    donjon.run_with_input(&["put", "memcache_secret_key"], b"shared-by-its-readers-0815").ok();
    let refused = donjon.run(&["rotate", "apply", "--due"]).failed(8);
    assert!(refused.contains("memcache_secret_key") && refused.contains("outage"), "{refused}");
    let accepted = "schedules: {rules: [{secrets: [memcache_secret_key], max_age: 0s, accept_outage: true}]}\n";
    donjon.describe(&deployment(&server, accepted));
    donjon.run(&["rotate", "apply", "--due"]).ok();
    assert_ne!(donjon.run(&["get", "memcache_secret_key"]).ok(), "shared-by-its-readers-0815");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_keeps_nothing_else_that_is_due() {
    let server = server().await;
    let rules =
        "schedules: {rules: [{max_age: 0s, accept_outage: true, secrets: [database_password, memcache_secret_key]}]}\n";
    let donjon = stored(&server, rules);
    donjon.run_with_input(&["put", "memcache_secret_key"], b"shared-by-its-readers-0815").ok();
    // Nobody listens there.
    let away = deployment(&server, rules).replace(&format!("port: {}", server.port), "port: 1");
    donjon.describe(&away.replace(&server.socket().display().to_string(), "/nowhere/mysqld.sock"));
    let said = donjon.run(&["rotate", "apply", "--due"]).failed(6);
    assert!(said.contains("database_password") && said.contains("of the others: `memcache_secret_key`"), "{said}");
    assert_ne!(donjon.run(&["get", "memcache_secret_key"]).ok(), "shared-by-its-readers-0815");
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), OLD);
    // A person who names several decides what becomes of the others.
    let words = ["rotate", "apply", "--accept-outage", "database_password", "memcache_secret_key"];
    let before = donjon.run(&["get", "memcache_secret_key"]).ok();
    let said = donjon.run(&words).failed(6);
    assert!(said.contains("not begun: `memcache_secret_key`"), "{said}");
    assert_eq!(donjon.run(&["get", "memcache_secret_key"]).ok(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_rotates_by_policy_tells_and_counts() {
    let server = server().await;
    let (listener, folder) = (Listener::start(), tempfile::tempdir().unwrap());
    let (told, metrics) = (folder.path().join("told"), folder.path().join("donjon.prom"));
    let rest = |automatic: bool| {
        format!(
            "metrics: {metrics}
notifications:
  - {{name: operations, webhook: '{url}'}}
  - {{name: database squad, command: [/bin/sh, -c, 'cat >>{told}; echo >>{told}'], secrets: ['database_*'], on: [done, failed]}}
  - {{name: nobody, command: [/bin/false], secrets: [other]}}
schedules: {{automatic: {automatic}, every: 1s, rules: [{{secrets: [database_password], max_age: 0s}}]}}
",
            metrics = metrics.display(),
            told = told.display(),
            url = listener.url(),
        )
    };
    listener.fail(1);
    let donjon = stored(&server, &rest(false));
    let events = |listener: &Listener| -> Vec<Value> {
        listener.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    };
    // Due, and nobody rotates it; the first attempt to tell was refused.
    wait_for("the operators to be told", BOUND, || events(&listener).iter().any(|event| event["event"] == "overdue"));
    assert_eq!(listener.failures_left(), 0);
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), OLD, "nothing rotates by itself yet");

    donjon.describe(&deployment(&server, &rest(true)));
    wait_for("the daemon to rotate", BOUND, || donjon.run(&["get", "database_password"]).out != OLD);
    donjon.describe(&deployment(&server, &rest(false)));
    wait_for("everybody to be told", BOUND, || {
        let squad = std::fs::read_to_string(&told).unwrap_or_default();
        squad.contains("\"event\":\"done\"") && events(&listener).iter().any(|event| event["event"] == "done")
    });
    wait_for("the last rotation to end", BOUND, || donjon.run(&["rotate", "status"]).code == 0);

    let done = events(&listener).into_iter().find(|event| event["event"] == "done").unwrap();
    assert_eq!((&done["to"], &done["state"]), (&"operations".into(), &"retired".into()), "{done}");
    assert_eq!(done["secrets"], serde_json::json!(["database_password"]));

    // A failure is told too, and a hook that fails stops nothing.
    server.account("root", "%", "changed-by-someone-else-1").await;
    assert_ne!(donjon.run(&["rotate", "apply", "database_password"]).code, 0);
    wait_for("the failure to be told", BOUND, || events(&listener).iter().any(|event| event["event"] == "failed"));

    // The figures, in the file and by command.
    wait_for("the metrics to follow", BOUND, || parsed(&metrics).contains_key("donjon_rotation_state"));
    let by_command = donjon.run(&["metrics"]).ok();
    let figures = parse(&by_command);
    for name in ["donjon_secret_age_seconds", "donjon_secret_due", "donjon_rotation_last_success_timestamp_seconds"] {
        let series = &figures[name];
        assert!(series.iter().any(|(labels, _)| labels == "secret=\"database_password\""), "{name}: {series:?}");
    }
    let state = &figures["donjon_rotation_state"][0];
    assert_eq!((state.0.as_str(), state.1), ("secret=\"database_password\",state=\"retired\"", 1.0));

    // No value anywhere; the control is the name.
    let values: Vec<String> =
        (1..=2).map(|n| donjon.run(&["get", "database_password", "--version", &n.to_string()]).ok()).collect();
    let texts = [listener.bodies().concat(), std::fs::read_to_string(&told).unwrap(), by_command, donjon.log()];
    for text in texts.iter().take(3) {
        assert!(text.contains("database_password"), "the control: {text}");
    }
    for text in &texts {
        assert!(values.iter().all(|value| !text.contains(value.as_str())), "a value was told: {text}");
        assert!(!text.contains("hook-token-0815"), "the hook's own address is in no log: {text}");
    }
}

fn parsed(path: &Path) -> BTreeMap<String, Vec<(String, f64)>> {
    std::fs::read_to_string(path).map(|text| parse(&text)).unwrap_or_default()
}

/// Series by name, as the text format has them; anything else is a panic.
fn parse(text: &str) -> BTreeMap<String, Vec<(String, f64)>> {
    assert!(text.ends_with('\n'), "the last line is whole");
    let mut found: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = series.split_once('{').unwrap_or_else(|| panic!("{line}"));
        let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        found.entry(name.to_owned()).or_default().push((labels.to_owned(), value));
    }
    found
}

#[test]
fn the_units_that_are_shipped_are_understood_by_systemd() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../broker/systemd"));
    let own = tempfile::tempdir().unwrap();
    for unit in ["donjon.service", "donjon-rotate.service", "donjon-rotate.timer"] {
        let text = std::fs::read_to_string(folder.join(unit)).unwrap();
        assert!(text.starts_with('#'), "{unit} says what it is for");
        // The program is there under another name while it is not installed.
        let binary = donjon_tests::donjon::binary().display().to_string();
        replace(&own.path().join(unit), text.replace("/usr/bin/donjon", &binary).as_bytes()).unwrap();
    }
    let verify = |folder: &Path| {
        let units = ["donjon.service", "donjon-rotate.service", "donjon-rotate.timer"].map(|unit| folder.join(unit));
        Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).args(units).output()
    };
    let Ok(verified) = verify(own.path()) else {
        println!("systemd-analyze is not to be had here; the units were not verified");
        return;
    };
    let told = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !told.contains("donjon"), "{told}");
    let unit = own.path().join("donjon.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    replace(&unit, text.replace("ProtectSystem=strict", "ProtectSystem=somewhat").as_bytes()).unwrap();
    let control = verify(own.path()).unwrap();
    assert!(String::from_utf8_lossy(&control.stderr).contains("protect system"), "the control: {control:?}");
}

/// A service that is not deployed has no account: the others of its wave rotate all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_and_has_no_account_keeps_nothing_else_back() {
    let server = server().await;
    let donjon = stored(&server, "schedules: {rules: [{secrets: ['*_database_password'], max_age: 0s}]}\n");
    server.account("nova", "%", OLD).await;
    for name in ["nova_database_password", "heat_database_password"] {
        donjon.run_with_input(&["put", name], OLD.as_bytes()).ok();
    }
    let done = donjon.run(&["rotate", "apply", "--due", "--output", "json"]).json();
    assert_eq!(done["rotations"][0]["state"], "retired", "{done:#}");
    assert_eq!(done["left"][0]["secret"], "heat_database_password", "{done:#}");
    assert_ne!(donjon.run(&["get", "nova_database_password"]).ok(), OLD);
    assert_eq!(donjon.run(&["get", "heat_database_password"]).ok(), OLD);
    // Who names it himself is told.
    let named = donjon.run(&["rotate", "apply", "nova_database_password", "heat_database_password"]).failed(4);
    assert!(named.contains("no account of heat"), "{named}");
}
