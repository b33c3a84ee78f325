//! A real RabbitMQ node in a folder of its own, with a port mapper of its own.

use crate::{
    port,
    process::{Guard, tied, wait_for},
};
use donjon_drivers::target::rabbitmq::Member;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// The harness's own account, which no rotation touches, and its password.
const HARNESS: &str = "harness";

/// A node called `rabbit` on this host, or one of a cluster. Its port mapper is not the system's, so that any number may be called so.
#[derive(Debug)]
pub struct RabbitMq {
    folder: TempDir,
    environment: BTreeMap<&'static str, String>,
    management_port: u16,
    // Dropped in this order: the node first.
    node: Guard,
    _mapper: Arc<Guard>,
}

/// How a node is called, and the mapper that it shares with the others of its cluster.
struct Called {
    name: Option<&'static str>,
    mapper: Option<(u16, Arc<Guard>)>,
}

/// What is started anew where it ended at once, twice at most.
fn within_three(start: impl Fn() -> Result<RabbitMq, String>) -> RabbitMq {
    start().or_else(|_| start()).or_else(|_| start()).unwrap_or_else(|why| panic!("{why}"))
}

impl RabbitMq {
    /// Starts one, and waits until it serves.
    pub fn start() -> Self {
        within_three(|| Self::start_with("[].", "", ALONE))
    }

    /// Starts one with the management plugin, which the harness administers by an account of its own.
    pub fn start_managed() -> Self {
        within_three(|| Self::managed("", ALONE))
    }

    /// Starts a cluster of three with the management plugin: `n1`, `n2` and `n3`.
    pub fn cluster() -> [Self; 3] {
        // Others read more often, but a test waits for each reading.
        const OFTEN: &str = "collect_statistics_interval = 1000\n";
        let first = within_three(|| Self::managed(OFTEN, || Called { name: Some(NAMES[0]), mapper: None }));
        let mapper = (first.environment["ERL_EPMD_PORT"].parse().expect("a port"), Arc::clone(&first._mapper));
        let joins = |number: usize| {
            let together = format!(
                "{OFTEN}cluster_formation.peer_discovery_backend = classic_config\n\
                 cluster_formation.classic_config.nodes.1 = {}\ncluster_formation.classic_config.nodes.2 = {}\n",
                NAMES[0], NAMES[number]
            );
            let called = || Called { name: Some(NAMES[number]), mapper: Some(mapper.clone()) };
            within_three(|| Self::managed(&together, called))
        };
        let (second, third) = (joins(1), joins(2));
        [first, second, third]
    }

    fn managed(more: &str, called: impl FnOnce() -> Called) -> Result<Self, String> {
        let port = port::free();
        let configuration = format!(
            "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n\
             default_user = {HARNESS}\ndefault_pass = {HARNESS}\n{more}"
        );
        let mut server = Self::start_with("[rabbitmq_management].", &configuration, called)?;
        server.management_port = port;
        Ok(server)
    }

    /// Why it ended, where it did so at once: it has four ports, and another test may have been faster at one.
    fn start_with(plugins: &str, configuration: &str, called: impl FnOnce() -> Called) -> Result<Self, String> {
        let Called { name, mapper } = called();
        let folder = tempfile::Builder::new().prefix("rabbitmq-").tempdir().expect("a temporary folder can be made");
        let own = |name: &str| folder.path().join(name).display().to_string();
        let cookie = folder.path().join(".erlang.cookie");
        donjon_drivers::fs::replace_with_mode(&cookie, b"cookie-of-the-harness", 0o400).expect("it is our folder");
        for (name, content) in [("plugins", plugins), ("rabbitmq.conf", configuration)] {
            donjon_drivers::fs::replace(&folder.path().join(name), content.as_bytes()).expect("it is our folder");
        }
        let mut environment = BTreeMap::from([
            ("ERL_CRASH_DUMP", own("crash")),
            ("ERL_EPMD_PORT", mapper.as_ref().map_or_else(port::free, |(port, _)| *port).to_string()),
            ("HOME", folder.path().display().to_string()),
            ("RABBITMQ_CONFIG_FILE", own("rabbitmq.conf")),
            ("RABBITMQ_DIST_PORT", port::free().to_string()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", own("plugins")),
            ("RABBITMQ_LOGS", own("log")),
            ("RABBITMQ_MNESIA_BASE", own("data")),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", port::free().to_string()),
            ("RABBITMQ_PID_FILE", own("pid")),
            // Otherwise the script stays in between, and what ends it leaves the node.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ]);
        environment.extend(name.map(|name| ("RABBITMQ_NODENAME", name.to_owned())));
        let mapper = match mapper {
            Some((_, mapper)) => mapper,
            None => {
                let port: u16 = environment["ERL_EPMD_PORT"].parse().expect("a port is a number");
                let mapper = quietly(tied("epmd").args(["-address", "127.0.0.1", "-port", &port.to_string()]));
                // Erlang starts a mapper itself, one that nobody ends, where it finds none.
                wait_for("the port mapper", Duration::from_secs(60), || {
                    TcpStream::connect(("127.0.0.1", port)).is_ok()
                });
                Arc::new(mapper)
            }
        };
        let node = quietly(tied(programs().join("rabbitmq-server")).envs(&environment));
        let mut server = Self { folder, environment, management_port: 0, node, _mapper: mapper };
        server.serves(1)?;
        Ok(server)
    }

    /// Waits until it has begun to serve so often, or says why it ended.
    fn serves(&mut self, often: usize) -> Result<(), String> {
        let log = self.folder.path().join("log");
        let mut ended = None;
        wait_for("RabbitMQ to serve", Duration::from_secs(180), || {
            ended = self.node.ended().expect("a child can be asked");
            let said = fs::read_to_string(&log).unwrap_or_default();
            ended.is_some() || said.matches("Server startup complete").count() >= often
        });
        match ended {
            Some(status) => {
                Err(format!("RabbitMQ ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default()))
            }
            None => Ok(()),
        }
    }

    /// Kills it, as a power failure would.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Kills it where it runs, and starts it on what it has on disk, at the same ports.
    pub fn restart(&mut self) {
        self.node.kill();
        let before = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        self.node = quietly(tied(programs().join("rabbitmq-server")).envs(&self.environment));
        self.serves(before.matches("Server startup complete").count() + 1).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Cuts it off from others of its cluster, which clients still reach: they no longer know each other's cookie.
    pub fn part_from(&self, others: &[&Self]) {
        let cut = |other: &&Self| {
            let name = &other.environment["RABBITMQ_NODENAME"];
            format!("erlang:set_cookie('{name}', other), erlang:disconnect_node('{name}')")
        };
        let cut: Vec<String> = others.iter().map(cut).collect();
        let done = self.control(&["eval", &format!("{}.", cut.join(", "))]);
        assert!(done.status.success(), "{done:?}");
    }

    /// What a process needs to administer it, besides [`Self::programs`] on its PATH and the cookie in its HOME.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        self.environment
            .iter()
            .filter(|(name, _)| **name != "HOME")
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }

    /// The folder of programs that do not change user first.
    pub fn programs(&self) -> PathBuf {
        programs()
    }

    /// The cookie that lets a process administer it.
    pub fn cookie(&self) -> PathBuf {
        self.folder.path().join(".erlang.cookie")
    }

    /// It as a node of a target.
    pub fn member(&self, name: &str) -> Member {
        Member {
            name: name.to_owned(),
            address: "127.0.0.1".to_owned(),
            port: self.port(),
            management_port: self.management_port,
            tls_ca: None,
        }
    }

    /// The folder in which everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks its API as the harness; what it answers with success.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.try_api(method, path, body).await.unwrap_or_else(|status| panic!("{method} {path}: {status}"))
    }

    /// As [`Self::api`], or the status with which it refuses.
    pub async fn try_api(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, u16> {
        let url = format!("http://127.0.0.1:{}/api/{path}", self.management_port);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
        let request = client.request(method.parse().expect("a method"), url).basic_auth(HARNESS, Some(HARNESS));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.expect("it answers");
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        Ok(serde_json::from_slice(&answer.bytes().await.expect("the answer ends")).unwrap_or(Value::Null))
    }

    /// Creates a user that administers it and may use everything in the virtual host `/`.
    pub async fn user(&self, name: &str, value: &str) {
        let body = json!({"password": value, "tags": "administrator"});
        self.api("PUT", &format!("users/{name}"), Some(body)).await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.api("PUT", &format!("permissions/%2F/{name}"), Some(all)).await;
    }

    /// Opens a connection of a user to the virtual host `/`, which stays open until it is dropped.
    pub fn session(&self, user: &str, value: &str) -> Session {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).expect("it listens");
        let mut say = |bytes: &[u8]| {
            stream.write_all(bytes).expect("it listens");
            let mut head = [0; 7];
            stream.read_exact(&mut head).expect("it answers");
            let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
            let mut body = vec![0; usize::try_from(length).expect("it fits") + 1];
            stream.read_exact(&mut body).expect("it answers");
            body[..4].to_vec()
        };
        let method = |id: [u8; 4], arguments: &[u8]| {
            let length = u32::try_from(arguments.len() + 4).expect("it is short").to_be_bytes();
            [&[1, 0, 0][..], &length, &id, arguments, &[0xce]].concat()
        };
        assert_eq!(say(b"AMQP\x00\x00\x09\x01"), [0, 10, 0, 10], "connection.start");
        let response = format!("\0{user}\0{value}");
        let length = u32::try_from(response.len()).expect("it is short").to_be_bytes();
        let start_ok = [&[0; 4][..], b"\x05PLAIN", &length, response.as_bytes(), b"\x05en_US"].concat();
        assert_eq!(say(&method([0, 10, 0, 11], &start_ok)), [0, 10, 0, 30], "connection.tune");
        let open = [method([0, 10, 0, 31], &[0, 1, 0, 2, 0, 0, 0, 0]), method([0, 10, 0, 40], b"\x01/\0\0")].concat();
        assert_eq!(say(&open), [0, 10, 0, 41], "connection.open-ok");
        let mut ear = stream.try_clone().expect("a socket can be had twice");
        std::thread::spawn(move || {
            let mut heard = [0; 512];
            while let Ok(1..) = ear.read(&mut heard) {
                // connection.close, which a server waits for half a minute to be answered.
                if heard[7..11] == [0, 10, 0, 50] {
                    let _ = ear.write_all(&[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 51, 0xce]);
                }
            }
        });
        Session(stream)
    }

    fn port(&self) -> u16 {
        self.environment["RABBITMQ_NODE_PORT"].parse().expect("a port is a number")
    }

    /// Runs an administrative command.
    pub fn control(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(programs().join("rabbitmqctl"));
        command.args(arguments).envs(&self.environment).output().expect("rabbitmq-server is installed")
    }
}

/// A connection that answers when the server closes it.
#[derive(Debug)]
pub struct Session(TcpStream);

impl Drop for Session {
    fn drop(&mut self) {
        // The server may have closed it before.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// The names of a cluster's nodes; their host has the same address wherever the tests run.
const NAMES: [&str; 3] = ["n1@localhost", "n2@localhost", "n3@localhost"];

const ALONE: fn() -> Called = || Called { name: None, mapper: None };

fn quietly(command: &mut Command) -> Guard {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Guard::start(quiet).expect("rabbitmq-server is installed")
}

fn programs() -> PathBuf {
    Path::new("/usr/lib/rabbitmq/bin").to_owned()
}
