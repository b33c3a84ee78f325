//! The node's reader as a process: for whom it answers, across its restarts, and while its bundle is replaced.

use super::edge::{Edge, SECRETS, as_user};
use donjon_tests::{process::copy_program, wait};
use reqwest::Client;
use serde_json::{Value, json};
use std::{
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

const NOVA: u32 = 42_436;
const KEYSTONE: u32 = 42_425;

pub(super) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

pub(super) async fn login(client: &Client, url: &str, (role_id, secret_id): &(String, String)) -> Option<String> {
    let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
    let answer = client.post(format!("{url}/v1/auth/approle/login")).body(body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["auth"]["client_token"].as_str().map(str::to_owned)
}

/// The status and value of a secret.
pub(super) async fn read(client: &Client, url: &str, token: &str) -> (u16, Option<String>) {
    let request = client.get(format!("{url}/v1/donjon/data/site1/database_password")).header("X-Vault-Token", token);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let answer: Value = answer.json().await.unwrap();
    (status, answer["data"]["data"]["password"].as_str().map(str::to_owned))
}

/// What `curl` is answered as some user.
fn curl(uid: u32, arguments: &[&str]) -> String {
    let Output { stdout, .. } = as_user(uid, "curl").args(["-s", "--max-time", "20"]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&stdout).into_owned()
}

#[tokio::test]
async fn a_role_is_its_users_alone_at_the_socket_and_on_loopback() {
    let edge = Edge::new().await;
    edge.consumers(&format!(
        "nova: {{uids: [{NOVA}], reads: [nova_password]}}\nkeystone: {{uids: [{KEYSTONE}], reads: [database_password]}}\n"
    ));
    edge.publish("one").await;
    let serving = edge.serve();
    let socket = edge.at("s").display().to_string();
    let at_socket =
        |uid, name: &str| curl(uid, &["--unix-socket", &socket, &format!("http://reader/v1/donjon/data/site1/{name}")]);
    // No credential at all: the kernel says who asks.
    assert!(at_socket(NOVA, "nova_password").contains("\"password\":\"one\""), "{}", at_socket(NOVA, "nova_password"));
    assert!(at_socket(KEYSTONE, "database_password").contains("\"password\":\"one\""));
    for (uid, name) in
        [(NOVA, "database_password"), (KEYSTONE, "nova_password"), (0, "nova_password"), (7, "nova_password")]
    {
        let answer = at_socket(uid, name);
        assert!(answer.contains("permission denied") && !answer.contains("one\""), "{uid} {name}: {answer}");
    }
    // Over TCP the AppRole is asked for besides, and it is worth nothing to others, root among them.
    let (role_id, secret_id) = edge.credential("nova");
    let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
    let login = |uid| curl(uid, &["-d", &body, &format!("{}/v1/auth/approle/login", serving.url)]);
    let answer: Value = serde_json::from_str(&login(NOVA)).unwrap();
    let token = answer["auth"]["client_token"].as_str().expect("a token").to_owned();
    for stranger in [0, KEYSTONE, 7] {
        assert!(login(stranger).contains("invalid role or secret ID"), "{stranger}");
    }
    let header = format!("X-Vault-Token: {token}");
    let url = format!("{}/v1/donjon/data/site1/nova_password", serving.url);
    let with_token = |uid| curl(uid, &["-H", &header, &url]);
    assert!(with_token(NOVA).contains("\"password\":\"one\""), "the control");
    for stranger in [0, KEYSTONE, 7] {
        assert!(with_token(stranger).contains("permission denied"), "{stranger}");
    }
    // The log says which user it was.
    let log = std::fs::read_to_string(edge.at("node/audit.jsonl")).unwrap();
    for (uid, outcome) in [(NOVA, "done"), (KEYSTONE, "denied")] {
        let seen = |line: &&str| line.contains(&format!("\"uid\":{uid},")) && line.contains(outcome);
        assert!(log.lines().any(|line| seen(&line)), "{uid} {outcome}: {log}");
    }
    serving.end();
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_a_reload_and_end_with_a_revocation() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    let client = client();
    let serving = edge.serve();
    let credential = edge.credential("compute");
    let token = login(&client, &serving.url, &credential).await.expect("a token");
    let address = serving.address().to_owned();
    serving.end();
    let serving = edge.serve_at(&address);
    // Not over a connection to the one that has ended.
    let client = self::client();
    assert_eq!(read(&client, &serving.url, &token).await, (200, Some("one".into())), "after a restart");
    edge.publish("two").await;
    let two = async || (read(&client, &serving.url, &token).await == (200, Some("two".into()))).then_some(());
    wait::until("the new bundle", Duration::from_secs(30), two).await;
    let node = ["--node", &edge.node()];
    assert!(edge.donjon.run(&[&["serve", "revoke", "nobody"], &node[..]].concat()).failed(4).contains("compute"));
    assert_eq!(read(&client, &serving.url, &token).await.0, 200, "that was nobody's");
    edge.donjon.run(&[&["serve", "revoke", "compute"], &node[..]].concat()).ok();
    let refused = async || (read(&client, &serving.url, &token).await.0 == 403).then_some(());
    wait::until("the revocation", Duration::from_secs(30), refused).await;
    let renewed = login(&client, &serving.url, &credential).await.expect("the credential is good still");
    assert_eq!(read(&client, &serving.url, &renewed).await.0, 200);
    serving.end();
    // What is revoked stays so, also for a reader that never saw it be good.
    let serving = edge.serve_at(&address);
    let client = self::client();
    assert_eq!(read(&client, &serving.url, &token).await.0, 403, "after a restart");
    assert_eq!(read(&client, &serving.url, &renewed).await.0, 200, "and the other one is good still");
    edge.publish("three").await;
    let three = async || (read(&client, &serving.url, &renewed).await == (200, Some("three".into()))).then_some(());
    wait::until("the new bundle", Duration::from_secs(30), three).await;
    assert_eq!(read(&client, &serving.url, &token).await.0, 403, "after a reload");
    serving.end();
}

#[tokio::test]
async fn the_bundles_own_role_gets_another_credential() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    let (client, serving) = (client(), edge.serve());
    let leaked = edge.credential("compute");
    let token = login(&client, &serving.url, &leaked).await.expect("a token");
    assert_eq!(read(&client, &serving.url, &token).await.0, 200, "the control");
    let revoke = ["serve", "revoke", "compute", "--credential", "--node", &edge.node()];
    let told = edge.donjon.run(&revoke).ok();
    assert!(told.contains("approle"), "{told}");
    let refused = async || (read(&client, &serving.url, &token).await.0 == 403).then_some(());
    wait::until("the revocation", Duration::from_secs(30), refused).await;
    assert_eq!(login(&client, &serving.url, &leaked).await, None);
    let anew = login(&client, &serving.url, &edge.credential("compute")).await.expect("the new one is good");
    assert_eq!(read(&client, &serving.url, &anew).await.0, 200);
    let address = serving.address().to_owned();
    serving.end();
    let (serving, client) = (edge.serve_at(&address), self::client());
    assert_eq!(login(&client, &serving.url, &leaked).await, None, "after a restart");
    assert_eq!(read(&client, &serving.url, &anew).await.0, 200);
    serving.end();
}

#[tokio::test]
async fn a_role_that_is_taken_away_stays_away_after_a_reload_and_a_restart() {
    let edge = Edge::new().await;
    // The client over TCP is this test itself; the other role tells that a bundle is served.
    let role = |name: &str, uid: u32| format!("{name}: {{uids: [{uid}], reads: [database_password]}}\n");
    let (own, nova) = (rustix::process::geteuid().as_raw(), |own| role("nova", own));
    edge.consumers(&format!("{}{}", nova(own), role("keystone", KEYSTONE)));
    edge.publish("one").await;
    let client = client();
    let serving = edge.serve();
    let address = serving.address().to_owned();
    let gone = edge.credential("nova");
    let token = login(&client, &serving.url, &gone).await.expect("a token");
    assert_eq!(read(&client, &serving.url, &token).await.0, 200, "the control");
    let socket = edge.at("s").display().to_string();
    let served = async |value: &str| {
        let place = "http://reader/v1/donjon/data/site1/database_password";
        let said = curl(KEYSTONE, &["--unix-socket", &socket, place]);
        said.contains(&format!("\"password\":\"{value}\"")).then_some(())
    };
    let refused = async |url: &str, when: &str| {
        // Not over a connection to one that has ended.
        let client = self::client();
        assert_eq!(read(&client, url, &token).await.0, 403, "its token, {when}");
        assert_eq!(login(&client, url, &gone).await, None, "its credential, {when}");
    };
    edge.consumers(&role("keystone", KEYSTONE));
    edge.publish("two").await;
    wait::until("the new bundle", Duration::from_secs(30), async || served("two").await).await;
    refused(&serving.url, "after a reload").await;
    serving.end();
    let serving = edge.serve_at(&address);
    wait::until("the reader", Duration::from_secs(30), async || served("two").await).await;
    refused(&serving.url, "after a restart").await;
    // One of the same name that comes later has a credential of its own.
    edge.consumers(&format!("{}{}", nova(own), role("keystone", KEYSTONE)));
    edge.publish("three").await;
    wait::until("the new bundle", Duration::from_secs(30), async || served("three").await).await;
    refused(&serving.url, "where another has its name").await;
    assert!(login(&self::client(), &serving.url, &edge.credential("nova")).await.is_some(), "the control");
    serving.end();
}

#[tokio::test]
async fn no_request_is_dropped_or_refused_while_bundles_are_replaced() {
    let edge = Edge::new().await;
    edge.publish("value-0").await;
    let serving = edge.serve();
    let token = login(&client(), &serving.url, &edge.credential("compute")).await.expect("a token");
    let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let hammer = |kept: bool| {
        let (ended, answered, url, token) =
            (Arc::clone(&ended), Arc::clone(&answered), serving.url.clone(), token.clone());
        tokio::spawn(async move {
            let client = Client::builder().no_proxy().pool_max_idle_per_host(usize::from(kept)).build().unwrap();
            let mut newest = 0;
            while !ended.load(SeqCst) {
                let (status, value) = read(&client, &url, &token).await;
                assert_eq!(status, 200);
                let number: u32 = value.unwrap().strip_prefix("value-").unwrap().parse().unwrap();
                assert!(number >= newest, "an older value came after a newer one");
                newest = number;
                answered.fetch_add(1, SeqCst);
            }
            newest
        })
    };
    let clients = [hammer(true), hammer(true), hammer(false)];
    for number in 1..=5 {
        edge.publish(&format!("value-{number}")).await;
        let begin = answered.load(SeqCst);
        wait::until("requests", Duration::from_secs(60), async || (answered.load(SeqCst) > begin + 20).then_some(()))
            .await;
    }
    let newest = async || {
        let (status, value) = read(&client(), &serving.url, &token).await;
        (status == 200 && value.as_deref() == Some("value-5")).then_some(())
    };
    wait::until("the last bundle", Duration::from_secs(30), newest).await;
    let begin = answered.load(SeqCst);
    wait::until("requests", Duration::from_secs(60), async || (answered.load(SeqCst) > begin + 20).then_some(())).await;
    ended.store(true, SeqCst);
    for client in clients {
        assert_eq!(client.await.unwrap(), 5, "each saw the last value, and none was refused");
    }
    // One step back, and forth again; what is older is not accepted meanwhile.
    let node = ["--node", &edge.node()];
    let step = |to| edge.donjon.run(&[&["serve", "step", to], &node[..]].concat());
    step("back").ok();
    let is = async |wanted: &str| {
        let wanted = (200, Some(wanted.to_owned()));
        let same = async || (read(&client(), &serving.url, &token).await == wanted).then_some(());
        wait::until("the other bundle", Duration::from_secs(30), same).await;
    };
    is("value-4").await;
    let old = edge.at("value-3.donjon").display().to_string();
    let identity = edge.at("identity").display().to_string();
    let refused = edge.donjon.run(&[&["import", &old, "-i", &identity, "--into"], &node[1..]].concat()).failed(9);
    assert!(refused.contains("stale"), "{refused}");
    step("forth").ok();
    is("value-5").await;
    serving.end();
}

#[tokio::test]
async fn a_service_starts_only_where_its_own_user_can_read() {
    let edge = Edge::new().await;
    edge.consumers(&format!("nova: {{uids: [{NOVA}], reads: [nova_password]}}\n"));
    edge.publish("one").await;
    let socket = edge.at("s").display().to_string();
    // A copy: other users cannot enter the folder that it was built in.
    let binary = edge.at("donjon");
    copy_program(&donjon_tests::donjon::binary(), &binary);
    let guard = |uid: u32, more: &[&str]| {
        let output = as_user(uid, &binary.display().to_string())
            .args(["serve", "ready", "--socket", &socket])
            .args(more)
            .env("DONJON_HOME", edge.donjon.home())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(guard(NOVA, &[]).0, 6, "nobody serves yet");
    let serving = edge.serve();
    assert_eq!(guard(NOVA, &["--wait", "20", "site1/nova_password"]).0, 0, "{:?}", guard(NOVA, &[]));
    let (code, error) = guard(NOVA, &["site1/database_password"]);
    assert!(code == 3 && error.contains("uid 42436 may not read"), "{error}");
    assert_eq!(guard(KEYSTONE, &["site1/nova_password"]).0, 3);
    edge.consumers(&format!("nova: {{uids: [{NOVA}], reads: [nova_password, gone_password]}}\n"));
    wait::until("the consumers", Duration::from_secs(30), async || {
        (guard(NOVA, &["site1/gone_password"]).0 == 4).then_some(())
    })
    .await;
    // A mistake in the file leaves those served that were.
    edge.consumers("nova: {uids: none}\n");
    assert_eq!(SECRETS.len(), 2);
    assert_eq!(guard(NOVA, &["site1/nova_password"]).0, 0);
    serving.end();
}

#[tokio::test]
async fn each_refusal_is_in_the_audit_log_before_it_is_told() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    let (serving, client) = (edge.serve(), client());
    let token = login(&client, &serving.url, &edge.credential("compute")).await.expect("a token");
    let log = || std::fs::read_to_string(edge.at("node/audit.jsonl")).unwrap();
    // The status of a request, and what was written for it.
    let asked = async |place: &str, headers: &[(&str, &str)], body: String| {
        let before = log().len();
        let mut request = client.get(format!("{}{place}", serving.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let status = request.send().await.unwrap().status().as_u16();
        let lines: Vec<Value> = log()[before..].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (status, lines)
    };
    let (good, space, wrapped) =
        (("X-Vault-Token", &*token), ("X-Vault-Namespace", "team"), ("X-Vault-Wrap-TTL", "60"));
    let record = "/v1/donjon/data/site1/database_password";
    for (status, headers) in [
        (404, &[space][..]),
        (404, &[space, good]),
        (400, &[wrapped]),
        (400, &[wrapped, good]),
        (403, &[("X-Vault-Token", "wrong")]),
    ] {
        let (told, lines) = asked(record, headers, String::new()).await;
        assert_eq!((told, lines.len()), (status, 1), "{headers:?}: {lines:?}");
        let line = lines[0].to_string();
        assert!(line.contains("\"denied\"") && !line.contains("team") && !line.contains("wrong"), "{line}");
        assert_eq!(line.contains("compute"), headers.contains(&good), "as which role, where it is known: {line}");
        assert_eq!(line.contains("database_password"), status != 403, "which record, where one is meant: {line}");
    }
    let (told, lines) = asked(record, &[good], "x".repeat(100_000)).await;
    assert_eq!((told, lines.len()), (413, 1), "{lines:?}");
    for place in ["/v1/sys/health", "/v1/sys/seal-status", "/v1/sys/init", "/v1/sys/leader"] {
        let (told, lines) = asked(place, &[], String::new()).await;
        assert_eq!((told, lines.len()), (200, 0), "{place}: it tells nothing of secrets");
    }
    assert_eq!(asked(record, &[good], String::new()).await.1.len(), 1, "the control: an answer has its line");
    serving.end();
}

#[tokio::test]
async fn a_step_to_a_bundle_that_no_reader_could_start_with_is_refused() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    edge.publish("two").await;
    let folder = edge.at("node/bundles");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let first = names.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("1-")).unwrap();
    let good = std::fs::read(&first).unwrap();
    donjon_drivers::fs::replace(&first, &good[..good.len() - 9]).unwrap();
    let step = || edge.donjon.run(&["serve", "step", "back", "--node", &edge.node()]);
    let refused = step().failed(9);
    assert!(refused.contains("epoch 2 is served as before") && refused.contains("import a newer one"), "{refused}");
    let (client, serving) = (client(), edge.serve());
    let token = login(&client, &serving.url, &edge.credential("compute")).await.expect("a token");
    assert_eq!(read(&client, &serving.url, &token).await, (200, Some("two".into())), "a reader starts as before");
    serving.end();
    donjon_drivers::fs::replace(&first, &good).unwrap();
    let other = edge.at("other");
    donjon_drivers::identity::make(&other).unwrap();
    let words = ["serve", "step", "back", "--node", &edge.node(), "-i", &other.display().to_string()];
    assert!(edge.donjon.run(&words).failed(3).contains("epoch 2 is served as before"));
    assert!(step().ok().contains("epoch 1 is served from now on"), "the control");
}
