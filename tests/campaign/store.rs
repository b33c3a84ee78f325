//! The store as anybody sees it who has a token: plain HTTP requests, none of Donjon's own code.

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// A client of the store.
#[derive(Debug)]
pub(super) struct Store {
    http: Client,
    url: String,
    token: String,
}

/// What the store has of one secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// What consumers are served.
    pub(super) current: String,
    /// Every other value that it was served as before, the latest first.
    pub(super) earlier: Vec<String>,
    /// Values that are not published yet.
    pub(super) pending: Vec<String>,
}

/// The rotation that was begun last.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal {
    /// Its name.
    pub(super) id: String,
    /// Where it stands.
    pub(super) state: String,
    /// What it rotates.
    pub(super) secrets: Vec<String>,
}

impl Journal {
    /// Whether nothing is left to do.
    pub(super) fn ended(&self) -> bool {
        matches!(self.state.as_str(), "" | "retired" | "settled" | "aborted" | "restored")
    }
}

impl Store {
    /// A client of a server with an authority of its own.
    pub(super) fn new(url: &str, authority: &Path, token: &str) -> Self {
        let authority = Certificate::from_pem(&std::fs::read(authority).unwrap()).unwrap();
        let http = Client::builder().no_proxy().tls_certs_only([authority]).timeout(Duration::from_secs(10));
        Self { http: http.build().unwrap(), url: url.to_owned(), token: token.to_owned() }
    }

    /// What is at a path of the mount, where there is something.
    async fn ask(&self, method: Method, path: &str) -> Option<Value> {
        let request = self.http.request(method, format!("{}/v1/kv/{path}", self.url));
        let answer = request.header("X-Vault-Token", &self.token).send().await.unwrap();
        match answer.status() {
            StatusCode::NOT_FOUND => None,
            StatusCode::OK => Some(serde_json::from_str(&answer.text().await.unwrap()).unwrap()),
            other => panic!("{path}: {other}"),
        }
    }

    async fn value(&self, path: &str) -> Option<(String, u64)> {
        let found = self.ask(Method::GET, &format!("data/{path}")).await?;
        let version = found["data"]["metadata"]["version"].as_u64()?;
        Some((found["data"]["data"]["password"].as_str()?.to_owned(), version))
    }

    async fn list(&self, path: &str) -> Vec<String> {
        let listed = self.ask("LIST".parse().unwrap(), &format!("metadata/{path}")).await.unwrap_or_default();
        let keys = listed["data"]["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().filter_map(|key| Some(key.as_str()?.to_owned())).collect()
    }

    /// What it has of a secret: the last versions, and what the last rotation has pending.
    pub(super) async fn stored(&self, secret: &str, journal: &Journal) -> Stored {
        let (current, newest) = self.value(&format!("{SITE}/{secret}")).await.unwrap();
        let mut earlier = Vec::new();
        for version in (newest.saturating_sub(KEPT).max(1)..newest).rev() {
            let value = self.value(&format!("{SITE}/{secret}?version={version}")).await;
            earlier.extend(value.map(|(value, _)| value).filter(|value| *value != current));
        }
        let pending = self.value(&format!("donjon-private/{SITE}/pending/{}/{secret}", journal.id)).await;
        let pending = pending.map(|(value, _)| value).filter(|value| *value != current);
        Stored { current, earlier, pending: pending.into_iter().collect() }
    }

    /// The rotation that was begun last.
    pub(super) async fn journal(&self) -> Journal {
        let mut last: Option<(i64, String, String)> = None;
        // One that has ended may be laid aside already.
        for folder in ["journal", "ended"].map(|folder| format!("donjon-private/{SITE}/{folder}")) {
            for id in self.list(&folder).await {
                let begun = id.rsplit('.').nth(1).and_then(|at| at.parse().ok()).unwrap_or_default();
                if last.as_ref().is_none_or(|(latest, ..)| *latest < begun) {
                    last = Some((begun, folder.clone(), id));
                }
            }
        }
        let Some((_, folder, id)) = last else { return Journal::default() };
        let Some(found) = self.ask(Method::GET, &format!("data/{folder}/{id}")).await else {
            return Journal::default();
        };
        let journal = &found["data"]["data"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Journal {
            id,
            state: text(&journal["state"]),
            secrets: list(&journal["secrets"]).iter().map(|item| text(&item["secret"])).collect(),
        }
    }

    /// Whether the server takes a write.
    pub(super) async fn takes_writes(&self) -> Result<(), String> {
        let request = self.http.post(format!("{}/v1/kv/data/ballast/probe", self.url));
        let body = format!("{{\"data\":{{\"n\":\"{}\"}}}}", "x".repeat(20_000));
        match request.header("X-Vault-Token", &self.token).body(body).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                Err(format!("{status}: {}", answer.text().await.unwrap_or_default()))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The deployment's name.
pub(super) const SITE: &str = "site1";
/// How many earlier versions are looked at.
const KEPT: u64 = 3;
