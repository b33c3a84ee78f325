//! `donjon doctor` on real RabbitMQ, Redis and Keystone: a rotation that was killed, a value that someone changed on the
//! server, one that someone put back; what it says to type is typed, and mends it.

use super::{OLD, OTHERS, answers, told_nothing, type_in, words};
use donjon_tests::{
    donjon::{Donjon, runs},
    keystone::{ADMIN_VALUE, Keystone},
    mariadb::MariaDb,
    process::wait_for,
    rabbitmq::RabbitMq,
    redis::Redis,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

fn site(target: &str, secret: &str) -> Donjon {
    let donjon = Donjon::verbose();
    donjon.describe(&format!("deployment: site1\ntargets:\n{target}"));
    donjon.up();
    donjon.run_with_input(&["put", secret], OLD.as_bytes()).ok();
    donjon
}

/// What the doctor says of a secret; no value stands in it.
fn examined(donjon: &Donjon, secret: &str, code: i32) -> Value {
    let people = donjon.run(&["doctor", secret]);
    let ran = donjon.run(&["doctor", secret, "--output", "json"]);
    assert_eq!((people.code, ran.code), (code, code), "{people:#?}\n{ran:#?}");
    told_nothing(donjon, &[OLD.to_owned(), OTHERS.to_owned(), donjon.run(&["get", secret]).ok()]);
    let mut said: Value = serde_json::from_str(&ran.out).unwrap();
    said["secrets"][0].take()
}

/// A rotation that is killed at a point; the doctor says how it goes on, and so it does.
fn killed_and_resumed(donjon: &mut Donjon, secret: &str, words_of_apply: &[&str], point: &str, state: &str) {
    donjon.kill_daemon();
    donjon.set("FAILPOINTS", &format!("{point}=return"));
    donjon.up();
    donjon.unset("FAILPOINTS");
    let victim = donjon.daemon().unwrap();
    donjon.run(&[&["rotate", "apply", secret], words_of_apply].concat()).failed(6);
    wait_for("the killed daemon", Duration::from_secs(60), || !runs(victim));
    donjon.up();
    let seen = examined(donjon, secret, 13);
    assert_eq!(seen["rotation"]["state"], state, "{seen}");
    let next = words(&seen["next"]);
    assert!(next[0].starts_with(&format!("donjon rotate resume {secret}")), "{next:?}");
    type_in(donjon, &next[..1]);
    healthy(donjon, secret);
}

fn healthy(donjon: &Donjon, secret: &str) {
    let seen = examined(donjon, secret, 0);
    assert_eq!(seen["health"], "healthy", "{seen}");
    assert_eq!(answers(&seen, "current"), ["accepted"], "{seen}");
}

/// Someone has set another value on the server: the doctor finds it, and the value that works is put as it says.
fn changed_and_put(donjon: &Donjon, secret: &str, finding: &str) {
    let seen = examined(donjon, secret, 10);
    let findings = words(&seen["findings"]).join("\n");
    assert!(findings.contains(finding), "{findings}");
    let next = words(&seen["next"]);
    assert!(next[0].starts_with(&format!("donjon put {secret}")), "{next:?}");
    type_in(donjon, &[format!("printf %s {OTHERS} | {}", next[0])]);
    healthy(donjon, secret);
}

const ADMINISTRATOR: &str = "refuses every value that is stored for its administrator";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doctor_says_of_rabbitmq_mends_it() {
    const SECRET: &str = "rabbitmq_password";
    let rabbit = RabbitMq::start_managed();
    rabbit.user("openstack", OLD).await;
    let member = rabbit.member("mq1");
    let mut donjon = site(
        &format!(
            "  rabbit: {{driver: rabbitmq, nodes: [{{name: mq1, address: 127.0.0.1, port: {}, management_port: {}}}]}}\n",
            member.port, member.management_port
        ),
        SECRET,
    );
    healthy(&donjon, SECRET);
    // The user of now is tried though the administrator, which is that user, is refused: the twin, then the user itself.
    killed_and_resumed(&mut donjon, SECRET, &[], "rotation.moved.added", "added");
    rabbit.user("openstack_b", OTHERS).await;
    let seen = examined(&donjon, SECRET, 10);
    assert_eq!(seen["logins"][0]["account"], "openstack_b", "{seen}");
    assert_eq!(answers(&seen, "current"), ["refused"], "{seen}");
    changed_and_put(&donjon, SECRET, ADMINISTRATOR);
    killed_and_resumed(&mut donjon, SECRET, &[], "rotation.moved.rolling", "rolling");
    // What was put is the previous value by now.
    rabbit.user("openstack", OTHERS).await;
    let seen = examined(&donjon, SECRET, 10);
    let next = words(&seen["next"]);
    assert!(next[0].contains("--version 3 | donjon put rabbitmq_password"), "{seen}");
    type_in(&donjon, &next[..1]);
    healthy(&donjon, SECRET);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doctor_says_of_redis_mends_it() {
    const SECRET: &str = "valkey_master_password";
    let redis = Redis::start(&[&format!("user default on >{OLD} ~* &* +@all")]);
    let port = redis.port;
    let target = format!("  redis: {{driver: redis, nodes: [{{name: kv1, address: 127.0.0.1, port: {port}}}]}}\n");
    let mut donjon = site(&target, SECRET);
    healthy(&donjon, SECRET);
    killed_and_resumed(&mut donjon, SECRET, &[], "rotation.moved.rolling", "rolling");
    let current = donjon.run(&["get", SECRET]).ok();
    let set =
        |value: &str| redis.say("default", &current, &["ACL", "SETUSER", "default", "resetpass", &format!(">{value}")]);
    assert_eq!(set(OLD), "OK");
    let seen = examined(&donjon, SECRET, 10);
    let next = words(&seen["next"]);
    assert!(next[0].contains("--version 1 | donjon put valkey_master_password"), "{seen}");
    type_in(&donjon, &next[..1]);
    healthy(&donjon, SECRET);
    let set =
        |value: &str| redis.say("default", OLD, &["ACL", "SETUSER", "default", "resetpass", &format!(">{value}")]);
    assert_eq!(set(OTHERS), "OK");
    changed_and_put(&donjon, SECRET, ADMINISTRATOR);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doctor_says_of_keystone_mends_it() {
    const SECRET: &str = "nova_keystone_password";
    let server = MariaDb::start().await;
    let keystone = Keystone::start(&server).await;
    let user = keystone.user("nova", OLD).await;
    let url = keystone.instances[0].url();
    let mut donjon =
        site(&format!("  keystone: {{driver: keystone, nodes: [{{name: ks1, auth_url: {url:?}}}]}}\n"), SECRET);
    donjon.run_with_input(&["put", "keystone_admin_password"], ADMIN_VALUE.as_bytes()).ok();
    healthy(&donjon, SECRET);
    killed_and_resumed(&mut donjon, SECRET, &["--accept-outage"], "rotation.moved.switched", "switched");
    let admin = keystone.admin(0).await;
    let body = json!({"user": {"password": OTHERS}});
    let (status, told) = keystone.call(0, Method::PATCH, &format!("/v3/users/{user}"), &admin, Some(body)).await;
    assert_eq!(status, 200, "{told}");
    changed_and_put(&donjon, SECRET, "no stored value works for nova");
}
