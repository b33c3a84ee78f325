//! Tests of the server: what it bears, what it refuses, and that nothing is answered without a line for the witness.

use super::{
    Credential, Lookup, OfStore, Outcome, Reader, Role, Roles, Seen, Source, Tokens, Unwitnessed, Witness,
    server::{Limits, ListenError, Listening},
};
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, Version, bundle::Bundle},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

const CANARY: &str = "canary-4711";

#[derive(Default)]
struct Lines {
    broken: AtomicBool,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Witness for Lines {
    fn record(&self, seen: &Seen<'_>) -> Result<(), Unwitnessed> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Unwitnessed);
        }
        self.outcomes.lock().unwrap().push(seen.outcome);
        Ok(())
    }
}

struct Running {
    address: String,
    credential: Credential,
    reader: Arc<Reader>,
    roles: Roles,
    lines: Arc<Lines>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn path(text: &str) -> RecordPath {
    text.parse().unwrap()
}

fn lookup(value: &str) -> Arc<dyn Lookup> {
    let document = Document::from_json(Material::from(format!(r#"{{"password":"{value}"}}"#))).unwrap();
    Arc::new(OfStore(Arc::new(Bundle::new(0, [(path("d/a"), Version(1), document)]))))
}

fn source(value: &str, roles: &Roles) -> Source {
    Source { lookup: lookup(value), roles: roles.clone(), ends: None }
}

async fn start(limits: Limits) -> Running {
    let (role, credential) = Role::generate("r".parse().unwrap(), &[path("d/a")].into()).unwrap();
    let (roles, lines) = (Roles::new([role]), Arc::new(Lines::default()));
    let tokens = Tokens::in_memory();
    let reader = Arc::new(Reader::new(path("kv"), source("value-one", &roles), tokens, lines.clone(), || 1000));
    let listening = Listening::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let address = listening.url().replace("http://", "");
    let (end, ended) = oneshot::channel();
    let ended = async move { drop(ended.await) };
    let task = tokio::spawn(listening.serve(Arc::clone(&reader), limits, ended));
    Running { address, credential, reader, roles, lines, end, task }
}

fn hasty() -> Limits {
    Limits { patience: Duration::from_millis(300), ..Limits::default() }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Sends bytes, and gives back all that comes until the server closes; at most 10 s.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ =
            tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("it closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn request(&self, head: &str, body: &str) -> String {
        let length = body.len();
        self.raw(format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
            .await
    }

    async fn login(&self) -> String {
        let secret_id = self.credential.secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
        let body = format!(r#"{{"role_id":"{}","secret_id":"{secret_id}"}}"#, self.credential.role_id);
        let answer = self.request("POST /v1/auth/approle/login HTTP/1.1", &body).await;
        let token = answer.split_once("\"client_token\":\"").expect("a token").1;
        token.split('"').next().unwrap().to_owned()
    }

    async fn read(&self, token: &str) -> String {
        self.request(&format!("GET /v1/kv/data/d/a HTTP/1.1\r\nX-Vault-Token: {token}"), "").await
    }
}

#[tokio::test]
async fn without_a_line_there_is_no_answer() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    assert!(running.read(&token).await.contains("value-one"), "the control");
    running.lines.broken.store(true, Ordering::Relaxed);
    let answer = running.read(&token).await;
    assert!(answer.starts_with("HTTP/1.1 500") && !answer.contains("value-one"), "{answer}");
    assert_eq!(*running.lines.outcomes.lock().unwrap(), [Outcome::Done, Outcome::Done]);
}

#[tokio::test]
async fn another_bundle_takes_over_without_a_restart() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    assert!(running.read(&token).await.contains("value-one"));
    running.reader.replace(source("value-two", &running.roles));
    assert!(running.read(&token).await.contains("value-two"));
    running.reader.replace(source("value-two", &Roles::default()));
    assert!(running.read(&token).await.starts_with("HTTP/1.1 403"), "a role that is gone has no tokens");
}

#[tokio::test]
async fn a_bundle_that_has_ended_is_as_good_as_sealed() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    let ending = |ends| Source { ends: Some(ends), ..source("value-one", &running.roles) };
    running.reader.replace(ending(1000));
    assert!(running.read(&token).await.contains("value-one"), "its last second is its own");
    running.reader.replace(ending(999));
    let answer = running.read(&token).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Vault is sealed"), "{answer}");
    let health = running.request("GET /v1/sys/health HTTP/1.1", "").await;
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("\"sealed\":true"), "{health}");
}

#[tokio::test]
async fn no_input_comes_back() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    let nested = format!("{}{CANARY}", "[".repeat(60_000));
    let deep = format!("{}{CANARY}", r#"{"role_id":"#.repeat(5_000));
    let bodies = [
        CANARY.to_owned(),
        format!(r#"{{"role_id":"{CANARY}","secret_id":"{CANARY}"}}"#),
        format!(r#"{{"role_id":{{"{CANARY}":1}}}}"#),
        format!(r#"{{"role_id":["{CANARY}"]}}"#),
        format!(r#"{{"{CANARY}":"{CANARY}","role_id":1e999}}"#),
        format!(r#"{{"role_id":"\u{CANARY}"}}"#),
        nested,
        deep,
    ];
    for body in &bodies {
        let answer = running.request("POST /v1/auth/approle/login HTTP/1.1", body).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "400" | "500"), "{answer}");
        assert!(!answer.contains(CANARY), "{answer}");
    }
    for place in ["kv/data/", "kv/metadata/", "sys/internal/ui/mounts/", "auth/", ""] {
        for query in ["", "?version=canary-4711", "?list=canary-4711"] {
            let head = format!("GET /v1/{place}{CANARY}{query} HTTP/1.1\r\nX-Vault-Token: {token}");
            let answer = running.request(&head, "").await;
            assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains(CANARY), "{answer}");
        }
        let head = format!("GET /v1/{place}x HTTP/1.1\r\nX-Vault-Token: {CANARY}\r\nX-Vault-Namespace: {CANARY}");
        let answer = running.request(&head, "").await;
        assert!(!answer.contains(CANARY), "{answer}");
    }
}

#[tokio::test]
async fn a_large_or_slow_request_ends_alone() {
    let running = start(hasty()).await;
    let mut silent = running.connect().await;
    let mut half = running.connect().await;
    half.write_all(b"POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{").await.unwrap();
    let mut dripping = running.connect().await;
    dripping.write_all(b"GET /v1/sys/health HTTP/1.1\r\nX-A").await.unwrap();
    let began = Instant::now();
    let token = running.login().await;
    assert!(running.read(&token).await.contains("value-one"), "the others are served meanwhile");
    for slow in [&mut silent, &mut half, &mut dripping] {
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "it was left hanging");
    }
    assert!(began.elapsed() >= hasty().patience, "not cut before its time");
    let large = running.request("POST /v1/auth/approle/login HTTP/1.1", &"x".repeat(200_000)).await;
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 413"), "{large}");
    let promised =
        running.raw(b"POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n{").await;
    assert!(promised.starts_with("HTTP/1.1 413"), "refused by its length alone: {promised}");
    let head = format!("GET /v1/sys/health HTTP/1.1\r\nX-Long: {}", "x".repeat(100_000));
    let answer = running.request(&head, "").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn thousands_of_bad_beginnings_change_nothing() {
    let running = start(hasty()).await;
    let beginnings: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"\0\0\0\0\0\0\0\0",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for round in 0..400 {
        for beginning in beginnings {
            let mut stream = running.connect().await;
            let _ = stream.write_all(beginning).await;
            if round % 2 == 0 {
                let _ = stream.shutdown().await;
            }
        }
    }
    let token = running.login().await;
    assert!(running.read(&token).await.contains("value-one"));
}

#[tokio::test]
async fn the_end_waits_for_a_request_under_way_and_for_nobody_idle() {
    let running = start(Limits::default()).await;
    let _idle = running.connect().await;
    let mut under_way = running.connect().await;
    let head = b"POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{";
    under_way.write_all(head).await.unwrap();
    // The server has the head once it has answered someone who came later.
    running.login().await;
    running.end.send(()).unwrap();
    under_way.write_all(b"}").await.unwrap();
    let mut answer = Vec::new();
    under_way.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("missing role_id"));
    tokio::time::timeout(Duration::from_secs(5), running.task).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(&running.address).await.is_err());
}

#[tokio::test]
async fn nothing_is_served_in_clear_beyond_loopback() {
    let refused = Listening::bind("0.0.0.0:0".parse().unwrap(), None).await.err().unwrap();
    assert!(matches!(refused, ListenError::Open { .. }));
}
