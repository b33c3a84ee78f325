//! A real Galera cluster of three on loopback. The others begin as copies of the first, so that none needs a full transfer.

use crate::{
    mariadb::{MariaDb, User, template},
    port, wait,
};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// The nodes, the first of which began the cluster.
pub async fn start(setup: &[&str]) -> [MariaDb; 3] {
    let group = [port::free(), port::free(), port::free()];
    let everyone = format!("gcomm://{}", group.map(|port| format!("127.0.0.1:{port}")).join(","));
    let mut seed = MariaDb::start_with(&words(&arguments("seed", group[0], "gcomm://"))).await;
    ready(&seed).await;
    for statement in setup {
        seed.sql(statement).await;
    }
    seed.stop().await;
    let data = seed.folder().join("data");
    let first = MariaDb::start_on(&data, port::free(), &words(&arguments("n1", group[0], "gcomm://"))).await;
    ready(&first).await;
    for leftover in ["gvwstate.dat", "galera.cache"] {
        let _ = fs::remove_file(data.join(leftover));
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let second = MariaDb::start_on(&data, port::free(), &words(&arguments("n2", group[1], &everyone))).await;
    ready(&second).await;
    let third = MariaDb::start_on(&data, port::free(), &words(&arguments("n3", group[2], &everyone))).await;
    ready(&third).await;
    [first, second, third]
}

/// A cluster of one that gives full copies of itself by `mariadb-backup`; whoever joins begins empty and fetches one. The
/// nodes run as the system's user of servers.
#[derive(Debug)]
pub struct Growing {
    /// Those that have joined.
    pub nodes: Vec<MariaDb>,
    group: [u16; 3],
}

impl Growing {
    /// The first node.
    pub async fn start() -> Self {
        let group = [port::free(), port::free(), port::free()];
        let nodes = vec![join(settings(0, group[0], "gcomm://")).await];
        Self { nodes, group }
    }

    /// Another node, with what its configuration has as `wsrep_sst_auth`; what gives it the copy has that set already. It is
    /// no part of this until it is added.
    pub fn newcomer(&self, authentication: &str) -> impl Future<Output = MariaDb> + use<> {
        let everyone = format!("gcomm://{}", self.group.map(|port| format!("127.0.0.1:{port}")).join(","));
        let mut settings = settings(self.nodes.len(), self.group[self.nodes.len()], &everyone);
        settings.push(format!("--wsrep-sst-auth={authentication}"));
        join(settings)
    }
}

fn settings(number: usize, group: u16, cluster: &str) -> Vec<String> {
    let mut settings = arguments(&format!("n{}", number + 1), group, cluster);
    settings.retain(|setting| !setting.starts_with("--wsrep-sst-method="));
    settings.push("--wsrep-sst-method=mariabackup".into());
    settings
}

async fn join(settings: Vec<String>) -> MariaDb {
    let node = MariaDb::start_by(User::System, &template(), port::free(), settings).await;
    ready(&node).await;
    node
}

/// Waits until a node takes part.
pub async fn ready(node: &MariaDb) {
    wait::until("a node to be synced", Duration::from_secs(60), async || {
        let rows = node.try_sql("SHOW STATUS LIKE 'wsrep_local_state_comment'").await.ok()?;
        (rows[0][1] == "Synced").then_some(())
    })
    .await;
}

/// Cuts a node off from the others, or joins it again.
pub async fn isolate(node: &MariaDb, cut: bool) {
    node.sql(&format!("SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'", u8::from(cut))).await;
}

fn arguments(name: &str, group: u16, cluster: &str) -> Vec<String> {
    let provider = format!(
        "--wsrep-provider-options=base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};\
         ist.recv_addr=127.0.0.1:{};gcache.size=8M",
        port::free()
    );
    vec![
        "--binlog-format=ROW".into(),
        "--innodb-autoinc-lock-mode=2".into(),
        "--wsrep-on=ON".into(),
        "--wsrep-provider=/usr/lib/galera/libgalera_smm.so".into(),
        "--wsrep-cluster-name=test".into(),
        "--wsrep-sst-method=rsync".into(),
        format!("--wsrep-node-name={name}"),
        format!("--wsrep-node-address=127.0.0.1:{group}"),
        format!("--wsrep-sst-receive-address=127.0.0.1:{}", port::free()),
        format!("--wsrep-cluster-address={cluster}"),
        provider,
    ]
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
