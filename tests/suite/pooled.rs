//! A pooled session that was opened with the old value keeps a rotation in Rolling, on real MariaDB, Redis and RabbitMQ; it
//! is named by service, host and since when, and the rotation goes on once it is closed.

use donjon_tests::{donjon::Donjon, mariadb::MariaDb, rabbitmq::RabbitMq, redis::Redis};
use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const OLD: &str = "an-old-service-password-0815";

/// A home whose one service is proven by its own word alone, so that nothing but the look at sessions can see the pool.
fn site(targets: &str, secret: &str) -> (Donjon, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let own = folder.path().display().to_string();
    let donjon = Donjon::new();
    donjon.describe(&format!(
        "deployment: site1\ndrain: 1\ntargets:\n{targets}services:\n  api:\n    driver: command\n    \
         restart: [sh, -c, \"date +%s%6N > {own}/started; echo >> {own}/restarts\"]\n    started: [cat, {own}/started]\n    \
         proof: check\n    check: ['true']\n    uses: [{secret}]\n"
    ));
    donjon.up();
    donjon.run_with_input(&["put", secret], OLD.as_bytes()).ok();
    (donjon, folder)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_secs()).expect("it fits")
}

fn restarts(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("restarts")).unwrap_or_default().lines().count()
}

/// The rotation waits in Rolling and names the session; `since` is how it says since when. What it told.
fn waits(donjon: &Donjon, words: &[&str], since: &str) -> String {
    let begun = now();
    let told = donjon.run(words).failed(13);
    let line = told.lines().find(|line| line.contains("api@local: a session of ")).unwrap_or_else(|| panic!("{told}"));
    // MariaDB resolves it.
    assert!(line.contains("from 127.0.0.1:") || line.contains("from localhost:"), "{line}");
    let (_, at) = line.split_once(since).unwrap_or_else(|| panic!("{since}: {line}"));
    let at: jiff::Timestamp = at.split(' ').next().expect("a word").parse().unwrap_or_else(|_| panic!("{line}"));
    // Opened moments before the command, or marked while it ran.
    assert!((begun - 60..=now()).contains(&at.as_second()), "{line}");
    let status = donjon.run(&["rotate", "status"]);
    assert_eq!(status.code, 13, "{status:?}");
    assert!(status.out.contains("rolling") && status.out.contains("api@local"), "{status:?}");
    told
}

fn resumed(donjon: &Donjon, folder: &TempDir) {
    let resumed = donjon.run(&["rotate", "resume", "--output", "json"]).json();
    assert_eq!(resumed["rotations"][0]["state"], "retired", "{resumed}");
    assert_eq!(restarts(folder.path()), 1, "who waits restarts nobody again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_mariadb_session_keeps_the_old_value_alive() {
    const SECRET: &str = "nova_database_password";
    let server = MariaDb::start().await;
    server.account("root", "localhost", "the-root-password-4711").await;
    server.account("nova", "%", OLD).await;
    let (donjon, folder) = site(
        &format!(
            "  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}\n",
            server.port,
            server.socket().display()
        ),
        SECRET,
    );
    donjon.run_with_input(&["put", "database_password"], b"the-root-password-4711").ok();
    let pooled = server.session("nova", OLD).await;
    let told = waits(&donjon, &["rotate", "apply", SECRET], "open since before ");
    assert!(told.contains("session of nova at `mariadb`") && told.contains("on db1"), "{told}");
    let new = donjon.run(&["get", SECRET]).ok();
    assert!(new != OLD && server.logs_in("nova", &new).await && server.logs_in("nova", OLD).await);
    // One that began later is none of them.
    let _later = server.session("nova", &new).await;
    waits(&donjon, &["rotate", "resume"], "open since before ");
    assert!(pooled.is_open().await, "nobody has ended it");
    resumed(&donjon, &folder);
    assert!(server.logs_in("nova", &new).await && !server.logs_in("nova", OLD).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_redis_session_keeps_the_old_value_alive() {
    const SECRET: &str = "valkey_master_password";
    let redis = Redis::start(&[&format!("user default on >{OLD} ~* &* +@all")]);
    let port = redis.port;
    let target = format!("  redis: {{driver: redis, nodes: [{{name: kv1, address: 127.0.0.1, port: {port}}}]}}\n");
    let (donjon, folder) = site(&target, SECRET);
    let pooled = redis.session("default", OLD);
    waits(&donjon, &["rotate", "apply", SECRET], "open since ");
    let new = donjon.run(&["get", SECRET]).ok();
    let _later = redis.session("default", &new);
    assert_eq!(redis.say("default", OLD, &["PING"]), "PONG");
    waits(&donjon, &["rotate", "resume"], "open since ");
    drop(pooled);
    resumed(&donjon, &folder);
    assert_eq!(redis.say("default", &new, &["PING"]), "PONG");
    assert_ne!(redis.say("default", OLD, &["PING"]), "PONG");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_rabbitmq_connection_keeps_the_old_user_alive() {
    const SECRET: &str = "rabbitmq_password";
    let rabbit = RabbitMq::start_managed();
    rabbit.user("openstack", OLD).await;
    let member = rabbit.member("mq1");
    let (donjon, folder) = site(
        &format!(
            "  rabbit: {{driver: rabbitmq, nodes: [{{name: mq1, address: 127.0.0.1, port: {}, management_port: {}}}]}}\n",
            member.port, member.management_port
        ),
        SECRET,
    );
    let pooled = rabbit.session("openstack", OLD);
    waits(&donjon, &["rotate", "apply", SECRET], "open since ");
    let new = donjon.run(&["get", SECRET]).ok();
    let _later = rabbit.session("openstack_b", &new);
    drop(rabbit.session("openstack", OLD));
    waits(&donjon, &["rotate", "resume"], "open since ");
    drop(pooled);
    resumed(&donjon, &folder);
    let users = rabbit.api("GET", "users", None).await.to_string();
    assert!(users.contains("\"openstack_b\"") && !users.contains("\"openstack\""), "{users}");
}
