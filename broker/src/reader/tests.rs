//! Tests of the server: what it bears, what it refuses, and that nothing is answered without a line for the witness.

mod gone;
mod lines;
mod principals;
mod room;
mod strangers;

use super::{
    Callers, Credential, Key, Lookup, OfBundle, Outcome, Pace, Reader, Role, Roles, Seen, Source, Tokens, Unwitnessed,
    Witness,
    server::{Certificate, Limits, ListenError, Listening},
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
    /// What each names, and how many were asked for.
    named: Mutex<Vec<(Option<String>, Option<u32>)>>,
}

impl Witness for Lines {
    fn record(&self, seen: &Seen<'_>) -> Result<(), Unwitnessed> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Unwitnessed);
        }
        self.outcomes.lock().unwrap().push(seen.outcome);
        self.named.lock().unwrap().push((seen.path.map(ToString::to_string), seen.asked));
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

fn lookup(value: &str, ends: i64) -> Arc<dyn Lookup> {
    let document = Document::from_json(Material::from(format!(r#"{{"password":"{value}"}}"#))).unwrap();
    Arc::new(OfBundle::new(Bundle::new(0, [(path("d/a"), Version(1), document)]), ends, || 1000))
}

fn source(value: &str, roles: &Roles) -> Source {
    Source { lookup: lookup(value, i64::MAX), roles: roles.clone() }
}

async fn start(limits: Limits) -> Running {
    start_for(limits, Callers::default(), Pace::default(), &|| {
        Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None))
    })
    .await
}

type Bound<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Listening, ListenError>> + 'a>>;

async fn start_for(limits: Limits, callers: Callers, pace: Pace, bind: &dyn Fn() -> Bound<'static>) -> Running {
    start_with(Tokens::in_memory(), limits, callers, pace, bind).await
}

async fn start_with(
    tokens: Tokens,
    limits: Limits,
    callers: Callers,
    pace: Pace,
    bind: &dyn Fn() -> Bound<'static>,
) -> Running {
    let (role, credential) = Role::generate("r".parse().unwrap(), &[path("d/a")].into()).unwrap();
    let role = role.of(callers);
    let (roles, lines) = (Roles::new([role]), Arc::new(Lines::default()));
    let reader = Reader::new(path("kv"), source("value-one", &roles), tokens, lines.clone(), || 1000).at_pace(pace);
    let reader = Arc::new(reader);
    let listening = bind().await.unwrap();
    let address = listening.url().split_once("://").unwrap().1.to_owned();
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
    let ending = |ends| Source { lookup: lookup("value-one", ends), roles: running.roles.clone() };
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
        // As deep as a stranger's body may be.
        format!("{}{CANARY}", "[".repeat(4_000)),
        format!("{}{CANARY}", r#"{"role_id":"#.repeat(350)),
    ];
    for body in &bodies {
        let answer = running.request("POST /v1/auth/approle/login HTTP/1.1", body).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let long = body.len() > Limits::default().body_of_a_stranger;
        assert!(if long { status == "413" } else { matches!(status, "400" | "500") }, "{answer}");
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
    for round in 0..2_000 {
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
    let mut half = running.connect().await;
    half.write_all(b"GET /v1/sys/health HTTP/1.1\r\nX-A").await.unwrap();
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

#[tokio::test]
async fn at_the_socket_the_user_is_enough_and_another_user_is_a_stranger() {
    let own = rustix::process::geteuid().as_raw();
    for (uid, status) in [(own, "HTTP/1.1 200"), (own + 1, "HTTP/1.1 403")] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let callers = Callers { uids: [uid].into(), ..Callers::default() };
        let bound = socket.clone();
        let bind = move || -> Bound<'static> {
            let socket = bound.clone();
            Box::pin(async move { Listening::unix(&socket) })
        };
        let _running = start_for(Limits::default(), callers, Pace::default(), &bind).await;
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let request = b"GET /v1/kv/data/d/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(status), "{answer}");
        assert_eq!(answer.contains("value-one"), uid == own);
    }
}

#[tokio::test]
async fn a_role_of_others_is_not_to_be_had_with_its_right_credential() {
    let others = Callers { uids: [rustix::process::geteuid().as_raw() + 1].into(), ..Callers::default() };
    let bind = || -> Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None)) };
    let running = start_for(Limits::default(), others, Pace::default(), &bind).await;
    let secret_id = running.credential.secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
    let body = format!(r#"{{"role_id":"{}","secret_id":"{secret_id}"}}"#, running.credential.role_id);
    let right = running.request("POST /v1/auth/approle/login HTTP/1.1", &body).await;
    let wrong = running.request("POST /v1/auth/approle/login HTTP/1.1", r#"{"role_id":"a","secret_id":"b"}"#).await;
    assert!(right.starts_with("HTTP/1.1 400"), "{right}");
    let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&right), body(&wrong), "told no more than a wrong one");
}

#[tokio::test]
async fn who_guesses_is_slowed_down_without_a_line_for_each_and_who_is_known_is_not() {
    let pace = Pace { each_second: 0.0, at_once: 100.0, refused: 10.0 };
    let bind = || -> Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None)) };
    let running = start_for(Limits::default(), Callers::default(), pace, &bind).await;
    let token = running.login().await;
    let mut statuses = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..40 {
        let answer =
            running.request("POST /v1/auth/approle/login HTTP/1.1", r#"{"role_id":"a","secret_id":"b"}"#).await;
        *statuses.entry(answer.split(' ').nth(1).unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(statuses, [("400".to_owned(), 10), ("429".to_owned(), 30)].into());
    let lines = running.lines.outcomes.lock().unwrap().len();
    assert_eq!(lines, 1 + 10 + 1, "the login, the guesses, and one for all that came too fast");
    for _ in 0..40 {
        assert!(running.read(&token).await.contains("value-one"), "who is known is served on");
    }
    let renew = format!("POST /v1/auth/token/renew-self HTTP/1.1\r\nX-Vault-Token: {token}");
    let answer = running.request(&renew, "").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "what is written for good has a pace for all: {answer}");
}

#[tokio::test]
async fn one_answer_holds_so_much_however_often_a_record_is_named() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    let long = "x".repeat(30_000);
    running.reader.replace(source(&long, &running.roles));
    let ask = async |times: usize| {
        let paths = vec!["\"d/a\""; times].join(",");
        let head = format!("POST /v1/sys/donjon/records HTTP/1.1\r\nX-Vault-Token: {token}");
        running.request(&head, &format!(r#"{{"mount":"kv","paths":[{paths}]}}"#)).await
    };
    let twice = ask(2).await;
    assert!(twice.starts_with("HTTP/1.1 200") && twice.matches(&long).count() == 2, "an option each");
    let many = ask(1000).await;
    assert!(many.starts_with("HTTP/1.1 400") && many.contains("fewer records") && many.len() < 1000, "{}", many.len());
}

#[tokio::test]
async fn who_asks_and_does_not_read_is_cut_off() {
    let limits = Limits { connections_each: 1, ..hasty() };
    let running = start(limits).await;
    let mut stream = running.connect().await;
    let many = "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    let end = Instant::now() + Duration::from_secs(20);
    // Until the kernel takes no more, and then until the server gives up on it.
    while stream.write_all(many.as_bytes()).await.is_ok() {
        assert!(Instant::now() < end, "it was waited for without end");
    }
    while !running.request("GET /v1/sys/health HTTP/1.1", "").await.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < end, "the seat stayed taken");
    }
}

#[tokio::test]
async fn nobody_takes_all_the_room() {
    let limits = Limits { connections_each: 4, ..Limits::default() };
    let running = start(limits).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(running.connect().await);
    }
    let health = "GET /v1/sys/health HTTP/1.1";
    assert_eq!(running.request(health, "").await, "", "the fifth is closed at once");
    held.pop();
    let end = Instant::now() + Duration::from_secs(10);
    while !running.request(health, "").await.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < end, "the seat stayed taken");
    }
}

/// An authority of clients, and certificates by it.
struct Clients {
    authority: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Clients {
    fn new() -> Self {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let key = rcgen::KeyPair::generate().unwrap();
        Self { authority: rcgen::CertifiedIssuer::self_signed(authority, key).unwrap() }
    }

    /// A client's certificate and key, and what names its key.
    fn client(&self, name: &str) -> (reqwest::Identity, Key) {
        let key = rcgen::KeyPair::generate().unwrap();
        let made =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.authority).unwrap();
        let both = format!("{}{}", made.pem(), key.serialize_pem());
        (reqwest::Identity::from_pem(both.as_bytes()).unwrap(), Key::of(made.der()).unwrap())
    }
}

/// A reader's own certificate, which it has signed itself, in files of this folder.
fn own_certificate(folder: &std::path::Path) -> (Certificate, rcgen::Certificate) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = (folder.join("own.pem"), folder.join("own.key"));
    donjon_drivers::fs::replace(&chain, own.cert.pem().as_bytes()).unwrap();
    donjon_drivers::fs::replace(&key, own.signing_key.serialize_pem().as_bytes()).unwrap();
    (Certificate { chain, key, clients: None }, own.cert)
}

fn over_tls(certificate: Certificate) -> impl Fn() -> Bound<'static> {
    move || -> Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), Some(certificate.clone()))) }
}

#[tokio::test]
async fn over_tls_the_key_of_a_certificate_is_a_role_and_its_name_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clients = Clients::new();
    let authority = folder.path().join("clients.pem");
    donjon_drivers::fs::replace(&authority, clients.authority.pem().as_bytes()).unwrap();
    let (nova, key) = clients.client("nova");
    // Of the same name, by the same authority, and another key; and one by another authority.
    let (impostor, other) = clients.client("nova");
    let (stranger, _) = Clients::new().client("nova");
    assert_ne!(key, other);
    let (certificate, own) = own_certificate(folder.path());
    let bind = over_tls(Certificate { clients: Some(authority), ..certificate });
    let callers = Callers { keys: [key].into(), ..Callers::default() };
    let running = start_for(Limits::default(), callers, Pace::default(), &bind).await;
    let client = |identity: Option<reqwest::Identity>| {
        let trust = reqwest::Certificate::from_pem(own.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([trust]).no_proxy();
        identity.into_iter().fold(builder, reqwest::ClientBuilder::identity).build().unwrap()
    };
    let url = |path: &str| format!("https://{}/v1/{path}", running.address);
    let read = async |client: &reqwest::Client, token: Option<&str>| {
        let request = client.get(url("kv/data/d/a"));
        let request = token.into_iter().fold(request, |request, token| request.header("X-Vault-Token", token));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap().contains("value-one"))
    };
    let login = async |client: &reqwest::Client| {
        let answer: serde_json::Value =
            client.post(url("auth/cert/login")).body("{}").send().await.unwrap().json().await.unwrap();
        answer["auth"]["client_token"].as_str().map(str::to_owned)
    };
    let (nova, impostor, without) = (client(Some(nova)), client(Some(impostor)), client(None));
    assert_eq!(read(&nova, None).await, (200, true));
    assert_eq!(read(&impostor, None).await, (403, false));
    assert_eq!(read(&without, None).await, (403, false));
    assert!(client(Some(stranger)).get(url("kv/data/d/a")).send().await.is_err(), "its handshake ends");
    let token = login(&nova).await.expect("a token");
    assert_eq!(read(&nova, Some(&token)).await, (200, true));
    assert_eq!(read(&impostor, Some(&token)).await, (403, false), "it is good with its key alone");
    assert_eq!(read(&without, Some(&token)).await, (403, false));
    assert_eq!((login(&impostor).await, login(&without).await), (None, None));
    running.reader.replace(source("value-one", &Roles::default()));
    assert_eq!(read(&nova, None).await, (403, false), "also on a connection that is open");
}
