//! Lookups over a daemon's socket, kept alive: how long one takes, and how many there are in a second. In the same run, by
//! clients of the same kind: a bare server that reads a frame and writes one of the same size, and a real OpenBao on raft,
//! over TLS and with an audit log, that holds the same record in KV v2.
//!
//! usage: lookups SOCKET NAME      (`make bench` calls it)

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends where it stands")]

use donjon_drivers::{
    material::Material,
    store::{
        Expected,
        secret::{Origin, SecretRecord, SecretValue},
        vault::Trust,
    },
};
use donjon_tests::openbao::OpenBao;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server, and what it is asked.
struct Side {
    name: &'static str,
    place: Place,
    question: Vec<u8>,
    /// Whether an answer has come whole; panics where it is a refusal.
    whole: fn(&[u8]) -> bool,
}

enum Place {
    Unix(PathBuf),
    Tls(SocketAddr, Arc<ClientConfig>),
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// Microseconds of each lookup, sorted, and how many there were in a second.
struct Figures {
    took: Vec<f64>,
    each_second: f64,
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    // `cargo test` runs every bench without words.
    let (Some(socket), Some(name)) = (words.next(), words.next()) else { return };
    let request = format!(
        r#"{{"op":"read","names":[{{"name":"{name}","part":"whole"}}],"version":null,"epoch":null,"v":1,"materials":0}}"#
    );
    let framed =
        |name, path| Side { name, place: Place::Unix(path), question: frame(request.as_bytes()), whole: frames };
    let donjon = framed("donjon", socket.into());
    let folder = tempfile::tempdir().unwrap();
    let bare = framed("bare server", folder.path().join("bare"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // As long as the daemon's answer, whose first ones come from the store.
    serve(&runtime, folder.path(), (0..WARM).map(|_| donjon.ask(&mut *donjon.connect())).max().unwrap());
    let (_server, openbao) = runtime.block_on(openbao(folder.path()));
    for connections in [1, 16] {
        let [own, bare, theirs] = [&donjon, &bare, &openbao].map(|side| side.measure(connections));
        match connections {
            1 => println!(
                "one lookup beside a bare server's: {:.2} times as long; beside OpenBao's: {:.1} times as fast (goal 20)",
                own.part(0.5) / bare.part(0.5),
                theirs.part(0.5) / own.part(0.5)
            ),
            _ => println!(
                "at {connections} connections beside OpenBao: {:.1} times as many (goal 30)",
                own.each_second / theirs.each_second
            ),
        }
    }
}

impl Side {
    fn connect(&self) -> Box<dyn Stream> {
        match &self.place {
            Place::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
            Place::Tls(address, config) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let server = ServerName::from(address.ip());
                Box::new(StreamOwned::new(ClientConnection::new(config.clone(), server).unwrap(), stream))
            }
        }
    }

    /// One question and its answer. Returns how many bytes there were.
    fn ask(&self, stream: &mut dyn Stream) -> usize {
        stream.write_all(&self.question).unwrap();
        let (mut length, mut buffer) = (0, [0; 16384]);
        while !(self.whole)(&buffer[..length]) {
            match stream.read(&mut buffer[length..]).unwrap() {
                0 => panic!("{} closed: {}", self.name, String::from_utf8_lossy(&buffer[..length])),
                read => length += read,
            }
        }
        length
    }

    fn measure(&self, connections: usize) -> Figures {
        let begun = Instant::now();
        let mut took: Vec<f64> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..connections).map(|_| scope.spawn(|| self.many())).collect();
            asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let each_second = took.len() as f64 / begun.elapsed().as_secs_f64();
        took.sort_unstable_by(f64::total_cmp);
        let figures = Figures { took, each_second };
        println!(
            "lookup, kept alive, {:<12} {connections:>2} connections: p50 {:>6.1} us, p99 {:>6.1} us, {each_second:>7.0}/s",
            self.name,
            figures.part(0.5),
            figures.part(0.99),
        );
        figures
    }

    fn many(&self) -> Vec<f64> {
        let mut stream = self.connect();
        let mut took = Vec::with_capacity(EACH);
        for _ in 0..EACH {
            let asked = Instant::now();
            self.ask(&mut *stream);
            took.push(asked.elapsed().as_nanos() as f64 / 1000.0);
        }
        took
    }
}

impl Figures {
    /// How long all but so many take at most.
    fn part(&self, part: f64) -> f64 {
        self.took[((self.took.len() - 1) as f64 * part) as usize]
    }
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

/// A header and one material.
fn frames(answer: &[u8]) -> bool {
    let end = |at: usize| Some(at + 4 + u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?) as usize);
    let Some(header) = end(0).filter(|header| *header <= answer.len()) else { return false };
    assert!(answer[4..header].windows(8).any(|key| key == b"\"reply\":"), "{}", String::from_utf8_lossy(answer));
    end(header).is_some_and(|end| end <= answer.len())
}

fn http(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    answer.len() >= end + 4 + length.parse::<usize>().unwrap()
}

/// Answers each question with so many bytes, as a header and one material of nothing.
fn serve(runtime: &tokio::runtime::Runtime, folder: &Path, answer: usize) {
    let listener = runtime.block_on(async { tokio::net::UnixListener::bind(folder.join("bare")).unwrap() });
    let mut header = br#"{"reply":"#.to_vec();
    header.resize(answer - 8 - 16, b' ');
    let mut reply = frame(&header);
    reply.extend(frame(&[b'x'; 16]));
    runtime.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let reply = reply.clone();
            tokio::spawn(async move {
                let mut question = vec![0; 4096];
                while stream.read_exact(&mut question[..4]).await.is_ok() {
                    let length = u32::from_be_bytes(question[..4].try_into().unwrap()) as usize;
                    stream.read_exact(&mut question[..length]).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            });
        }
    });
}

async fn openbao(folder: &Path) -> (OpenBao, Side) {
    let server = OpenBao::start_audited(&folder.join("raft"), &folder.join("audit.log")).await;
    let value = SecretValue::Whole(Material::from("a-value-of-some-length-as-they-are".to_owned()));
    let (name, created, origin) = ("x".parse().unwrap(), 1_700_000_000, Origin::Put);
    let document = SecretRecord { name, value, created, origin, user: None }.to_document().unwrap();
    server.store().write(&"site1/x".parse().unwrap(), &document, Expected::Absent).await.unwrap();
    let Trust::Only(authority) = &server.address().trust else { panic!("it has an authority of its own") };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority).map(Result::unwrap));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let address = server.address().url.trim_start_matches("https://").parse().unwrap();
    // EXPOSE: the root token of a server of this bench
    let token = server.root().expose_text().unwrap();
    let question =
        format!("GET /v1/kv/data/site1/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\n\r\n").into_bytes();
    (server, Side { name: "OpenBao", place: Place::Tls(address, config), question, whole: http })
}

const WARM: usize = 2_000;
const EACH: usize = 20_000;
