//! Clients of a Keystone behind a proxy.

use donjon_tests::{haproxy::Haproxy, wait};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// Clients that ask for tokens without pause, and count.
pub(crate) struct Clients {
    ended: Arc<AtomicBool>,
    issued: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Clients of a proxy, as the user `app` with `value-1`.
    pub(crate) fn start(proxy: &Haproxy) -> Self {
        let (ended, issued, failed): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let user = json!({"name": "app", "domain": {"id": "default"}, "password": "value-1"});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity}}).to_string();
        let loops = [(); 3].map(|()| {
            let (ended, issued, failed) = (Arc::clone(&ended), Arc::clone(&issued), Arc::clone(&failed));
            let (url, body) = (proxy.url("/v3/auth/tokens"), body.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                while !ended.load(SeqCst) {
                    let request = client.post(&url).header("Content-Type", "application/json").body(body.clone());
                    let right = request.send().await.is_ok_and(|answer| answer.status().as_u16() == 201);
                    if right { &issued } else { &failed }.fetch_add(1, SeqCst);
                }
            })
        });
        Self { ended, issued, failed, tasks: loops.into() }
    }

    /// Waits for so many more tokens.
    pub(crate) async fn go_on(&self, more: u64) {
        let begin = self.issued.load(SeqCst);
        let enough = async || (self.issued.load(SeqCst) >= begin + more).then_some(());
        wait::until("tokens", Duration::from_secs(60), enough).await;
    }

    /// Ends them: how many tokens were issued, and how many requests failed.
    pub(crate) async fn end(self) -> (u64, u64) {
        self.ended.store(true, SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        (self.issued.load(SeqCst), self.failed.load(SeqCst))
    }
}
