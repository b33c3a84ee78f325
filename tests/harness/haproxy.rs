//! A real HAProxy on loopback, which ends with the test, with two web servers of its own behind it or with others'.

use crate::{
    port,
    process::{Guard, tied, wait_for},
    tools,
};
use std::{
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;

/// HAProxy with the backend `web`, whose servers are `w1` and `w2`.
#[derive(Debug)]
pub struct Haproxy {
    folder: TempDir,
    front: u16,
    runtime: u16,
    servers: Vec<(u16, Guard)>,
    _process: Guard,
}

impl Haproxy {
    /// Starts both servers and the proxy; `server` is what HAProxy is told of each beside its name and address.
    pub fn start(server: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder can be made"), server)
    }

    /// As [`Self::start`], with its runtime socket in this folder.
    pub fn start_in(folder: TempDir, server: &str) -> Self {
        let servers: Vec<(u16, Guard)> = [port::free(), port::free()].map(|port| (port, web(port))).into();
        let ports: Vec<u16> = servers.iter().map(|(port, _)| *port).collect();
        Self { servers, ..Self::before_in(folder, &ports, "option httpchk GET /", server) }
    }

    /// Starts the proxy before servers that others started: `w1`, `w2`, … at these ports, well where this path is.
    pub fn before(ports: &[u16], path: &str, server: &str) -> Self {
        let check = format!("option httpchk GET {path}");
        Self::before_in(tempfile::tempdir().expect("a temporary folder can be made"), ports, &check, server)
    }

    fn before_in(folder: TempDir, ports: &[u16], check: &str, server: &str) -> Self {
        let (front, runtime) = (port::free(), port::free());
        let socket = folder.path().join("runtime.sock");
        let lines: String =
            (1..).zip(ports).map(|(number, port)| format!("  server w{number} 127.0.0.1:{port} {server}\n")).collect();
        // A busy server may take its time for an answer to a check; one that was killed refuses at once.
        let configuration = format!(
            "global\n  stats socket {} mode 600 level admin\n  stats socket 127.0.0.1:{runtime} level admin\n\
             defaults\n  mode http\n  retries 0\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n\
             frontend front\n  bind 127.0.0.1:{front}\n  default_backend web\n\
             backend web\n  balance roundrobin\n  {check}\n  timeout check 10s\n  default-server inter 100ms fall 3 rise 2\n{lines}",
            socket.display()
        );
        let file = folder.path().join("haproxy.cfg");
        donjon_drivers::fs::replace(&file, configuration.as_bytes()).expect("the folder takes it");
        let mut command = tied("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Guard::start(&mut command).expect("haproxy is installed: tests/setup/packages.sh");
        let proxy = Self { folder, front, runtime, servers: Vec::new(), _process: process };
        wait_for("HAProxy", BOUND, || proxy.socket().exists() && listens(front) && listens(runtime));
        proxy
    }

    /// Where clients connect.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.front)
    }

    /// Its runtime socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("runtime.sock")
    }

    /// Its runtime socket over TCP.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.runtime)
    }

    /// Kills a server (0 or 1) and starts it again; returns once it listens.
    pub fn restart(&mut self, server: usize) {
        self.kill(server);
        let port = self.servers[server].0;
        self.servers[server].1 = web(port);
    }

    /// Kills a server.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].1.kill();
    }
}

fn web(port: u16) -> Guard {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/drain/backend.py");
    let mut command = tied(tools::program("python"));
    command.arg(script).arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Guard::start(&mut command).expect("python is there");
    wait_for("a web server", BOUND, || listens(port));
    server
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

const BOUND: Duration = Duration::from_secs(60);
