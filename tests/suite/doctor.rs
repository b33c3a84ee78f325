//! `donjon doctor` on a real MariaDB: what it says when all is well, after a kill, after a change on the server, without
//! the server; that what it says to type mends it; and that it never says a value.

mod elsewhere;

use donjon_tests::{
    donjon::{Donjon, Ran, runs},
    mariadb::MariaDb,
    process::wait_for,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const OLD: &str = "the-first-root-password-4711";
const OTHERS: &str = "someone-elses-password-0815";

async fn site() -> (MariaDb, Donjon) {
    let server = MariaDb::start().await;
    server.root_accounts(OLD).await;
    let donjon = Donjon::verbose();
    donjon.describe(&format!(
        "deployment: site1
targets:
  mariadb:
    driver: mariadb
    nodes:
      - {{name: db1, address: 127.0.0.1, port: {port}, socket: {socket}}}
",
        port = server.port,
        socket = server.socket().display(),
    ));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();
    (server, donjon)
}

/// Asks the doctor, and holds against it every value that is or was there.
fn doctor(donjon: &Donjon, arguments: &[&str], code: i32) -> Value {
    let people: Ran = donjon.run(&[&["doctor"], arguments].concat());
    let ran = donjon.run(&[&["doctor"], arguments, &["--output", "json"]].concat());
    assert_eq!((ran.code, people.code), (code, code), "{people:#?}\n{ran:#?}");
    let mut values = vec![OLD.to_owned(), OTHERS.to_owned()];
    values.extend((1..=2).map(|n| donjon.run(&["get", "database_password", "--version", &n.to_string()]).out));
    told_nothing(donjon, &values);
    serde_json::from_str(&ran.out).unwrap()
}

/// None of the values was shown, or stands in the log at its finest level.
#[track_caller]
fn told_nothing(donjon: &Donjon, values: &[String]) {
    let values: Vec<&str> = values.iter().map(String::as_str).filter(|value| !value.is_empty()).collect();
    assert_eq!(donjon.tells(&values), [] as [PathBuf; 0]);
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The answers of the accounts to one stored value, without that for which another one answers.
fn answers(secret: &Value, label: &str) -> Vec<String> {
    let logins = secret["logins"].as_array().unwrap().iter().filter(|login| login["value"] == label);
    let answers = logins.map(|login| login["answer"].as_str().unwrap().to_owned());
    answers.filter(|answer| answer != "shadowed").collect()
}

/// Types what the doctor said, in a shell that finds donjon.
fn type_in(donjon: &Donjon, lines: &[String]) {
    let folder = donjon_tests::donjon::binary();
    let folder = folder.parent().map(Path::display).unwrap();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let script = lines.join("\n");
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script]).env("PATH", path).env("DONJON_HOME", donjon.home());
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_where_all_is_well() {
    let (server, donjon) = site().await;
    assert!(doctor(&donjon, &[], 0)["secrets"].as_array().unwrap().is_empty(), "no rotation is under way");
    let denied = async || server.sql("show global status like 'Access_denied_errors'").await[0][1].clone();
    let before = denied().await;
    let seen = doctor(&donjon, &["database_password"], 0);
    assert_eq!(denied().await, before, "a look at a healthy account is no denied login");
    let secret = &seen["secrets"][0];
    assert_eq!((secret["health"].as_str(), secret["rotation"].is_null()), (Some("healthy"), true), "{seen}");
    assert_eq!(answers(secret, "current"), ["accepted"; 2], "{seen}");
    assert!(words(&secret["findings"]).is_empty() && words(&secret["next"]).is_empty(), "{seen}");
    let all = doctor(&donjon, &["--all"], 0);
    assert_eq!(all["secrets"][0]["secret"], "database_password", "{all}");
    donjon.run_with_input(&["put", "aodh_database_password"], b"of-a-service-that-is-not-there").ok();
    let told = donjon.run(&["doctor", "--all"]).ok();
    assert!(told.starts_with("1 healthy, 0 untried, 1 without account, 0 with findings"), "{told}");
    assert!(told.contains("without account: aodh_database_password") && !told.contains("ALTER USER"), "{told}");
    donjon.run(&["doctor", "aodh_database_password"]).failed(4);
    donjon.run(&["doctor", "no_such_secret"]).failed(4);
    donjon.run(&["rotate", "apply", "database_password"]).ok();
    let secret = &doctor(&donjon, &["database_password"], 0)["secrets"][0];
    assert_eq!(secret["values"][1]["label"], "previous", "the kept value is known, and not tried in vain: {secret}");
    assert!(answers(secret, "previous").is_empty(), "{secret}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_where_a_killed_rotation_stands_and_how_it_goes_on() {
    let (server, mut donjon) = site().await;
    // Point, the state it leaves, and what is to be typed first.
    let cases = [
        ("rotation.moved.staged", "staged", true),
        ("rotation.moved.added", "added", true),
        ("rotation.moved.rolling", "rolling", false),
        ("rotation.moved.drained", "drained", false),
        ("rotation.moved.trial", "trial", false),
    ];
    for (point, state, can_go_back) in cases {
        killed_at(&mut donjon, point);
        let seen = doctor(&donjon, &[], 13);
        let secret = &seen["secrets"][0];
        assert_eq!(secret["rotation"]["state"], state, "{seen}");
        let next = words(&secret["next"]);
        assert!(next[0].starts_with("donjon rotate resume database_password"), "{next:?}");
        assert_eq!(next.iter().any(|line| line.contains("rotate abort")), can_go_back, "{point}: {next:?}");
        assert!(answers(secret, "current").iter().all(|answer| answer == "accepted"), "invariant 5: {seen}");
        let other = if can_go_back { "pending" } else { "previous" };
        // In the trial a login with the old value would look like a straggler's.
        let (answered, told) = match state {
            "staged" => (vec!["refused"; 2], "is refused everywhere"),
            "trial" => (vec![], "the new value, version"),
            _ => (vec!["accepted"; 2], "is still valid everywhere"),
        };
        assert_eq!(answers(secret, other), answered, "{point}: {seen}");
        assert!(words(&secret["findings"]).iter().any(|finding| finding.contains(told)), "{point}: {seen}");
        if state == "rolling" {
            // Someone sets one password there meanwhile, as a deployer's own tasks do.
            let old = server_value(&donjon, secret);
            server.account("root", "%", &old).await;
            let secret = &doctor(&donjon, &[], 13)["secrets"][0];
            let findings = words(&secret["findings"]).join("\n");
            assert!(findings.contains("someone changed root@% on db1") && findings.contains("current"), "{findings}");
        }
        type_in(&donjon, &next[..1]);
        assert_eq!(doctor(&donjon, &["database_password"], 0)["health"], "healthy", "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doctor_says_mends_a_strangers_value_in_the_middle_of_a_rotation() {
    let (server, mut donjon) = site().await;
    // As on Debian: the system's root is let in by the socket.
    let hash = server.sql(&format!("SELECT PASSWORD('{OLD}')")).await[0][0].clone();
    let chain = format!("unix_socket OR mysql_native_password USING '{hash}'");
    server.sql(&format!("ALTER USER root@localhost IDENTIFIED VIA {chain}")).await;
    killed_at(&mut donjon, "rotation.moved.rolling");
    server.account("root", "%", OTHERS).await;
    let error = donjon.run(&["rotate", "resume"]).failed(11);
    assert!(error.contains("donjon doctor"), "{error}");
    let seen = doctor(&donjon, &[], 10);
    let findings = words(&seen["secrets"][0]["findings"]).join("\n");
    assert!(findings.contains("no stored value works for root@% on db1"), "{findings}");
    let next = words(&seen["secrets"][0]["next"]);
    let (mending, going_on) = next.split_at(next.iter().position(|line| line.contains("rotate resume")).unwrap());
    assert!(mending.iter().any(|line| line.contains("ALTER USER")), "{next:?}");
    if rustix::process::geteuid().is_root() {
        // To look again is the last of the mending, and ends with 13 until the rotation goes on.
        let mending: Vec<String> = mending.iter().filter(|line| !line.starts_with("donjon doctor")).cloned().collect();
        type_in(&donjon, &mending);
        type_in(&donjon, &going_on[..1]);
        assert_eq!(doctor(&donjon, &["database_password"], 0)["health"], "healthy");
    }
}

/// The old value of the rotation that goes on.
fn server_value(donjon: &Donjon, secret: &Value) -> String {
    let stored = secret["values"].as_array().unwrap();
    let previous = stored.iter().find(|stored| stored["label"] == "previous").unwrap();
    donjon.run(&["get", "database_password", "--version", &previous["version"].to_string()]).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_of_a_change_on_the_server_and_what_it_says_mends_it() {
    let (server, donjon) = site().await;
    donjon.run(&["rotate", "apply", "database_password"]).ok();

    // One account has another password: no stored value works there, and the others still do.
    server.account("root", "%", OTHERS).await;
    let seen = doctor(&donjon, &["database_password"], 10);
    let findings = words(&seen["secrets"][0]["findings"]).join("\n");
    assert!(findings.contains("no stored value works for root@% on db1"), "{findings}");
    let other = format!("*{:040X}", 4711);
    let chain = format!("unix_socket OR mysql_native_password USING '{other}'");
    server.sql(&format!("ALTER USER root@localhost IDENTIFIED VIA {chain}")).await;
    donjon.run_with_input(&["put", "database_password"], b"stored-and-nowhere-accepted-3").ok();
    server.account("root", "%", OLD).await;
    let seen = doctor(&donjon, &["database_password"], 10);
    let next = words(&seen["secrets"][0]["next"]);
    if rustix::process::geteuid().is_root() {
        // As the system's root on the node, by its own socket.
        assert!(next[0].starts_with("donjon put database_password"), "one way, and another: {next:?}");
        type_in(&donjon, &next[1..]);
        assert_eq!(doctor(&donjon, &["database_password"], 0)["health"], "healthy");
    }

    // Someone put the previous value back everywhere.
    let previous = donjon.run(&["get", "database_password"]).ok();
    server.root_accounts(&previous).await;
    donjon.run_with_input(&["put", "database_password"], b"never-given-to-the-server-1").ok();
    let seen = doctor(&donjon, &["database_password"], 10);
    let next = words(&seen["secrets"][0]["next"]);
    assert!(next[0].contains("--version 3 | donjon put database_password"), "{next:?}");
    type_in(&donjon, &next[..1]);
    assert_eq!(doctor(&donjon, &["database_password"], 0)["health"], "healthy");

    // The administrator itself is locked out.
    server.root_accounts(OTHERS).await;
    let seen = doctor(&donjon, &["database_password"], 10);
    let secret = &seen["secrets"][0];
    let findings = words(&secret["findings"]).join("\n");
    assert!(findings.contains("refuses every value that is stored for its administrator"), "{findings}");
    assert!(words(&secret["next"])[0].starts_with("donjon put database_password"), "{secret}");
    donjon.run_with_input(&["put", "database_password"], OTHERS.as_bytes()).ok();
    assert_eq!(doctor(&donjon, &["database_password"], 0)["health"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_a_node_that_does_not_answer() {
    let (mut server, mut donjon) = site().await;
    server.kill();
    let seen = doctor(&donjon, &["database_password"], 6);
    let findings = words(&seen["secrets"][0]["findings"]).join("\n");
    assert!(findings.contains("no answer from db1 of `mariadb` (127.0.0.1:"), "{findings}");
    server.restart().await;
    killed_at(&mut donjon, "rotation.moved.added");
    server.kill();
    let seen = doctor(&donjon, &[], 6);
    let next = words(&seen["secrets"][0]["next"]);
    assert!(next[0].starts_with("donjon rotate resume"), "{next:?}");
    server.restart().await;
    type_in(&donjon, &next[..1]);
}

fn killed_at(donjon: &mut Donjon, point: &str) {
    donjon.kill_daemon();
    donjon.set("FAILPOINTS", &format!("{point}=return"));
    donjon.up();
    donjon.unset("FAILPOINTS");
    let victim = donjon.daemon().unwrap();
    donjon.run(&["rotate", "apply", "database_password"]).failed(6);
    wait_for("the killed daemon", Duration::from_secs(60), || !runs(victim));
    donjon.up();
}

/// A service on one of its hosts is asked for, and its secret looked at.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_an_inventory_are_hosts_to_it() {
    let (_server, donjon) = site().await;
    let inventory = donjon.home().join("multinode");
    donjon_drivers::fs::replace(&inventory, b"[control]\ncontrol01 ansible_connection=local\n").unwrap();
    let described = std::fs::read_to_string(donjon.home().join("donjon.yaml")).unwrap();
    let more = format!(
        "inventory: {{file: {}, program: {}}}\nservices:\n  web: {{driver: command, restart: ['true'], started: [echo, '1'], check: ['true'], hosts: [control01], uses: [database_password]}}\n",
        inventory.display(),
        donjon_tests::tools::program("ansible-inventory").display()
    );
    donjon.describe(&(described + &more));
    let ran = donjon.run(&["doctor", "database_password", "--output", "json"]);
    let seen: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"));
    assert_eq!(seen["left"], serde_json::json!([]), "{seen:#}");
    assert!(!answers(&seen["secrets"][0], "current").is_empty(), "{seen:#}");
}

#[test]
fn where_nothing_was_tried_nothing_is_healthy() {
    let donjon = Donjon::verbose();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], b"of-a-server-that-is-not-described").ok();
    donjon.run_with_input(&["put", "memcache_secret_key"], b"of-no-account-anywhere").ok();
    for asked in ["database_password", "memcache_secret_key", "--all"] {
        assert_eq!(doctor(&donjon, &[asked], 2)["health"], "untried", "{asked}");
    }
    let told = donjon.run(&["doctor", "--all"]);
    assert!(told.out.starts_with("0 healthy, 2 untried, 0 without account, 0 with findings"), "{told:#?}");
}
