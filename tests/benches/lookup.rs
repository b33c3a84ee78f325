//! The node's reader beside a real OpenBao and a bare hyper echo, all in one run: latency, throughput, readiness.
//!
//! usage: `cargo bench -p donjon-tests --bench lookup -- DONJON`. All three are processes of their own on this machine;
//! the client is one thread, two at sixteen connections. Both readers check a token and write an audit line before each answer; the reader's line is
//! with the kernel before the answer and synced each second, OpenBao's is with the kernel.
//!
//!        `lookup allocator WIPING`: the reader with an allocator that wipes beside itself with the system's, in turns
//!        (`make bench-allocator` calls it).
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on panics where it stands")]

use clap::Parser;
use donjon::transfer::{
    Places,
    authority::Authority,
    bundle::{Recipients, Scope},
    export::{Request, Wanted, export},
};
use donjon_drivers::{
    fs, identity,
    material::Material,
    store::{
        Document, Expected, Store, Which,
        memory::Memory,
        secret::{Origin, SecretRecord, SecretValue},
        vault::Trust,
    },
};
use donjon_tests::openbao::OpenBao;
use http_body_util::Full;
use hyper::{Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::Value;
use std::{
    convert::Infallible,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Where a server is, and what it is asked.
struct Side {
    place: Place,
    request: Vec<u8>,
}

enum Place {
    Unix(PathBuf),
    Tls(SocketAddr, TlsConnector),
}

/// What came out: microseconds at one connection, requests a second at sixteen.
struct Figures {
    p50: f64,
    p99: f64,
    each_second: f64,
}

/// A child that ends with the bench.
struct Running(Child);

/// A reader on the socket `s` of its folder.
struct Serving {
    running: Running,
    /// Where it listens for TLS, if it does.
    address: Option<SocketAddr>,
}

impl Serving {
    fn start(folder: &Path, donjon: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(donjon);
        command.current_dir(folder).env("DONJON_HOME", folder).stdout(Stdio::piped());
        command.args(["serve", "-i", "identity", "--node", "node", "--socket", "s", "--output", "json"]).args(more);
        let mut child = command.spawn().unwrap();
        let told: Value = serde_json::from_str(&first_line(&mut child)).unwrap();
        let address = told["url"].as_str().and_then(|url| url.trim_start_matches("https://").parse().ok());
        Self { running: Running(child), address }
    }

    /// With TLS, on a free port.
    fn over_tls(folder: &Path, donjon: &Path) -> Self {
        Self::start(folder, donjon, &["--listen", "127.0.0.1:0", "--certificate", "own.pem", "--key", "own.key"])
    }

    /// Memory, in MB.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
    }

    async fn login_on_socket(&self, folder: &Path) -> String {
        let client = reqwest::Client::builder().unix_socket(folder.join("s")).no_proxy().build().unwrap();
        logged_in(client.post("http://reader/v1/auth/approle/login").body(approle(folder))).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["echo", folder] => echo(Path::new(folder)),
        ["serve" | "import", ..] => {
            let words = std::iter::once("donjon".to_owned()).chain(words);
            let _ = donjon::cli::Arguments::parse_from(words).run().unwrap();
        }
        ["allocator", wiping] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(allocators(Path::new(wiping)));
        }
        [donjon] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(bench(Path::new(donjon)));
        }
        _ => panic!("usage: lookup DONJON, or lookup allocator WIPING"),
    }
}

async fn bench(donjon: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    for (name, text) in [("own.pem", own.cert.pem()), ("own.key", own.signing_key.serialize_pem())] {
        fs::replace(&at(name), text.as_bytes()).unwrap();
    }
    growing(donjon).await;
    let documents = documents(200);
    node(folder.path(), donjon, &documents).await;

    let mut ready = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let serving = Serving::over_tls(folder.path(), donjon);
        ready.push(begun.elapsed().as_secs_f64() * 1000.0);
        drop(serving);
    }
    println!("node reader, from its start to ready, 200 secrets: {:.1} ms (median of 20)", median(&mut ready));

    let serving = Serving::over_tls(folder.path(), donjon);
    let address = serving.address.unwrap();
    let trusting = connector(own.cert.pem().as_bytes());
    let token = login(folder.path(), address, &own.cert.pem()).await;
    let ours = request("/v1/donjon/data/site1/secret_7", &token);

    let mut echo = Command::new(std::env::current_exe().unwrap());
    let mut echo = echo.arg("echo").arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let echo_address: SocketAddr = first_line(&mut echo).trim().parse().unwrap();
    let _echo = Running(echo);

    let bao = OpenBao::start_audited(&at("openbao"), &at("openbao-audit.log")).await;
    let store = bao.store();
    for (name, document) in &documents {
        store.write(&format!("site1/{name}").parse().unwrap(), document, Expected::Absent).await.unwrap();
    }
    let Trust::Only(authority) = &bao.address().trust else { panic!("it has an authority of its own") };
    let bao_address: SocketAddr = bao.address().url.trim_start_matches("https://").parse().unwrap();
    // EXPOSE: a token of one bench
    let theirs = request("/v1/kv/data/site1/secret_7", bao.root().expose_text().unwrap());

    let side = |place, request: &[u8]| Side { place, request: request.to_vec() };
    let sides = [
        ("bare hyper echo, unix", side(Place::Unix(at("echo")), &ours)),
        ("reader, unix", side(Place::Unix(at("s")), &ours)),
        ("bare hyper echo, TLS", side(Place::Tls(echo_address, trusting.clone()), &ours)),
        ("reader, TLS", side(Place::Tls(address, trusting), &ours)),
        ("OpenBao, TLS", side(Place::Tls(bao_address, connector(authority)), &theirs)),
    ];
    let mut all = Vec::new();
    for (name, side) in &sides {
        let figures = side.measure().await;
        let Figures { p50, p99, each_second } = figures;
        println!("{name:<24} p50 {p50:>7.1} us   p99 {p99:>7.1} us   {each_second:>8.0}/s at 16 connections");
        all.push(figures);
    }
    let ratio = |what: &str, one: &Figures, other: &Figures| {
        let (slower, fewer) = (other.p50 / one.p50, one.each_second / other.each_second);
        println!("{what}: {slower:.1} times as fast at one connection, {fewer:.1} times as many at sixteen");
    };
    ratio("reader on the socket beside OpenBao", &all[1], &all[4]);
    ratio("reader over TLS beside OpenBao", &all[3], &all[4]);
    ratio("reader on the socket beside the echo", &all[1], &all[0]);
    ratio("reader over TLS beside the echo", &all[3], &all[2]);
}

/// What wiping every freed block costs: the same program with it and without, in turns.
async fn allocators(wiping: &Path) {
    let (folder, own) = (tempfile::tempdir().unwrap(), std::env::current_exe().unwrap());
    node(folder.path(), &own, &documents(200)).await;
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (program, figures) in [&*own, wiping].into_iter().zip(&mut all) {
            let serving = Serving::start(folder.path(), program, &[]);
            let token = serving.login_on_socket(folder.path()).await;
            let request = request("/v1/donjon/data/site1/secret_7", &token);
            figures.push(Side { place: Place::Unix(folder.path().join("s")), request }.measure().await);
        }
    }
    let of = |figures: &[Figures], one: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(one).collect();
        median(&mut values)
    };
    let [system, wipes] = all.map(|figures| (of(&figures, |one| one.p50), of(&figures, |one| one.each_second)));
    for (name, (p50, each_second)) in [("the system's allocator", system), ("one that wipes", wipes)] {
        println!("{name:<24} p50 {p50:>7.1} us   {each_second:>8.0}/s at 16 connections (medians of {ROUNDS})");
    }
    let more = |one: f64, other: f64| (one / other - 1.0) * 100.0;
    println!(
        "wiping costs {:.1} % at one connection, {:.1} % at sixteen (goal 5 %)",
        more(wipes.0, system.0),
        more(system.1, wipes.1)
    );
}

/// Whether one read takes longer among many records than among few, on the socket, where the kernel says who asks.
async fn growing(donjon: &Path) {
    for count in [100, 1_000, 10_000, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        node(folder.path(), donjon, &documents(count)).await;
        let begun = Instant::now();
        let serving = Serving::start(folder.path(), donjon, &[]);
        let ready = begun.elapsed().as_secs_f64() * 1000.0;
        let token = serving.login_on_socket(folder.path()).await;
        let name = format!("/v1/donjon/data/site1/secret_{}", count / 2);
        let side = Side { place: Place::Unix(folder.path().join("s")), request: request(&name, &token) };
        let (took, resident) = (side.latencies().await, serving.resident());
        println!(
            "node reader, {count:>6} secrets: p50 {:>5.1} us, p99 {:>5.1} us, ready after {ready:.0} ms, {resident:.0} MB resident",
            part(&took, 0.5),
            part(&took, 0.99)
        );
    }
}

impl Side {
    /// Microseconds of one request after another, sorted.
    async fn latencies(&self) -> Vec<f64> {
        let mut one = self.connect().await;
        let mut took = Vec::with_capacity(LATENCIES);
        for round in 0..LATENCIES + WARM {
            let begun = Instant::now();
            one.ask(&self.request).await;
            if round >= WARM {
                took.push(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
        took.sort_by(f64::total_cmp);
        took
    }

    async fn measure(&self) -> Figures {
        let took = self.latencies().await;
        let begun = Instant::now();
        let count: u64 = std::thread::scope(|scope| {
            let half = || scope.spawn(|| self.many(CONNECTIONS / THREADS));
            let asking: Vec<_> = (0..THREADS).map(|_| half()).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        Figures {
            p50: part(&took, 0.5),
            p99: part(&took, 0.99),
            each_second: count as f64 / begun.elapsed().as_secs_f64(),
        }
    }

    /// How many answers so many connections get, one thread with all of them.
    fn many(&self, connections: usize) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..connections {
                all.push(self.connect().await);
            }
            let end = Instant::now() + SPAN;
            let asking = all.into_iter().map(|mut one| async move {
                let mut count = 0;
                while Instant::now() < end {
                    one.ask(&self.request).await;
                    count += 1;
                }
                count
            });
            futures_util::future::join_all(asking).await.into_iter().sum()
        })
    }

    async fn connect(&self) -> Connection {
        let stream: Box<dyn Stream> = match &self.place {
            Place::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
            Place::Tls(address, connector) => {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(connector.connect(ServerName::from(address.ip()), stream).await.unwrap())
            }
        };
        Connection { stream, buffer: vec![0; 65536] }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// One request, and its whole answer, which must be a success.
    async fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[length..]).await.unwrap();
            assert!(read > 0, "it closed: {}", String::from_utf8_lossy(&self.buffer[..length]));
            length += read;
            if whole(&self.buffer[..length]) {
                assert!(
                    self.buffer.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&self.buffer[..length])
                );
                return;
            }
        }
    }
}

fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = answer[..end].split(|byte| *byte == b'\n');
    let length = head
        .filter_map(|line| line.split_at_checked(15))
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length:"));
    let length = length.and_then(|(_, value)| std::str::from_utf8(value).ok()?.trim().parse::<usize>().ok());
    answer.len() >= end + 4 + length.expect("an answer tells its length")
}

fn request(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nX-Vault-Request: true\r\n\r\n").into_bytes()
}

/// How long all but so many of the sorted times are at most.
fn part(sorted: &[f64], part: f64) -> f64 {
    sorted[(sorted.len() as f64 * part) as usize]
}

fn documents(count: usize) -> Vec<(String, Document)> {
    let document = |name: &String| {
        let value = SecretValue::Whole(Material::from(format!("a-value-of-forty-characters-for-{name}")));
        let (name, created, origin) = (name.parse().unwrap(), 1_700_000_000, Origin::Generated);
        SecretRecord { name, value, created, origin, user: None }.to_document().unwrap()
    };
    (0..count).map(|n| format!("secret_{n}")).map(|name| (name.clone(), document(&name))).collect()
}

/// A node's folder with a bundle of these.
async fn node(folder: &Path, donjon: &Path, documents: &[(String, Document)]) {
    let identity = identity::make(&folder.join("identity")).unwrap();
    let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
    let mut closure = Vec::new();
    for (name, document) in documents {
        let path = format!("site1/{name}").parse().unwrap();
        store.write(&path, document, Expected::Absent).await.unwrap();
        closure.push(Wanted { path, which: Which::Latest });
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap();
    let authority = Authority::ensure(&store, &places, now).await.unwrap();
    let recipients = Recipients::parse([identity.to_public().to_string().as_str()]).unwrap();
    let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
    let request =
        Request { scope, closure: &closure, recipients: &recipients, lifetime: 86400, folder: Path::new(".") };
    let bundle = export(&store, &places, &authority, &request, now).await.unwrap();
    bundle.write(&folder.join("bundle")).unwrap();
    let mut import = Command::new(donjon);
    import.current_dir(folder).args(["import", "bundle", "-i", "identity", "--into", "node"]);
    assert!(import.env("DONJON_HOME", folder).stdout(Stdio::null()).status().unwrap().success());
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

fn approle(folder: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(folder.join("node/approle/compute").join(name)).unwrap();
    serde_json::json!({"role_id": read("role-id"), "secret_id": read("secret-id")}).to_string()
}

async fn logged_in(login: reqwest::RequestBuilder) -> String {
    let answer = login.send().await.unwrap();
    answer.json::<Value>().await.unwrap()["auth"]["client_token"].as_str().unwrap().to_owned()
}

async fn login(folder: &Path, address: SocketAddr, authority: &str) -> String {
    let trust = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trust]).no_proxy().build().unwrap();
    logged_in(client.post(format!("https://{address}/v1/auth/approle/login")).body(approle(folder))).await
}

fn connector(authority: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority).map(Result::unwrap));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// A bare hyper server: the same answer to everything, over the same two ways, on as many threads as the reader has.
fn echo(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let text = |name: &str| fs::read(&folder.join(name)).unwrap();
        let chain = CertificateDer::pem_slice_iter(&text("own.pem")).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&text("own.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let (acceptor, tcp) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let unix = UnixListener::bind(folder.join("echo")).unwrap();
        println!("{}", tcp.local_addr().unwrap());
        loop {
            tokio::select! {
                Ok((stream, _)) = unix.accept() => drop(tokio::spawn(repeat(stream))),
                Ok((stream, _)) = tcp.accept() => {
                    stream.set_nodelay(true).unwrap();
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            repeat(stream).await;
                        }
                    });
                }
            }
        }
    });
}

async fn repeat<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    // As long as the reader's answer.
    static BODY: [u8; 560] = [b'x'; 560];
    let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&BODY)))));
    // The client leaves when it has measured.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const ROUNDS: usize = 9;
const WARM: usize = 2_000;
const LATENCIES: usize = 20_000;
const CONNECTIONS: usize = 16;
const THREADS: usize = 2;
const SPAN: Duration = Duration::from_secs(5);
