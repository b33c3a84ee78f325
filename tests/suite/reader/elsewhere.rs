//! A role that is for this host, on a reader that other hosts reach over TLS: its credential and its tokens are worth nothing there.

use super::{
    MOUNT, VALUE,
    deployed::Deployed,
    sides::{flat, prepare},
};
use donjon_tests::{namespaces::Hosts, openbao::OpenBao, process::tied};
use serde_json::{Value, json};
use std::process::Command;

/// What `curl` is answered, where it runs.
fn ask(mut curl: Command, deployed: &Deployed, path: &str, more: &[&str]) -> (u16, Value) {
    curl.args(["-s", "--max-time", "20", "--noproxy", "*", "-w", "\n%{http_code}", "--cacert"]);
    curl.arg(deployed.at("node/own.pem")).args(more).arg(format!("{}/v1/{path}", deployed.urls[0]));
    let output = curl.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_this_host_is_worth_nothing_on_another() {
    let server = OpenBao::start().await;
    prepare(&server, &flat()).await;
    let hosts = Hosts::new(1);
    let own = rcgen::generate_simple_self_signed(vec![hosts.machine.clone()]).unwrap();
    let (chain, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let consumers = "machine: {reads: [database_password]}\nanywhere: {reads: [database_password], from: anywhere}\n";
    let files = [("consumers.yaml", consumers), ("own.pem", &chain), ("own.key", &key)];
    let roles = format!("user: {{reads: [database_password], users: [{}]}}", rustix::process::geteuid().as_raw());
    let listen = format!("{}:0", hosts.machine);
    let more = ["--listen", &listen, "--certificate", "{home}/node/own.pem", "--key", "{home}/node/own.key"];
    let deployed = Deployed::start_with(&server, &roles, &files, &more).await;
    let (here, there) = (|| tied("curl"), || hosts.host(0).command("curl"));
    for (role, logs_in, reads) in [
        // As whoever has its user here, and as whoever is here.
        ("user", 400, 403),
        ("machine", 400, 403),
        // The control: the other host reaches the reader, and nothing but the role keeps it out.
        ("anywhere", 200, 200),
    ] {
        let (role_id, secret_id) = deployed.credential(role);
        let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
        let login = |curl| ask(curl, &deployed, "auth/approle/login", &["-d", &body]);
        let (status, answer) = login(here());
        assert_eq!(status, 200, "{role}: {answer}");
        let header = format!("X-Vault-Token: {}", answer["auth"]["client_token"].as_str().expect("a token"));
        let path = format!("{MOUNT}/data/kolla/database_password");
        let read = |curl| {
            let (status, answer) = ask(curl, &deployed, &path, &["-H", &header]);
            (status, answer["data"]["data"]["password"].as_str().map(str::to_owned))
        };
        let with = |status| (status, (status == 200).then(|| VALUE.to_owned()));
        assert_eq!(read(here()), with(200), "{role}");
        let (status, answer) = login(there());
        assert_eq!(status, logs_in, "{role}: {answer}");
        let refused = json!(["invalid role or secret ID"]);
        assert!(status == 200 || answer["errors"] == refused, "told no more than of a wrong one: {answer}");
        assert_eq!(read(there()), with(reads), "{role}");
        assert_eq!(read(here()), with(200), "{role}: it is good still where it belongs");
    }
    // The log says from where it was.
    let log = std::fs::read_to_string(deployed.at("node/audit.jsonl")).unwrap();
    let from = format!("\"from\":\"{}\"", hosts.host(0).address);
    let of = |outcome: &str| log.lines().filter(|line| line.contains(&from) && line.contains(outcome)).count();
    assert_eq!((of("\"denied\""), of("\"done\"")), (4, 2), "{log}");
    deployed.end();
}
