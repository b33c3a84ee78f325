//! A real RabbitMQ node in a folder of its own, with a port mapper of its own.

use crate::{
    port,
    process::{Guard, tied, wait_for},
};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A node called `rabbit` on this host. Its port mapper is not the system's, so that any number may be called so.
#[derive(Debug)]
pub struct RabbitMq {
    folder: TempDir,
    environment: BTreeMap<&'static str, String>,
    // Dropped in this order: the node first.
    _node: Guard,
    _mapper: Guard,
}

impl RabbitMq {
    /// Starts one, and waits until it serves.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("rabbitmq-").tempdir().expect("a temporary folder can be made");
        let own = |name: &str| folder.path().join(name).display().to_string();
        let cookie = folder.path().join(".erlang.cookie");
        donjon_drivers::fs::replace_with_mode(&cookie, b"cookie-of-the-harness", 0o400).expect("it is our folder");
        let environment = BTreeMap::from([
            ("ERL_EPMD_PORT", port::free().to_string()),
            ("HOME", folder.path().display().to_string()),
            ("RABBITMQ_CONFIG_FILE", own("none")),
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
        let start = |command: &mut Command| {
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Guard::start(quiet).expect("rabbitmq-server is installed")
        };
        let mapper = start(tied("epmd").args(["-address", "127.0.0.1", "-port", &environment["ERL_EPMD_PORT"]]));
        // Erlang starts a mapper itself, one that nobody ends, where it finds none.
        let mapped: u16 = environment["ERL_EPMD_PORT"].parse().expect("a port is a number");
        wait_for("the port mapper", Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", mapped)).is_ok());
        let mut node = start(tied(programs().join("rabbitmq-server")).envs(&environment));
        let log = folder.path().join("log");
        wait_for("RabbitMQ to serve", Duration::from_secs(120), || {
            if let Some(status) = node.ended().expect("a child can be asked") {
                panic!("RabbitMQ ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            fs::read_to_string(&log).unwrap_or_default().contains("Server startup complete")
        });
        Self { folder, environment, _node: node, _mapper: mapper }
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

    /// Runs an administrative command.
    pub fn control(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(programs().join("rabbitmqctl"));
        command.args(arguments).envs(&self.environment).output().expect("rabbitmq-server is installed")
    }
}

fn programs() -> PathBuf {
    Path::new("/usr/lib/rabbitmq/bin").to_owned()
}
