//! Somebody who may read nothing sends all that is large, deep, slow and broken, from as many connections as are given: the reader's
//! memory stays what it was, and who may read reads on.

use super::{deployed::Deployed, records, sides};
use donjon_tests::{
    openbao::OpenBao,
    process::{Guard, forget_peak, memory},
};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

/// Opens connections without end, keeps the last hundred, and says every hundred that it did.
const FLOOD: &str = r#"
import itertools, socket, sys
port = int(sys.argv[1])
post = b"POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\n"
sent = [
    post + b"Content-Length: 1073741824\r\n\r\n{",
    post + b"Content-Length: 65536\r\n\r\n" + b"[" * 65536,
    post + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 4000,
    b"GET /v1/sys/health HTTP/1.1\r\nX-A: " + b"y" * 8000,
    b"GET /v1/kv/data/kolla/database_password HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    b"G",
    b"",
]
held = []
for number in itertools.count():
    try:
        stream = socket.create_connection(("127.0.0.1", port), timeout=1)
        stream.setblocking(False)
        stream.send(sent[number % len(sent)])
        held.append(stream)
    except OSError:
        pass
    # Those that wait for more get a letter of it now and then.
    for stream in held[::10] if number % 10 == 0 else []:
        try:
            stream.send(b"z")
        except OSError:
            pass
    while len(held) > 100:
        held.pop(0).close()
    if number % 100 == 99:
        print(number + 1, flush=True)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_takes_no_memory_and_who_may_read_reads_on() {
    let server = OpenBao::start().await;
    sides::prepare(&server, &records()).await;
    let running = Deployed::start(&server).await;
    let token = running.token("keystone").await;
    let read = async |times: usize| {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let began = Instant::now();
            let (status, value) = running.read(&token, "database_password").await;
            took.push(began.elapsed());
            assert_eq!((status, value.as_deref()), (200, Some(super::VALUE)));
        }
        took.sort_unstable();
        (took[times / 2], took[times * 99 / 100])
    };
    let quiet = read(300).await;
    let (before, _) = memory(running.pid());
    forget_peak(running.pid());

    let port = running.urls[0].rsplit(':').next().unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "daemon", "--regid", "daemon", "--clear-groups", "/usr/bin/python3", "-c", FLOOD, port]);
    let mut flood = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(flood.stdout.take().unwrap());
    let _flood = Guard::from(flood);
    let mut opened = || {
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        line.trim().parse::<u64>().expect("it goes on")
    };
    assert_eq!(opened(), 100);
    let flooded = read(600).await;
    while opened() < 2_000 {}
    let (_, most) = memory(running.pid());
    let more = most.saturating_sub(before);
    println!("p50 and p99 quiet {quiet:?}, flooded {flooded:?}; memory {before} B, {more} B more");
    assert!(more < MOST, "{before} B before, {most} B at most");
    let audit = std::fs::read_to_string(running.at("node/audit.jsonl")).unwrap();
    let refused = audit.lines().filter(|line| line.contains("\"denied\"") && line.contains("\"uid\":1,")).count();
    assert!(refused > 0, "the control: it was answered");
    read(1).await;
}

/// More memory than before, in bytes.
const MOST: u64 = 8 << 20;
