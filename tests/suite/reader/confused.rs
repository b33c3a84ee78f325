//! Whatever is sent to a reader, nothing of it comes back in an answer, and none of it stands in a log, at the finest level.

use super::{deployed::Deployed, sides};
use donjon_tests::{
    confused::{CANARY, texts},
    openbao::OpenBao,
    wait,
};
use reqwest::{Client, Method};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// One request; `{canary}` in a path is the canary.
struct Sent {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

fn requests(token: &str) -> Vec<Sent> {
    let quoted = CANARY.replace(' ', "%20");
    let places = [
        "sys/health?activecode={canary}&sealedcode={canary}",
        "sys/seal-status",
        "sys/init",
        "sys/leader",
        "sys/unseal",
        "sys/internal/ui/mounts",
        "sys/internal/ui/mounts/{canary}",
        "sys/donjon/records",
        "auth/approle/login",
        "auth/cert/login",
        "auth/token/lookup-self",
        "auth/token/renew-self",
        "auth/{canary}/login",
        "kv/data/kolla/database_password?version={canary}",
        "kv/data/kolla/{canary}",
        "kv/data/{canary}",
        "kv/metadata/kolla/?list={canary}",
        "kv/metadata/{canary}",
        "{canary}/data/x",
    ];
    let mut all = Vec::new();
    for place in places {
        let path = format!("/v1/{}", place.replace("{canary}", &quoted));
        for method in ["GET", "POST", "LIST", "DELETE"] {
            for given in [token, CANARY, ""] {
                let headers = vec![("X-Vault-Token", given.to_owned())];
                all.push(Sent { method, path: path.clone(), headers, body: None });
            }
        }
        for name in ["X-Vault-Namespace", "X-Vault-Wrap-TTL", "Authorization", "Content-Type", "X-Request-Id", "Host"] {
            let headers = vec![("X-Vault-Token", token.to_owned()), (name, CANARY.to_owned())];
            all.push(Sent { method: "GET", path: path.clone(), headers, body: None });
        }
    }
    let fields = |place: &str| match place {
        "sys/donjon/records" => &["mount", "paths", "epoch"][..],
        "auth/approle/login" => &["role_id", "secret_id"],
        "auth/cert/login" => &["name"],
        "sys/unseal" => &["key", "reset"],
        _ => &["increment"],
    };
    for place in ["sys/donjon/records", "auth/approle/login", "auth/cert/login", "auth/token/renew-self", "sys/unseal"]
    {
        for body in fields(place).iter().flat_map(|field| texts(field)) {
            let headers = vec![("X-Vault-Token", token.to_owned())];
            all.push(Sent { method: "POST", path: format!("/v1/{place}"), headers, body: Some(body) });
        }
        for body in fields(place).iter().flat_map(|field| [format!("{field}={quoted}"), format!("{quoted}={field}")]) {
            let form = ("Content-Type", "application/x-www-form-urlencoded".to_owned());
            let headers = vec![("X-Vault-Token", token.to_owned()), form];
            all.push(Sent { method: "POST", path: format!("/v1/{place}"), headers, body: Some(body) });
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_comes_back_or_is_logged() {
    let server = OpenBao::start().await;
    sides::prepare(&server, &super::records()).await;
    let running = Deployed::start(&server).await;
    let (token, client) = (running.token("keystone").await, sides::client(None));
    let mut statuses = BTreeMap::<u16, usize>::new();
    for sent in requests(&token) {
        let (status, answer) = ask(&client, &running.urls[0], &sent).await;
        assert!(!holds(&answer), "{} {} {:?}: {answer}", sent.method, sent.path, sent.body);
        *statuses.entry(status).or_default() += 1;
    }
    let of = |wanted: u16| statuses.get(&wanted).copied().unwrap_or_default();
    assert!(of(200) > 10 && of(400) > 60 && of(403) > 60, "the control: they were looked at: {statuses:?}");
    let audit = std::fs::read_to_string(running.at("node/audit.jsonl")).unwrap();
    let refused = audit.lines().filter(|line| line.contains("\"denied\"")).count();
    assert!(
        refused > 200 && audit.contains("database_password"),
        "the control: {refused} lines, and names that are known"
    );
    assert_eq!(running.donjon.tells(&[CANARY]), [] as [PathBuf; 0]);
}

/// Sends it until it is looked at: who is refused often is slowed down.
async fn ask(client: &Client, url: &str, sent: &Sent) -> (u16, String) {
    wait::until("a request to be looked at", Duration::from_secs(60), async || {
        let method = Method::from_bytes(sent.method.as_bytes()).unwrap();
        let mut request = client.request(method, format!("{url}{}", sent.path));
        for (name, value) in &sent.headers {
            request = request.header(*name, value);
        }
        request = sent.body.iter().fold(request, |request, body| request.body(body.clone()));
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let headers: String = answer.headers().iter().map(|(name, value)| format!("{name}: {value:?}\n")).collect();
        let body = answer.text().await.unwrap();
        (status != 429).then(|| (status, headers + &body))
    })
    .await
}

fn holds(answer: &str) -> bool {
    [CANARY, &CANARY.replace(' ', "%20")].iter().any(|form| answer.contains(form))
}
