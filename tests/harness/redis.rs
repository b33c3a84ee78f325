//! A real Redis server in a folder of its own, with a configuration file that it may rewrite; and sentinels.

use crate::{
    port,
    process::{Guard, tied, wait_for},
};
use donjon_drivers::target::redis::{self as driver, Member};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A server.
#[derive(Debug)]
pub struct Redis {
    /// Its port on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    process: Guard,
}

impl Redis {
    /// Starts one with these lines in its configuration file; `{folder}` in them is its own.
    pub fn start(lines: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("redis.").tempdir().unwrap();
        let port = port::free();
        let own = folder.path().display().to_string();
        let mut settings = format!("bind 127.0.0.1\nport {port}\ndir {own}\nlogfile {own}/log\nsave \"\"\n");
        for line in lines {
            settings.push_str(&line.replace("{folder}", &own));
            settings.push('\n');
        }
        donjon_drivers::fs::replace(&folder.path().join("redis.conf"), settings.as_bytes()).unwrap();
        // A server does not begin with a file of users that is not there.
        donjon_drivers::fs::replace(&folder.path().join("users.acl"), b"").unwrap();
        let process = spawn(folder.path());
        let server = Self { port, folder, process };
        server.ready();
        server
    }

    /// Starts one that is told everything by its arguments and so has no file to keep anything in.
    pub fn start_without_file() -> Self {
        let folder = tempfile::Builder::new().prefix("redis.").tempdir().unwrap();
        let port = port::free();
        let mut command = tied("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]).arg(folder.path());
        let process =
            Guard::start(command.stdin(Stdio::null()).stdout(Stdio::null())).expect("redis-server is installed");
        let server = Self { port, folder, process };
        server.ready();
        server
    }

    /// It as a node of a target.
    pub fn member(&self, name: &str) -> Member {
        Member { name: name.to_owned(), address: "127.0.0.1".to_owned(), port: self.port, tls_ca: None }
    }

    /// The folder in which everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Says a command as a user; what the server answers.
    pub fn say(&self, user: &str, value: &str, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "--no-auth-warning", "--user", user, "--pass", value]).args(words);
        String::from_utf8(command.output().expect("redis-tools is installed").stdout).unwrap().trim_end().to_owned()
    }

    /// Opens a session of a user, which stays open until it is dropped.
    pub fn session(&self, user: &str, value: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("AUTH {user} {value}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n", "{user} is let in");
        stream
    }

    /// Kills it and starts it on what it has on disk, at the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.folder.path());
        self.ready();
    }

    /// Kills it and starts it on what it has on disk, which it does not understand; what it says of that.
    pub fn cannot_restart(&mut self) -> String {
        self.process.kill();
        self.process = spawn(self.folder.path());
        wait_for("Redis to give up", Duration::from_secs(60), || self.process.ended().unwrap().is_some());
        fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    fn ready(&self) {
        wait_for("Redis to answer", Duration::from_secs(60), || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
            let mut answer = [0; 1];
            // With users there is an error, which is an answer too.
            stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok()
        });
    }
}

/// A sentinel that watches a server by the name `kolla`, with a configuration file that it rewrites.
#[derive(Debug)]
pub struct Sentinel {
    /// Its port on 127.0.0.1.
    pub port: u16,
    own: Option<String>,
    folder: TempDir,
    process: Guard,
}

impl Sentinel {
    /// Starts one that logs in as `default` with a value.
    pub fn start(watched: &Redis, quorum: u8, value: &str) -> Self {
        Self::start_as(watched, quorum, value, None)
    }

    /// As [`Self::start`], of one that asks everybody, other sentinels too, for a password of its own.
    pub fn start_asking(watched: &Redis, quorum: u8, value: &str, own: &str) -> Self {
        Self::start_as(watched, quorum, value, Some(own.to_owned()))
    }

    fn start_as(watched: &Redis, quorum: u8, value: &str, asks: Option<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("sentinel.").tempdir().unwrap();
        let port = port::free();
        let own = folder.path().display().to_string();
        let settings = format!(
            "bind 127.0.0.1\nport {port}\ndir {own}\nlogfile {own}/log\n\
             sentinel monitor kolla 127.0.0.1 {} {quorum}\nsentinel auth-pass kolla {value}\n\
             sentinel down-after-milliseconds kolla 20000\n{}",
            watched.port,
            asks.as_ref().map_or_else(String::new, |own| format!("requirepass {own}\nsentinel sentinel-pass {own}\n"))
        );
        donjon_drivers::fs::replace(&folder.path().join("sentinel.conf"), settings.as_bytes()).unwrap();
        let process = watch(folder.path());
        let sentinel = Self { port, own: asks, folder, process };
        sentinel.ready();
        sentinel
    }

    /// It as the sentinel of a target.
    pub fn described(&self, name: &str) -> driver::Sentinel {
        let member = Member { name: name.to_owned(), address: "127.0.0.1".to_owned(), port: self.port, tls_ca: None };
        driver::Sentinel { member, master: None, secret: None }
    }

    /// Says a command; what it answers.
    pub fn say(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if let Some(own) = &self.own {
            command.args(["--no-auth-warning", "-a", own]);
        }
        command.args(words);
        String::from_utf8(command.output().expect("redis-tools is installed").stdout).unwrap().trim_end().to_owned()
    }

    /// Its configuration file as it is now.
    pub fn settings(&self) -> String {
        fs::read_to_string(self.folder.path().join("sentinel.conf")).unwrap()
    }

    /// Kills it and starts it on what it has on disk.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = watch(self.folder.path());
        self.ready();
    }

    /// Kills it and starts it on what it has on disk, which it does not understand.
    pub fn cannot_restart(&mut self) {
        self.process.kill();
        self.process = watch(self.folder.path());
        wait_for("a sentinel to give up", Duration::from_secs(60), || self.process.ended().unwrap().is_some());
    }

    fn ready(&self) {
        wait_for("a sentinel to answer", Duration::from_secs(60), || self.say(&["PING"]) == "PONG");
    }
}

fn watch(folder: &Path) -> Guard {
    let mut command = tied("redis-server");
    command.arg(folder.join("sentinel.conf")).arg("--sentinel");
    Guard::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
        .expect("redis-server is installed")
}

fn spawn(folder: &Path) -> Guard {
    let out = fs::OpenOptions::new().create(true).append(true).open(folder.join("out")).unwrap();
    let mut command = tied("redis-server");
    command.arg(folder.join("redis.conf"));
    Guard::start(command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out))
        .expect("redis-server is installed")
}
