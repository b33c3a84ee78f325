//! Lookups over a daemon's socket, kept alive: how long one takes, and how many there are in a second; beside a bare server
//! that reads a frame and writes one of the same size, with the same clients in the same run.
//!
//! usage: lookups SOCKET NAME      (`make bench` calls it)

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends where it stands")]

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    // `cargo test` runs every bench without words.
    let (Some(socket), Some(name)) = (words.next(), words.next()) else { return };
    let request = format!(
        r#"{{"op":"read","names":[{{"name":"{name}","part":"whole"}}],"version":null,"epoch":null,"v":1,"materials":0}}"#
    );
    let question = framed(request.as_bytes());
    let socket = PathBuf::from(socket);
    // The first answers come from the store.
    let warm = Instant::now();
    while warm.elapsed() < Duration::from_secs(1) {
        ask(&mut UnixStream::connect(&socket).unwrap(), &question);
    }
    let answer = ask(&mut UnixStream::connect(&socket).unwrap(), &question);
    let folder = tempfile::tempdir().unwrap();
    let echo = folder.path().join("echo.sock");
    serve(&echo, answer);
    for connections in [1, 16] {
        let (own, bare) = (measure(&socket, &question, connections), measure(&echo, &question, connections));
        tell("donjon", connections, own);
        tell("bare server", connections, bare);
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

/// One question and its answer: a header and one material. Returns how many bytes there were.
fn ask(stream: &mut UnixStream, question: &[u8]) -> usize {
    stream.write_all(question).unwrap();
    let mut read = 0;
    let mut buffer = [0; 16384];
    // The answer is small: it has come when both frames are whole.
    loop {
        read += stream.read(&mut buffer[read..]).unwrap();
        let header = length(&buffer, 0);
        if read >= 4 && read >= header + 8 && read >= header + 8 + length(&buffer, header + 4) {
            return read;
        }
    }
}

fn length(buffer: &[u8], at: usize) -> usize {
    u32::from_be_bytes(buffer[at..at + 4].try_into().unwrap()) as usize
}

/// Answers each question with so many bytes, as a header and one material of nothing.
fn serve(path: &Path, answer: usize) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut reply = framed(&vec![b' '; answer - 8 - 16]);
    reply.extend(framed(&[b'x'; 16]));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let reply = reply.clone();
                tokio::spawn(async move {
                    let mut question = vec![0; 4096];
                    while stream.read_exact(&mut question[..4]).await.is_ok() {
                        let length = length(&question, 0);
                        stream.read_exact(&mut question[..length]).await.unwrap();
                        stream.write_all(&reply).await.unwrap();
                    }
                });
            }
        });
    });
}

/// All times, sorted, and how long it took as a whole.
fn measure(socket: &Path, question: &[u8], connections: usize) -> (Vec<Duration>, Duration) {
    let begun = Instant::now();
    let asking: Vec<_> = (0..connections)
        .map(|_| {
            let (mut stream, question) = (UnixStream::connect(socket).unwrap(), question.to_vec());
            std::thread::spawn(move || {
                let mut took = Vec::with_capacity(EACH);
                for _ in 0..EACH {
                    let asked = Instant::now();
                    ask(&mut stream, &question);
                    took.push(asked.elapsed());
                }
                took
            })
        })
        .collect();
    let mut times: Vec<Duration> = asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let whole = begun.elapsed();
    times.sort_unstable();
    (times, whole)
}

fn tell(what: &str, connections: usize, (times, whole): (Vec<Duration>, Duration)) {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1000.0;
    println!(
        "lookup over the unix socket, {what:<12} {connections:>2} connections: p50 {:>6.1} us, p99 {:>6.1} us, {:>7.0}/s",
        at(0.5),
        at(0.99),
        times.len() as f64 / whole.as_secs_f64()
    );
}

const EACH: usize = 20_000;
