//! A small HTTP listener that keeps what is posted to it, and can answer with failures first.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A listener on loopback; its thread ends with the test's process.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<String>>>,
    failures: Arc<AtomicUsize>,
}

impl Default for Listener {
    fn default() -> Self {
        Self::start()
    }
}

impl Listener {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback always has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (bodies, failures) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (kept, failing) = (bodies.clone(), failures.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that leaves early posted nothing.
                let _ = answer(stream, &kept, &failing);
            }
        });
        Self { address, bodies, failures }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}/hook-token-0815", self.address)
    }

    /// The next so many posts are answered with 503 and not kept.
    pub fn fail(&self, times: usize) {
        self.failures.store(times, Ordering::SeqCst);
    }

    /// How many of the failures are still to come.
    pub fn failures_left(&self) -> usize {
        self.failures.load(Ordering::SeqCst)
    }

    /// What was posted.
    pub fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, kept: &Mutex<Vec<String>>, failing: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(number) = lower.strip_prefix("content-length:") {
            length = number.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let fails = failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if !fails {
        kept.lock().unwrap().push(String::from_utf8_lossy(&body).into_owned());
    }
    let status = if fails { "503 Service Unavailable" } else { "204 No Content" };
    stream.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").as_bytes())
}
