//! What an independent client sees: which value logs in on which node and host entry, and what must hold of it.

use super::{
    site::{ACCOUNTS, Site, account_hosts},
    store::{Journal, Stored},
};
use crate::mariadb::{MariaDb, native_hash};
use mysql_async::{Conn, OptsBuilder};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};

/// A node as an independent client reaches it: through its socket, and by TCP from addresses that one host entry covers.
#[derive(Debug)]
pub(super) struct Gate {
    socket: String,
    from: BTreeMap<&'static str, u16>,
    tasks: Vec<JoinHandle<()>>,
}

/// What came of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    Accepted,
    Refused,
    /// The node said something else, or nothing.
    Unclear(String),
}

/// What was seen of every secret.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The rotation that was begun last.
    pub(super) journal: Journal,
    /// What the store has.
    pub(super) stored: BTreeMap<&'static str, Stored>,
    /// What must not be; empty where all is well.
    pub(super) broken: Vec<String>,
    /// How many logins and looks that took.
    pub(super) looks: usize,
}

impl Gate {
    /// Ways to a server.
    pub(super) async fn to(server: &MariaDb) -> Self {
        let socket = server.socket().display().to_string();
        let mut gate = Self { socket, from: BTreeMap::new(), tasks: Vec::new() };
        for (host, last) in [(NEAR, 3), ("%", 2)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            gate.from.insert(host, listener.local_addr().unwrap().port());
            let node = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
            gate.tasks.push(tokio::spawn(relay(listener, Ipv4Addr::new(127, 0, 0, last), node)));
        }
        gate
    }

    /// Tries a value for the account of a host entry.
    pub(super) async fn login(&self, user: &str, host: &str, value: &str) -> Login {
        let options = OptsBuilder::default().user(Some(user)).pass(Some(value)).prefer_socket(false);
        let options = options.max_allowed_packet(Some(1 << 24)).wait_timeout(Some(60)).stmt_cache_size(0);
        let options = match host {
            "localhost" => options.socket(Some(self.socket.clone())),
            _ => options.ip_or_hostname("127.0.0.1").tcp_port(self.from[host]),
        };
        match tokio::time::timeout(Duration::from_secs(10), Conn::new(options)).await {
            Ok(Ok(conn)) => {
                // It was let in; how it leaves does not matter.
                let _ = conn.disconnect().await;
                Login::Accepted
            }
            Ok(Err(mysql_async::Error::Server(error))) if matches!(error.code, 1045 | 1698) => Login::Refused,
            Ok(Err(error)) => Login::Unclear(error.to_string()),
            Err(_) => Login::Unclear("no answer in 10 s".to_owned()),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Passes clients on to a node, which sees them come from an address.
async fn relay(listener: TcpListener, from: Ipv4Addr, node: SocketAddr) {
    let mut running = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        running.spawn(async move {
            let Ok(socket) = TcpSocket::new_v4() else { return };
            let bound = socket.bind(SocketAddr::from((from, 0)));
            if let (Ok(()), Ok(mut node)) = (bound, socket.connect(node).await) {
                // However it ends is for the two to see.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
            }
        });
    }
}

/// A host entry that one address of this machine meets, which the server knows by no name.
pub(super) const NEAR: &str = "127.0.0.3";

impl Seen {
    fn break_(&mut self, what: String) {
        self.broken.push(what);
    }
}

/// What holds at any instant, also in the middle of a rotation that was struck: the served value is let in everywhere, every
/// account accepts only what the store has, and an old value goes no earlier than its consumers are proven.
pub(super) async fn meanwhile(site: &Site) -> Seen {
    let mut seen = Seen { journal: site.store.journal().await, ..Seen::default() };
    for (secret, user) in ACCOUNTS {
        let stored = site.store.stored(secret, &seen.journal).await;
        let known: BTreeMap<String, &str> = stored
            .pending
            .iter()
            .map(|value| (native_hash(value), "pending"))
            .chain(stored.earlier.iter().map(|value| (native_hash(value), "earlier")))
            .chain([(native_hash(&stored.current), "current")])
            .collect();
        for (number, gate) in site.gates.iter().enumerate().filter(|(number, _)| site.takes_part(*number)) {
            for host in account_hosts(user) {
                let place = format!("{user}@{host} on node {number}");
                seen.looks += 1;
                match gate.login(user, host, &stored.current).await {
                    Login::Accepted => {}
                    Login::Refused => {
                        let mut others = false;
                        for value in stored.pending.iter().chain(&stored.earlier) {
                            others |= gate.login(user, host, value).await == Login::Accepted;
                        }
                        let kind = if others { "served value refused" } else { "LOCKED OUT: no stored value gets in" };
                        seen.break_(format!("{kind}: {place}, {} {}", seen.journal.id, seen.journal.state));
                    }
                    Login::Unclear(why) => seen.break_(format!("unclear: {place}: {why}")),
                }
            }
            for (host, chain) in chains(&site.nodes[number], user).await {
                seen.looks += 1;
                let place = format!("{user}@{host} on node {number}");
                if let Some(stranger) = chain.iter().find(|hash| !known.contains_key(*hash)) {
                    seen.break_(format!("not durable first: {place} accepts {stranger}, which the store has not"));
                }
            }
        }
        seen.stored.insert(secret, stored);
    }
    early(site, &mut seen).await;
    seen
}

/// Invariant 4: where the old value is gone in the middle of a rotation, its consumers had restarted after the publication.
async fn early(site: &Site, seen: &mut Seen) {
    let journal = seen.journal.clone();
    let forward = ["published", "rolling"].contains(&journal.state.as_str());
    if !forward || !journal.secrets.iter().any(|secret| secret == CONSUMED) {
        return;
    }
    // Before Drained nothing may be removed.
    let Some(stored) = seen.stored.get(CONSUMED) else { return };
    let Some(old) = stored.earlier.first().map(|value| native_hash(value)) else { return };
    for (number, node) in site.nodes.iter().enumerate().filter(|(number, _)| site.takes_part(*number)) {
        for (host, chain) in chains(node, "nova").await {
            if !chain.contains(&old) {
                seen.broken.push(format!("old value gone in {}: nova@{host} on node {number}", journal.state));
            }
        }
    }
}

/// What holds once nothing is left to do: each account accepts the served value and nothing else.
pub(super) async fn settled(site: &Site) -> Seen {
    let mut seen = meanwhile(site).await;
    if !seen.journal.ended() {
        seen.break_(format!("not ended: {} is {}", seen.journal.id, seen.journal.state));
    }
    for (secret, user) in ACCOUNTS {
        let stored = seen.stored[secret].clone();
        if !stored.pending.is_empty() {
            seen.break_(format!("{secret} still has a pending value"));
        }
        let only = native_hash(&stored.current);
        for (number, gate) in site.gates.iter().enumerate() {
            for host in account_hosts(user) {
                seen.looks += 1;
                if let Some(old) = stored.earlier.first()
                    && gate.login(user, host, old).await != Login::Refused
                {
                    seen.break_(format!("an earlier value still logs in: {user}@{host} on node {number}"));
                }
            }
            for (host, chain) in chains(&site.nodes[number], user).await {
                if chain != [only.clone()] {
                    seen.break_(format!("{user}@{host} on node {number} accepts {} values", chain.len()));
                }
            }
        }
        let view = site.store.stored(&format!("{user}_url"), &seen.journal).await.current;
        if !view.contains(&format!(":{}@", stored.current)) {
            seen.break_(format!("the view {user}_url does not follow"));
        }
    }
    seen
}

/// What the accounts of a user accept, as the server has it written down.
async fn chains(node: &MariaDb, user: &str) -> Vec<(String, Vec<String>)> {
    let rows = node.sql(&format!("SELECT host, priv FROM mysql.global_priv WHERE user = '{user}'")).await;
    let hashes = |text: &str| {
        let parts = text.split('*').skip(1).filter(|rest| rest.len() >= 40 && rest.is_char_boundary(40));
        let mut found: Vec<String> = parts
            .map(|rest| format!("*{}", &rest[..40]))
            .filter(|hash| hash[1..].bytes().all(|byte| byte.is_ascii_hexdigit()))
            .collect();
        found.sort();
        found.dedup();
        found
    };
    rows.into_iter().map(|row| (row[0].trim_matches('\'').to_owned(), hashes(&row[1]))).collect()
}

/// The secret whose consumers restart.
pub(super) const CONSUMED: &str = "nova_database_password";
