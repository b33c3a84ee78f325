//! MySQL root rotates on a real MariaDB with its journal in a real OpenBao, whatever is killed or lost on the way.

use donjon::rotation::checkpoint::{ABORT_POINTS, MOVING, POINTS, RESTORE_POINTS};
use donjon_tests::{
    aloud,
    consumer::Consumer,
    donjon::{Donjon, Ran, runs},
    mariadb::{MariaDb, ROOT_HOSTS},
    process::wait_for,
    proxy::{Act, Proxy},
};
use mysql_async::{Conn, OptsBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;

const OLD: &str = "the-first-root-password-4711";

/// A server with MySQL's usual root accounts.
async fn with_root_accounts() -> MariaDb {
    let server = MariaDb::start().await;
    server.root_accounts(OLD).await;
    server
}

/// Such a server, and a donjon that knows it.
async fn plain_site() -> (MariaDb, Donjon) {
    let server = with_root_accounts().await;
    let donjon = Donjon::verbose();
    described(&donjon, &server, &server.socket(), "");
    (server, donjon)
}

/// Brings a donjon up that reaches a server's own socket at some path, and stores the password that works.
fn described(donjon: &Donjon, server: &MariaDb, socket: &Path, services: &str) {
    donjon.describe(&format!(
        "deployment: site1
targets:
  mariadb:
    driver: mariadb
    nodes:
      - {{name: db1, address: 127.0.0.1, port: {port}, socket: {socket}}}
views:
  root_url: 'mysql+pymysql://root:{{database_password:url}}@127.0.0.1:{port}/mysql'
{services}",
        port = server.port,
        socket = socket.display(),
    ));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();
}

/// As [`plain_site`], with a consumer that logs in every 20 ms and restarts in each rotation.
async fn consumed_site() -> (MariaDb, Donjon, Consumer) {
    let server = with_root_accounts().await;
    let donjon = Donjon::verbose();
    let consumer = Consumer::new(&donjon, server.port);
    described(&donjon, &server, &server.socket(), &consumer.service());
    consumer.start();
    (server, donjon, consumer)
}

/// A folder that the server's user may enter.
fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("proxy.").tempdir().expect("a temporary folder can be made");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

/// A fresh login over TCP as 127.0.0.1, or over the socket as localhost.
async fn logs_in(port: u16, socket: Option<&Path>, password: &str) -> bool {
    let options = OptsBuilder::default()
        .user(Some("root"))
        .pass(Some(password))
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .prefer_socket(false);
    let options = match socket {
        Some(socket) => options.socket(Some(socket.display().to_string())).prefer_socket(true),
        None => options,
    };
    match Conn::new(options).await {
        Ok(conn) => {
            // It was let in; how it leaves does not matter.
            let _ = conn.disconnect().await;
            true
        }
        Err(_) => false,
    }
}

/// Whatever failed before: neither this value nor an earlier one stands in anything that was told, at the finest level.
#[track_caller]
fn told_nothing(donjon: &Donjon, others: &[String], value: &str) {
    let values: Vec<&str> = others.iter().map(String::as_str).chain([OLD, value]).collect();
    assert_eq!(donjon.tells(&values), [] as [PathBuf; 0]);
    assert!(donjon.log().contains("database_password"), "the control: the log speaks of the secret");
}

/// What the store serves works everywhere, every other value is refused, and none of them was told.
async fn settled(server: &MariaDb, donjon: &Donjon, others: &[String]) -> String {
    let served = donjon.run(&["get", "database_password"]).ok();
    for socket in [None, Some(server.socket())] {
        assert!(logs_in(server.port, socket.as_deref(), &served).await, "the served value logs in ({socket:?})");
        for other in others {
            assert!(!logs_in(server.port, socket.as_deref(), other).await, "an earlier value is refused ({socket:?})");
        }
    }
    assert!(donjon.run(&["get", "root_url"]).ok().contains(&format!(":{served}@")), "the view follows");
    donjon.run(&["rotate", "status"]).ok();
    told_nothing(donjon, others, &served);
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn root_rotates_and_the_old_value_is_refused() {
    let (server, donjon) = plain_site().await;
    assert!(logs_in(server.port, None, OLD).await && !logs_in(server.port, None, "wrong").await, "the control");
    let plan = donjon.run(&["rotate", "plan", "database_password", "--output", "json"]).json();
    assert_eq!(plan["rotations"][0]["secrets"][0]["outage"], "none");
    assert_eq!(donjon.run(&["rotate", "plan", "database_password", "--detailed-exitcode"]).code, 12);
    // What there is, and what whom is allowed: a rotation widens neither.
    let scope = async || {
        let listed = donjon.run(&["list", "--output", "json"]).json();
        let listed = listed["secrets"].as_array().expect("a list").iter();
        let names: Vec<Value> = listed.map(|one| one["name"].clone()).collect();
        let allowed = "select user, host, json_remove(priv, '$.authentication_string', '$.auth_or', '$.password_last_changed') \
                       from mysql.global_priv order by user, host";
        (names, server.sql(allowed).await)
    };
    let before = scope().await;
    let applied = donjon.run(&["rotate", "apply", "database_password", "--output", "json"]).json();
    assert_eq!(applied["rotations"][0]["state"], "retired");
    let new = settled(&server, &donjon, &[OLD.to_owned()]).await;
    assert_ne!(new, OLD);
    assert_eq!(scope().await, before);
    let of_root = |row: &&Vec<String>| row[0] == "root" && row[2].contains("access");
    let rights = before.1.iter().filter(of_root).count();
    assert!(before.0.len() == 2 && rights >= ROOT_HOSTS.len(), "the control: {before:?}");
    assert_eq!(donjon.run(&["get", "database_password", "--version", "previous"]).ok(), OLD);
    let history = donjon.run(&["history", "database_password", "--output", "json"]).json();
    let told = |of: &str| -> Vec<Value> {
        history["versions"].as_array().expect("a list").iter().map(|version| version[of].clone()).collect()
    };
    assert_eq!(told("version"), [json!(1), json!(2)]);
    assert_eq!(told("state"), [json!("present"), json!("present")], "the old one is kept for a while");
    assert_eq!(told("label"), [json!("previous"), json!("current")]);
    let created = told("created")[1].as_i64().expect("a time");
    let kept = told("until")[0].as_i64().expect("a time") - created;
    assert!((7 * 86_400 - 60..=7 * 86_400 + 60).contains(&kept), "seven days, and not {kept} seconds");
    // Nothing the server wrote holds either value; the control is a statement that does.
    server.sql("create user canary@localhost identified by 'canary-in-clear-0815'").await;
    assert!(!server.holds(b"canary-in-clear-0815").is_empty(), "the control is seen");
    assert!(server.holds(new.as_bytes()).is_empty(), "the new value is in no file of the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_it_resumes_and_loses_nothing() {
    let (server, mut donjon, consumer) = consumed_site().await;
    let mut seen = vec![OLD.to_owned()];
    let mut hit = Vec::new();
    for point in POINTS.iter().chain(MOVING) {
        let pid = donjon.daemon().expect("it runs");
        donjon_tests::donjon::end(pid, Signal::KILL);
        donjon.set("FAILPOINTS", &format!("{point}=return"));
        donjon.up();
        donjon.unset("FAILPOINTS");
        let victim = donjon.daemon().expect("it runs");
        let died: Ran = donjon.run(&["rotate", "apply", "database_password"]);
        assert_eq!(died.code, 6, "{point}: {died:#?}");
        wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
        assert!(donjon.log().contains(&format!("checkpoint {point}: killed")), "{point} was hit");
        hit.push(*point);

        donjon.up();
        // Before anything is mended: what the store serves is accepted, at every point.
        let served = donjon.run(&["get", "database_password"]).ok();
        assert!(logs_in(server.port, None, &served).await, "{point}: the served value logs in before resume");
        let resumed = donjon.run(&["rotate", "resume", "--output", "json"]).json();
        let new = settled(&server, &donjon, &seen).await;
        // Killed before its last journal write, it has ended already or ends now; either way the value is a new one.
        assert!(!seen.contains(&new), "{point}: {resumed}");
        seen.push(new);
    }
    aloud::tell(&format!("killed at {} points of a rotation, and resumed: {}", hit.len(), hit.join(" ")));
    let report = consumer.report();
    println!("consumer: {report:?}");
    assert!(report.started > hit.len(), "it restarted in each rotation");
    assert_eq!(report.denied, 0, "no login of the consumer was denied, with whatever the store has offered it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_logs_in_every_20_ms_sees_no_denied_login() {
    let (server, donjon, consumer) = consumed_site().await;
    let denied = async || server.sql("show global status like 'Access_denied_errors'").await[0][1].clone();
    for _ in 0..3 {
        let logins = consumer.report().logins;
        wait_for("the consumer to log in for a while", Duration::from_secs(20), || {
            consumer.report().logins >= logins + 25
        });
        let before = denied().await;
        donjon.run(&["rotate", "apply", "database_password"]).ok();
        let after = denied().await;
        println!(
            "denied by the server's own count: {before} before, {after} after; the broker's own proof of refusal included"
        );
    }
    let report = consumer.report();
    assert_eq!((report.started, report.denied), (4, 0), "{report:?}");
    // The control: a client with a removed value is seen as denied.
    server.root_accounts("changed-behind-its-back").await;
    wait_for("the consumer to report a denied login", Duration::from_secs(10), || consumer.report().denied > 0);
}

/// Each statement that changes an account, in turn: it never arrives, its reply is lost, or its reply is held while the
/// broker is killed. Publishing first, the fault of TripleO and kolla-ansible, would show as a served value that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_held_reply_at_any_statement_loses_nothing() {
    let server = with_root_accounts().await;
    let folder = open_folder();
    let path = folder.path().join("socket");
    let proxy = Proxy::unix(&path, server.socket()).await;
    let donjon = Donjon::verbose();
    described(&donjon, &server, &path, "");
    let mut seen = vec![OLD.to_owned()];
    let mut landed = Vec::new();
    for act in [Act::LoseStatement, Act::LoseReply, Act::HoldReply] {
        for statement in 0..2 * ROOT_HOSTS.len() {
            let before = donjon.run(&["get", "database_password"]).ok();
            proxy.set("ALTER USER", statement, act);
            let mut apply = donjon
                .command(&["rotate", "apply", "database_password"])
                .stderr(Stdio::piped())
                .spawn()
                .expect("donjon is built");
            wait_for("the fault to land", Duration::from_secs(20), || proxy.has_acted());
            if act == Act::HoldReply {
                donjon.kill_daemon();
            }
            let code = apply.wait().expect("a child can be waited for").code();
            assert_eq!(code, Some(6), "{act:?} at statement {statement}");
            proxy.release();
            donjon.up();
            let served = donjon.run(&["get", "database_password"]).ok();
            assert!(
                logs_in(server.port, None, &served).await,
                "{act:?} at statement {statement}: the served value logs in before resume"
            );
            assert!(
                logs_in(server.port, Some(&server.socket()), &served).await,
                "{act:?} at statement {statement}: also as localhost"
            );
            if statement < ROOT_HOSTS.len() {
                assert_eq!(served, before, "nothing is published before every account accepts it");
            }
            donjon.run(&["rotate", "resume"]).ok();
            let new = settled(&server, &donjon, &seen).await;
            seen.push(new);
            landed.push(format!("{act:?}@{statement}"));
        }
    }
    aloud::tell(&format!("{} faults at statements of a rotation, and resumed: {}", landed.len(), landed.join(" ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_nobody_has_seen_can_be_aborted() {
    let (server, mut donjon) = plain_site().await;
    donjon.kill_daemon();
    donjon.set("FAILPOINTS", "rotation.moved.verified=return");
    donjon.up();
    donjon.unset("FAILPOINTS");
    donjon.run(&["rotate", "apply", "database_password"]).failed(6);
    donjon.up();
    assert_eq!(donjon.run(&["rotate", "status"]).code, 13);
    assert_eq!(donjon.run(&["rotate", "apply", "database_password"]).code, 5, "a second one waits for the first");
    let aborted = donjon.run(&["rotate", "abort", "--output", "json"]).json();
    assert_eq!(aborted["rotations"][0]["state"], "aborted");
    assert_eq!(settled(&server, &donjon, &[]).await, OLD);
    donjon.run(&["rotate", "apply", "database_password"]).ok();
    assert_ne!(settled(&server, &donjon, &[OLD.to_owned()]).await, OLD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_rotation_cannot_be_aborted_but_goes_on() {
    let (server, mut donjon) = plain_site().await;
    donjon.kill_daemon();
    donjon.set("FAILPOINTS", "rotation.moved.published=return");
    donjon.up();
    donjon.unset("FAILPOINTS");
    let killed = donjon.run(&["rotate", "apply", "database_password"]).failed(6);
    assert!(killed.contains("`donjon up`") && killed.contains("`donjon rotate resume`"), "{killed}");
    let up = donjon.run(&["up"]).ok();
    assert!(up.contains("a rotation of `database_password` has not ended: `donjon rotate resume`"), "{up}");
    let refused = donjon.run(&["rotate", "abort"]).failed(5);
    assert!(refused.contains("consumers may have read the new value"), "{refused}");
    donjon.run(&["rotate", "resume"]).ok();
    settled(&server, &donjon, &[OLD.to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_another_password_stops_it_before_anything_changes() {
    let (server, donjon) = plain_site().await;
    server.account("root", "127.0.0.1", "changed-by-someone-else").await;
    let before = server.sql("select user, host, priv from mysql.global_priv order by user, host").await;
    let refused = donjon.run(&["rotate", "apply", "database_password"]).failed(11);
    assert!(refused.contains("db1: root@127.0.0.1 accepts a value that is not stored here"), "{refused}");
    assert!(refused.contains("state: nothing was changed"), "{refused}");
    assert_eq!(server.sql("select user, host, priv from mysql.global_priv order by user, host").await, before);
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), OLD);
    // It has what was stored before.
    server.account("root", "127.0.0.1", OLD).await;
    donjon.run_with_input(&["put", "database_password"], b"never-given-to-the-server").ok();
    let refused = donjon.run(&["rotate", "apply", "database_password"]).failed(10);
    assert!(refused.contains("version 1 of it, which is stored too, is accepted instead of version 2"), "{refused}");
    assert!(refused.contains("`donjon doctor database_password`"), "{refused}");
    donjon.run(&["rotate", "status"]).ok();
    told_nothing(&donjon, &[], OLD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_is_gone_is_told_and_waited_for() {
    let (mut server, donjon) = plain_site().await;
    server.kill();
    let refused = donjon.run(&["rotate", "apply", "database_password"]).failed(6);
    assert!(refused.contains("did not answer") && refused.contains("nothing was changed"), "{refused}");
    server.restart().await;
    server.pause();
    let refused = donjon.run(&["rotate", "apply", "database_password"]).failed(6);
    assert!(refused.contains("did not answer"), "{refused}");
    server.resume();
    donjon.run(&["rotate", "apply", "database_password"]).ok();
    settled(&server, &donjon, &[OLD.to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_fails_on_the_new_value_is_returned_to_the_old_one() {
    let server = with_root_accounts().await;
    let donjon = Donjon::verbose();
    let consumer = Consumer::new(&donjon, server.port);
    described(&donjon, &server, &server.socket(), &consumer.service_failing_after(2));
    consumer.start();
    let undone = donjon.run(&["rotate", "apply", "database_password"]).failed(1);
    assert!(undone.contains("state: restored:") && undone.contains("did not pass its check"), "{undone}");
    assert_eq!(settled(&server, &donjon, &[]).await, OLD);
    let report = consumer.report();
    assert_eq!((report.started, report.denied), (3, 0), "by hand, on the new value, back on the old one: {report:?}");
    // The value that failed is refused now: its version is there to compare with.
    let failed = donjon.run(&["get", "database_password", "--version", "2"]).ok();
    assert!(failed != OLD && !logs_in(server.port, None, &failed).await);
    told_nothing(&donjon, &[], &failed);
    // What was mended rotates.
    donjon.run(&["rotate", "apply", "database_password"]).ok();
    settled(&server, &donjon, &[OLD.to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_fed_values_decides_once_it_has_told_a_wrong_one_from_the_right_one() {
    let server = with_root_accounts().await;
    let donjon = Donjon::verbose();
    let consumer = Consumer::new(&donjon, server.port);
    let login = format!(
        "{{ printf '[client]\\npassword=\"'; printf %s \"$value\"; printf '\"\\n'; }} | mariadb --defaults-file=/dev/stdin --skip-ssl --user=root --host=127.0.0.1 --port={} --execute='SELECT 1'",
        server.port
    );
    let checked = |check: &str| {
        let words = json!(["sh", "-c", format!("value=$(cat); {check}")]);
        consumer.service().replace("settle: 20", "settle: 2")
            + &format!("    check: {words}\n    fed: database_password\n")
    };
    described(&donjon, &server, &server.socket(), &checked("true"));
    consumer.start();
    let described_again = |check: &str| {
        let file = donjon.home().join("donjon.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let (before, _) = text.split_once("services:").unwrap();
        donjon.describe(&format!("{before}{}", checked(check)));
    };
    for check in ["true", "false", "/nowhere/check"] {
        described_again(check);
        let refused = donjon.run(&["rotate", "apply", "database_password"]).failed(8);
        assert!(refused.contains("mend the check") && refused.contains("nothing was changed"), "{refused}");
    }
    assert_eq!((settled(&server, &donjon, &[]).await.as_str(), consumer.report().started), (OLD, 1));
    described_again(&login);
    donjon.run(&["rotate", "apply", "database_password"]).ok();
    let second = settled(&server, &donjon, &[OLD.to_owned()]).await;
    assert_eq!(consumer.report().started, 2);
    // One that knows the value of today alone, as of a consumer that keeps it elsewhere, too.
    let (kept, one) = (donjon.home().join("kept"), "printf %s \"$value\" | sha256sum");
    donjon_drivers::fs::replace(&kept, format!("{}  -\n", hex::encode(Sha256::digest(&second))).as_bytes()).unwrap();
    described_again(&format!("{one} | cmp -s - {}", kept.display()));
    let undone = donjon.run(&["rotate", "apply", "database_password"]).failed(1);
    assert!(undone.contains("state: restored:") && undone.contains("was not proven"), "{undone}");
    assert_eq!(settled(&server, &donjon, &[]).await, second);
    assert_eq!(consumer.report().denied, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_the_command_is_told_that_the_daemon_goes_on() {
    let server = with_root_accounts().await;
    let donjon = Donjon::verbose();
    let consumer = Consumer::new(&donjon, server.port);
    // It restarts once it may.
    let (begun, may) = (donjon.home().join("begun"), donjon.home().join("may"));
    let waits = format!("touch {begun:?}; for i in $(seq 300); do test -e {may:?} && exec \"$@\"; sleep 0.1; done");
    let service = consumer.service().replace("restart: [", &format!("restart: [sh, -c, {waits:?}, sh, "));
    described(&donjon, &server, &server.socket(), &service);
    consumer.start();
    // As a shell starts it, whatever this test was started with; and its end, once it was interrupted in the restart.
    let interrupted = |standing: &str, meanwhile: &dyn Fn()| {
        let mut apply = donjon.command_by(&["env", standing], &["rotate", "apply", "database_password"]);
        let apply = apply.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("its restart", Duration::from_secs(60), || begun.exists());
        kill_process(Pid::from_child(&apply), Signal::INT).unwrap();
        meanwhile();
        apply.wait_with_output().unwrap()
    };
    let goes_on = || donjon_drivers::fs::replace(&may, b"").unwrap();
    // In the background of a script it is not to be interrupted.
    let ignored = interrupted("--ignore-signal=INT", &goes_on);
    assert_eq!(ignored.status.code(), Some(0), "{ignored:?}");
    let second = settled(&server, &donjon, &[OLD.to_owned()]).await;
    for mark in [&begun, &may] {
        std::fs::remove_file(mark).unwrap();
    }
    let left = interrupted("--default-signal=INT", &|| {});
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    assert_eq!(left.status.code(), Some(13), "{said}");
    assert!(said.contains("the daemon goes on with what was asked"), "{said}");
    let status = donjon.run(&["rotate", "status"]).failed(13);
    assert!(status.contains("a rotation goes on at this moment"), "{status}");
    goes_on();
    wait_for("its end", Duration::from_secs(60), || donjon.run(&["rotate", "status"]).code == 0);
    settled(&server, &donjon, &[OLD.to_owned(), second]).await;
    assert_eq!(consumer.report().denied, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_own_role_does_not_read_the_secret_is_not_restarted() {
    let server = with_root_accounts().await;
    let mut donjon = Donjon::verbose();
    let consumer = Consumer::new(&donjon, server.port);
    let role = |reads: &str| format!("roles: {{consumer: {{reads: [{reads}], users: [games]}}}}\n");
    described(&donjon, &server, &server.socket(), &(consumer.service() + &role("other")));
    consumer.start();
    let file = donjon.home().join("donjon.yaml");
    let reads = |donjon: &Donjon, from: &str, to: &str| {
        donjon.describe(&std::fs::read_to_string(&file).unwrap().replace(&role(from), &role(to)));
    };
    for act in ["plan", "apply"] {
        let refused = donjon.run(&["rotate", act, "database_password"]).failed(3);
        assert!(refused.contains("the role `consumer` does not read `database_password`"), "{refused}");
    }
    assert_eq!(settled(&server, &donjon, &[]).await, OLD);
    reads(&donjon, "other", "database_password");
    killed_at(&mut donjon, "rotation.epoch-bumped=return", &["rotate", "apply", "database_password"]);
    // What it had is taken from it in the middle: it goes on with both values, and is not restarted.
    reads(&donjon, "database_password", "other");
    let refused = donjon.run(&["rotate", "resume"]).failed(3);
    assert!(refused.contains("state: verified: old and new are valid"), "{refused}");
    let doctor = donjon.run(&["doctor", "database_password"]);
    assert!(doctor.out.contains("db1") && !doctor.err.contains("does not read"), "{doctor:#?}");
    assert_eq!(consumer.report().started, 1);
    assert!(logs_in(server.port, None, OLD).await, "it is let in as ever");
    reads(&donjon, "other", "database_password");
    donjon.run(&["rotate", "resume"]).ok();
    settled(&server, &donjon, &[OLD.to_owned()]).await;
    let report = consumer.report();
    assert_eq!((report.started, report.denied), (2, 0), "{report:?}");
}

/// Lets a rotation die at a point, the second time it comes by where asked.
pub(crate) fn killed_at(donjon: &mut Donjon, points: &str, arguments: &[&str]) {
    donjon.kill_daemon();
    donjon.set("FAILPOINTS", points);
    donjon.up();
    donjon.unset("FAILPOINTS");
    let victim = donjon.daemon().expect("it runs");
    let died = donjon.run(arguments);
    assert_eq!(died.code, 6, "{points}: {died:#?}");
    wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
    donjon.up();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_of_an_abort_it_goes_on_going_back() {
    let (server, mut donjon) = plain_site().await;
    for point in ABORT_POINTS {
        killed_at(&mut donjon, "rotation.moved.verified=return", &["rotate", "apply", "database_password"]);
        killed_at(&mut donjon, &format!("{point}=return"), &["rotate", "abort"]);
        assert!(logs_in(server.port, None, &donjon.run(&["get", "database_password"]).ok()).await, "{point}");
        donjon.run(&["rotate", "resume"]).ok();
        assert_eq!(settled(&server, &donjon, &[]).await, OLD, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_of_a_restoration_it_goes_on_going_back() {
    let server = with_root_accounts().await;
    let mut donjon = Donjon::verbose();
    // It never passes its check on a new value.
    let check = "test \"$(\"$0\" get database_password)\" = the-first-root-password-4711";
    let service = format!(
        "services:\n  api:\n    driver: command\n    restart: ['true']\n    started: [date, +%s%6N]\n    proof: check\n    settle: 1\n    check: [env, {:?}, sh, -c, {check:?}, {:?}]\n    uses: [database_password]\n",
        format!("DONJON_HOME={}", donjon.home().display()),
        donjon_tests::donjon::binary()
    );
    described(&donjon, &server, &server.socket(), &service);
    let again = [
        "record-written",
        "view-written",
        "epoch-bumped",
        "restarted",
        "declared",
        "pending-removed",
        "labels-written",
    ];
    let skipped = |point: &&str| {
        if *point == "declared" {
            ROOT_HOSTS.len()
        } else {
            usize::from(!point.ends_with("-removed") && !point.starts_with("labels"))
        }
    };
    let points =
        again.iter().map(|point| format!("rotation.{point}={}*off->return", skipped(point)).replace("=0*off->", "="));
    for point in points.chain(RESTORE_POINTS.iter().map(|point| format!("{point}=return"))) {
        killed_at(&mut donjon, &point, &["rotate", "apply", "database_password"]);
        assert!(logs_in(server.port, None, &donjon.run(&["get", "database_password"]).ok()).await, "{point}");
        let resumed = donjon.run(&["rotate", "resume"]);
        assert!(matches!(resumed.code, 0 | 1), "{point}: {resumed:#?}");
        assert_eq!(settled(&server, &donjon, &[]).await, OLD, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_in_part_cannot_be_aborted() {
    let (server, mut donjon) = plain_site().await;
    for point in ["rotation.record-written", "rotation.view-written", "rotation.epoch-bumped"] {
        let before = donjon.run(&["get", "database_password"]).ok();
        killed_at(&mut donjon, &format!("{point}=return"), &["rotate", "apply", "database_password"]);
        let served = donjon.run(&["get", "database_password"]).ok();
        assert_ne!(served, before, "{point}: consumers read the new value already");
        let refused = donjon.run(&["rotate", "abort"]).failed(5);
        assert!(refused.contains("consumers may have read the new value"), "{refused}");
        assert!(logs_in(server.port, None, &served).await, "{point}: and it is accepted");
        donjon.run(&["rotate", "resume"]).ok();
        assert_eq!(settled(&server, &donjon, &[before]).await, served);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_put_waits_for_the_rotation() {
    let (server, mut donjon) = plain_site().await;
    killed_at(&mut donjon, "rotation.moved.rolling=return", &["rotate", "apply", "database_password"]);
    let refused = donjon.run_with_input(&["put", "database_password"], b"put-meanwhile-0815").failed(5);
    assert!(refused.contains("is being rotated") && !refused.contains("put-meanwhile-0815"), "{refused}");
    donjon.run(&["rotate", "resume"]).ok();
    settled(&server, &donjon, &[OLD.to_owned()]).await;
    donjon.run_with_input(&["put", "database_password"], b"put-afterwards-0815").ok();
    told_nothing(&donjon, &["put-meanwhile-0815".to_owned()], "put-afterwards-0815");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_never_logs_in_is_not_proven_by_the_brokers_own_logins() {
    let server = with_root_accounts().await;
    let donjon = Donjon::verbose();
    let service = "services:\n  idle:\n    driver: command\n    restart: ['true']\n    started: [date, +%s%6N]\n    settle: 6\n    uses: [database_password]\n";
    described(&donjon, &server, &server.socket(), service);
    let undone = donjon.run(&["rotate", "apply", "database_password"]);
    assert_ne!(undone.code, 0, "{undone:#?}");
    assert!(undone.err.contains("came from it after its restart"), "{}", undone.err);

    // It fails on the old value too, so only the operator can let it go.
    assert!(undone.err.contains("--leave idle@local"), "{}", undone.err);
    donjon.run(&["rotate", "status"]).failed(13);
    let left = donjon.run(&["rotate", "resume", "--leave", "idle@local"]).failed(1);
    assert!(left.contains("restored"), "{left}");
    let log = std::fs::read_to_string(donjon.home().join("audit.jsonl")).expect("there is a log");
    assert!(log.contains(r#""left":{"service":"idle","host":"local"}"#), "{log}");
    donjon.run(&["rotate", "status"]).ok();
}
