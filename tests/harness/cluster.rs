//! A real OpenBao cluster: three servers with raft, each on a host of its own, with an audit file each.

use crate::{
    namespaces::{Host, Hosts},
    openbao::{certificates_for, patiently},
    port,
    process::Guard,
    tools, wait,
};
use donjon_drivers::{
    material::Material,
    store::vault::{Address, Call, Connection, Method, Trust, Vault},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

/// The servers; they end when dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    authority: String,
    root: Option<Material>,
    shares: Vec<Material>,
    folder: tempfile::TempDir,
    _hosts: Hosts,
}

#[derive(Debug)]
struct Node {
    process: Option<Guard>,
    host: Host,
    port: u16,
    audited: bool,
}

#[derive(Deserialize)]
struct Initialised {
    root_token: Material,
    keys_base64: Vec<Material>,
}

impl Cluster {
    /// Three servers that nobody has initialised.
    pub fn empty() -> Self {
        let hosts = Hosts::new(3);
        let folder = tempfile::tempdir().unwrap();
        let addresses: Vec<String> = hosts.all().iter().map(|host| host.address.clone()).collect();
        let (authority, certificate, key) = certificates_for(&addresses);
        for (name, content) in [("authority.pem", &authority), ("certificate.pem", &certificate), ("key.pem", &key)] {
            donjon_drivers::fs::replace(&folder.path().join(name), content.as_bytes()).unwrap();
        }
        let node = |host: &Host| Node { process: None, host: host.clone(), port: port::free(), audited: true };
        let nodes = hosts.all().iter().map(node).collect();
        let mut cluster = Self { nodes, authority, root: None, shares: Vec::new(), folder, _hosts: hosts };
        for number in 0..3 {
            cluster.start(number);
        }
        cluster
    }

    /// Three servers that serve, with two shares of three to open them, and nothing in them.
    pub async fn serving() -> Self {
        let mut cluster = Self::empty();
        let first = cluster.connection(0);
        let initialised: Initialised =
            patiently(&first, "sys/init", Some(r#"{"secret_shares":3,"secret_threshold":2}"#)).await;
        cluster.root = Some(initialised.root_token);
        cluster.shares = initialised.keys_base64;
        cluster.unseal(0).await;
        cluster.join(1).await;
        cluster.join(2).await;
        cluster.voters().await;
        cluster
    }

    /// Starts a server, or starts it again.
    pub fn start(&mut self, number: usize) {
        let (path, own) = (self.configuration(number), self.own_folder(number));
        let node = &mut self.nodes[number];
        let mut command = node.host.command(tools::program("bao"));
        command.arg("server").arg(format!("-config={}", path.display()));
        // The audit device is the same on all of them, or none but the first leads; each writes where it is.
        command.current_dir(own);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(path.with_extension("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        node.process = Some(Guard::start(&mut command).expect("bao can be started"));
    }

    /// Starts a server again, with an audit device in its configuration or with none.
    pub fn audited(&mut self, number: usize, audited: bool) {
        self.kill(number);
        self.nodes[number].audited = audited;
        self.start(number);
    }

    /// Ends a server, as a power failure would.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].process = None;
    }

    /// Hands the shares in until it serves.
    pub async fn unseal(&self, number: usize) {
        self.unseal_with(number, &self.shares).await;
    }

    /// As [`Self::unseal`], with shares of one's own.
    pub async fn unseal_with(&self, number: usize, shares: &[Material]) {
        let connection = self.connection(number);
        wait::until("the server to take its shares", Duration::from_secs(60), async || {
            for share in shares {
                // EXPOSE: the share of a server that lives for one test
                let body = json!({"key": share.expose_text().unwrap()}).to_string();
                let answer = connection.call(Call::post("sys/unseal", Material::from(body))).await.ok()?;
                let seal: Value = answer.parse().ok()?;
                if seal["sealed"] == false {
                    return Some(());
                }
            }
            tokio::time::sleep(Duration::from_millis(90)).await;
            None
        })
        .await;
    }

    /// Joins a server to the first one, and opens it.
    pub async fn join(&self, number: usize) {
        self.join_with(number, &self.shares).await;
    }

    /// As [`Self::join`], with shares of one's own.
    pub async fn join_with(&self, number: usize, shares: &[Material]) {
        let body = json!({"leader_api_addr": self.url(0), "leader_ca_cert": self.authority}).to_string();
        let connection = self.connection(number);
        // A leader that has just been opened takes nobody in yet.
        wait::until("the cluster to take a server in", Duration::from_secs(60), async || {
            let joined = connection.call(Call::post("sys/storage/raft/join", Material::from(body.clone()))).await;
            let joined: Option<Value> = joined.ok().and_then(|answer| answer.parse().ok());
            tokio::time::sleep(Duration::from_millis(90)).await;
            joined.filter(|joined| joined["joined"] == true).map(drop)
        })
        .await;
        self.unseal_with(number, shares).await;
    }

    /// Waits until all three vote, so that any one of them may go.
    pub async fn voters(&self) {
        let connection = self.connection(0);
        let quick = r#"{"server_stabilization_time":"1s"}"#;
        wait::until("the cluster to take settings", Duration::from_secs(60), async || {
            let call = Call::post("sys/storage/raft/autopilot/configuration", Material::from(quick.to_owned()));
            connection.call(call).await.ok()
        })
        .await;
        wait::until("three voters", Duration::from_secs(60), async || {
            let answer = connection.call(Call::new(Method::Get, "sys/storage/raft/configuration")).await.ok()?;
            let configuration: Value = answer.parse().ok()?;
            let servers = configuration["data"]["config"]["servers"].as_array()?.clone();
            let voters = servers.iter().filter(|server| server["voter"] == true).count();
            (voters == 3).then_some(())
        })
        .await;
    }

    /// The server that leads.
    pub async fn leader(&self) -> usize {
        wait::until("a leader", Duration::from_secs(60), async || {
            for number in 0..self.nodes.len() {
                let answer = self.connection(number).call(Call::new(Method::Get, "sys/leader")).await;
                let told: Option<Value> = answer.ok().and_then(|answer| answer.parse().ok());
                if told.is_some_and(|told| told["is_self"] == true) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// The address of a server.
    pub fn url(&self, number: usize) -> String {
        let node = &self.nodes[number];
        format!("https://{}:{}", node.host.address, node.port)
    }

    /// The host of a server.
    pub fn host(&self, number: usize) -> &Host {
        &self.nodes[number].host
    }

    /// The file with the authority to trust there.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A server's audit file.
    pub fn audit_file(&self, number: usize) -> PathBuf {
        self.own_folder(number).join("audit.log")
    }

    /// What a server has logged.
    pub fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("node-{number}.log"))).unwrap_or_default()
    }

    /// The folder of the servers' files.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The root token.
    pub fn root(&self) -> &Material {
        self.root.as_ref().expect("it was initialised")
    }

    /// From now on with this token.
    pub fn use_root(&mut self, root: Material) {
        self.root = Some(root);
    }

    /// The shares.
    pub fn shares(&self) -> &[Material] {
        &self.shares
    }

    /// A connection to a server, with the root token where there is one.
    pub fn connection(&self, number: usize) -> Arc<Connection> {
        let trust = Trust::Only(self.authority.clone().into_bytes());
        let address = Address { url: self.url(number), trust, namespace: None };
        let connection = Connection::open_within(&address, Duration::from_secs(5)).expect("the address is one");
        if let Some(root) = &self.root {
            connection.use_token(root.duplicate());
        }
        Arc::new(connection)
    }

    /// The store in a mount, through one of the servers.
    pub fn store(&self, number: usize, mount: &str) -> Vault {
        Vault::new(self.connection(number), mount.parse().expect("a mount is a path"))
    }

    fn own_folder(&self, number: usize) -> PathBuf {
        let folder = self.folder.path().join(format!("of-{number}"));
        donjon_drivers::fs::private_folder(&folder).unwrap();
        folder
    }

    fn configuration(&self, number: usize) -> PathBuf {
        let node = &self.nodes[number];
        let at = |name: String| self.folder.path().join(name);
        let storage = at(format!("storage-{number}"));
        donjon_drivers::fs::private_folder(&storage).unwrap();
        let cluster = if node.host.address.starts_with("127.") { node.port.wrapping_add(1) } else { 8201 };
        let mut configuration = json!({
            "storage": {"raft": {"path": storage, "node_id": format!("n{number}"), "performance_multiplier": "1"}},
            "listener": [{"tcp": {
                "address": format!("{}:{}", node.host.address, node.port),
                "cluster_address": format!("{}:{cluster}", node.host.address),
                "tls_cert_file": at("certificate.pem".to_owned()),
                "tls_key_file": at("key.pem".to_owned()),
            }}],
            "api_addr": self.url(number),
            "cluster_addr": format!("https://{}:{cluster}", node.host.address),
            "log_level": "info",
            "audit": [{"file": {"node": {
                "description": "all that is asked of this server",
                "options": {"file_path": "audit.log", "mode": "0600"},
            }}}],
        });
        if !node.audited {
            configuration.as_object_mut().unwrap().remove("audit");
        }
        let path = at(format!("node-{number}.json"));
        donjon_drivers::fs::replace(&path, configuration.to_string().as_bytes()).unwrap();
        path
    }
}
