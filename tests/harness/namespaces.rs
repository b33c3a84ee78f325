//! Several hosts on one machine: network namespaces on one bridge where the test is root, else addresses of loopback.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Some hosts that reach each other; what was made for them goes when this is dropped.
#[derive(Debug)]
pub struct Hosts {
    /// Where this machine itself is for them.
    pub machine: String,
    bridge: Option<String>,
    hosts: Vec<Host>,
}

/// One host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its address.
    pub address: String,
    namespace: Option<String>,
}

impl Hosts {
    /// Makes some.
    ///
    /// # Panics
    /// Where root cannot make namespaces.
    pub fn new(count: u8) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() * 16 + MADE.fetch_add(1, Ordering::Relaxed) % 16;
        // A bridge of this name would be another test's of the same process, and each has its own number.
        let (bridge, net) = (format!("djb{number}"), format!("10.{}.{}", 64 + number % 128, number / 128 % 250));
        if !ip(&["link", "add", "name", &bridge, "type", "bridge"]) {
            // A test that says namespaces has none then, and nobody would know.
            assert!(
                !rustix::process::geteuid().is_root(),
                "root can make network namespaces: `ip link add` has failed"
            );
            let loopback = |host| Host {
                address: format!("127.{}.{}.{host}", 1 + number % 250, number / 250 % 250),
                namespace: None,
            };
            let hosts = (10..10 + count).map(loopback).collect();
            return Self { machine: "127.0.0.1".to_owned(), bridge: None, hosts };
        }
        let mut made = Self { machine: format!("{net}.1"), bridge: Some(bridge.clone()), hosts: Vec::new() };
        must(&["addr", "add", &format!("{}/24", made.machine), "dev", &bridge]);
        must(&["link", "set", &bridge, "up"]);
        for host in 10..10 + count {
            let (namespace, outside) = (format!("donjon-{number}-{host}"), format!("djv{number}x{host}"));
            let address = format!("{net}.{host}");
            must(&["netns", "add", &namespace]);
            made.hosts.push(Host { address: address.clone(), namespace: Some(namespace.clone()) });
            must(&["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", &namespace]);
            must(&["link", "set", &outside, "master", &bridge, "up"]);
            must(&["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
            must(&["-n", &namespace, "link", "set", "eth0", "up"]);
            must(&["-n", &namespace, "link", "set", "lo", "up"]);
        }
        made
    }

    /// One of them.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// All of them.
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }
}

impl Host {
    /// A command that runs on this host, and that the kernel ends with the thread that starts it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match &self.namespace {
            Some(namespace) => {
                let mut command = crate::process::tied("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => crate::process::tied(program),
        }
    }

    /// Takes the host off the network, or puts it back.
    ///
    /// # Panics
    /// Where hosts are addresses of loopback, which cannot be cut off.
    pub fn link(&self, state: Link) {
        let namespace = self.namespace.as_deref().expect("only a namespace can be cut off");
        let state = match state {
            Link::Up => "up",
            Link::Down => "down",
        };
        must(&["-n", namespace, "link", "set", "eth0", state]);
    }
}

/// Whether a host is on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is.
    Up,
    /// It is not.
    Down,
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.hosts {
            if let Some(namespace) = &host.namespace {
                ip(&["netns", "del", namespace]);
            }
        }
        if let Some(bridge) = &self.bridge {
            ip(&["link", "del", bridge]);
        }
    }
}

fn must(arguments: &[&str]) {
    assert!(ip(arguments), "ip {arguments:?}");
}

fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
