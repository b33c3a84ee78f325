//! A real memcached on loopback.

use crate::{
    port,
    process::{Guard, tied, wait_for},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

/// A server.
#[derive(Debug)]
pub struct Memcached {
    /// Its port on 127.0.0.1.
    pub port: u16,
    process: Guard,
}

impl Memcached {
    /// Starts one that holds nothing.
    pub fn start() -> Self {
        let port = port::free();
        let server = Self { port, process: spawn(port) };
        server.ready();
        server
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again at the same port, with nothing in it.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.port);
        self.ready();
    }

    /// Keeps something under a name.
    pub fn set(&self, name: &str, value: &str) {
        let said = self.say(&format!("set {name} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
        assert_eq!(said, "STORED\r\n");
    }

    /// What it keeps under a name.
    pub fn get(&self, name: &str) -> Option<String> {
        let said = self.say(&format!("get {name}\r\n"), "END\r\n");
        said.lines().nth(1).map(str::to_owned)
    }

    fn say(&self, words: &str, end: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(words.as_bytes()).expect("it listens");
        let mut said = String::new();
        let mut byte = [0];
        while !said.ends_with(end) && stream.read(&mut byte).expect("it answers") == 1 {
            said.push(char::from(byte[0]));
        }
        said
    }

    fn ready(&self) {
        wait_for("memcached to listen", Duration::from_secs(60), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }
}

fn spawn(port: u16) -> Guard {
    let mut command = tied("memcached");
    command.args(["-l", "127.0.0.1", "-u", "nobody", "-U", "0", "-p", &port.to_string()]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Guard::start(quiet).expect("memcached is installed")
}
