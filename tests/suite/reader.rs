//! The reader: beside a real OpenBao, request by request, and read by unchanged clients.

mod again;
mod agent;
mod clients;
mod confused;
mod deployed;
mod driver;
mod edge;
mod elsewhere;
mod flood;
mod host;
mod node;
mod parity;
mod revoked;
mod rogue;
mod second;
mod sides;
mod unit;
mod wired;

use donjon::{
    reader::{Credential, OfBundle, Outcome, Reader, Role, Roles, Seen, Source, Tokens, Unwitnessed, Witness, server},
    transfer::{
        Places,
        authority::Authority,
        bundle::{Checks, Identities, Recipients, Scope},
        export::{Request, Wanted, export},
        import::node::Node,
    },
};
use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected, RecordPath, Store, Version, Which,
        bundle::Bundle,
        memory::Memory,
        secret::{Origin, SecretRecord, SecretValue},
    },
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{sync::oneshot, task::JoinHandle};

const MOUNT: &str = "kv";
const VALUE: &str = "correct-horse-4711";
const CONNECTION: &str = "mysql+pymysql://keystone:correct-horse-4711@10.0.0.2/keystone";
/// What the role may read. `kolla/missing` is granted, and not there; `kolla/other` is there, and not granted.
const GRANTED: [&str; 4] =
    ["kolla/database_password", "kolla/keystone.database.connection", "kolla/folder/deeper", "kolla/missing"];

fn path(text: &str) -> RecordPath {
    text.parse().unwrap()
}

/// The records of both servers. A deployment of a daemon has no folders in its own.
fn records() -> Vec<(RecordPath, Document)> {
    let named =
        [("database_password", VALUE), ("keystone.database.connection", CONNECTION), ("other", "not-for-this-role")];
    let mut all: Vec<_> =
        named.into_iter().map(|(name, value)| (path(&format!("kolla/{name}")), record(name, value))).collect();
    all.push((path("kolla/folder/deeper"), record("deeper", "deep")));
    all
}

fn record(name: &str, value: &str) -> Document {
    let value = SecretValue::Whole(Material::from(value.to_owned()));
    let record = SecretRecord {
        name: name.parse().unwrap(),
        value,
        created: 1_700_000_000,
        origin: Origin::Generated,
        user: None,
    };
    record.to_document().unwrap()
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// A reader of a bundle that was exported, imported and opened. It ends when dropped.
struct Served {
    url: String,
    credential: Credential,
    reader: Arc<Reader>,
    roles: Roles,
    sealed: Mutex<Option<Source>>,
    witness: Arc<Lines>,
    end: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
struct Lines(Mutex<Vec<(Option<String>, Outcome)>>);

impl Lines {
    fn has(&self, path: Option<&str>, outcome: Outcome) -> bool {
        self.0.lock().unwrap().iter().any(|line| *line == (path.map(str::to_owned), outcome))
    }
}

impl Witness for Lines {
    fn record(&self, seen: &Seen<'_>) -> Result<(), Unwitnessed> {
        let path = seen.path.map(ToString::to_string);
        self.0.lock().unwrap().push((path, seen.outcome));
        Ok(())
    }
}

impl Served {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Serves TLS, where a certificate and its key are given in PEM.
    async fn start_with(tls: Option<(&str, &str)>) -> Self {
        Self::start_for(tls, None).await
    }

    /// As [`Self::start_with`]; the role's tokens live so many seconds, where that is given.
    async fn start_for(tls: Option<(&str, &str)>, lives: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        if let Some((certificate, private)) = tls {
            donjon_drivers::fs::replace(&chain, certificate.as_bytes()).unwrap();
            donjon_drivers::fs::replace(&key, private.as_bytes()).unwrap();
        }
        let certificate = tls.map(|_| server::Certificate { chain: chain.clone(), key: key.clone(), clients: None });
        let bundle = opened_bundle(&folder.path().join("node")).await;
        let reads: BTreeSet<_> = GRANTED.into_iter().map(path).collect();
        let (mut role, credential) = Role::generate("keystone".parse().unwrap(), &reads).unwrap();
        role.token_ttl = lives.unwrap_or(role.token_ttl);
        let roles = Roles::new([role]);
        let tokens = Tokens::open(&folder.path().join("node/tokens"), now()).unwrap();
        let witness = Arc::new(Lines::default());
        let source = |bundle, ends| Source { lookup: Arc::new(OfBundle::new(bundle, ends, now)), roles: roles.clone() };
        let reader = Arc::new(Reader::new(path(MOUNT), source(bundle, i64::MAX), tokens, witness.clone(), now));
        let sealed = Mutex::new(Some(source(Bundle::new(0, []), 0)));
        let listening = server::Listening::bind("127.0.0.1:0".parse().unwrap(), certificate).await.unwrap();
        let url = listening.url().to_owned();
        let (end, ended) = oneshot::channel::<()>();
        let ended = async move { drop(ended.await) };
        let task = tokio::spawn(listening.serve(Arc::clone(&reader), server::Limits::default(), ended));
        let end = Some(end);
        Self { url, credential, reader, roles, sealed, witness, end, task: Some(task), _folder: folder }
    }

    /// The secret-id, for a client's configuration.
    fn secret_id(&self) -> &str {
        self.credential.secret_id.expose_text().unwrap() // EXPOSE: a credential of one test
    }

    /// A bundle of later has another value.
    fn publish(&self, version: u64, value: &str) {
        let record = (path("kolla/database_password"), Version(version), record("database_password", value));
        let lookup = Arc::new(OfBundle::new(Bundle::new(now(), [record]), i64::MAX, now));
        self.reader.replace(Source { lookup, roles: self.roles.clone() });
    }

    /// The bundle's time is over, which is as good as sealed.
    fn seal(&self) {
        self.reader.replace(self.sealed.lock().unwrap().take().expect("it is sealed once"));
    }

    async fn end(mut self) {
        drop(self.end.take());
        if let Some(task) = self.task.take() {
            tokio::time::timeout(std::time::Duration::from_secs(5), task).await.expect("it drains").unwrap();
        }
    }
}

async fn opened_bundle(folder: &Path) -> Bundle {
    let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
    let mut closure = Vec::new();
    for (path, document) in records() {
        store.write(&path, &document, Expected::Absent).await.unwrap();
        closure.push(Wanted { path, which: Which::Latest });
    }
    let authority = Authority::ensure(&store, &places, now()).await.unwrap();
    let key = age::x25519::Identity::generate();
    let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
    let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "keystone".parse().unwrap(), host: None };
    let request = Request { scope, closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
    let bundle = export(&store, &places, &authority, &request, now()).await.unwrap();
    let mut node = Node::open(folder).unwrap();
    let checks = Checks { now: now(), ..Checks::default() };
    let opened = node.verify(&bundle.file.bytes().unwrap(), &checks).unwrap().open(&Identities::one(key)).unwrap();
    node.accept(&bundle.file.bytes().unwrap(), &opened, now()).unwrap();
    let created = opened.manifest().created;
    Bundle::new(created, opened.into_records().into_iter().map(|r| (r.path, r.version, r.document)))
}
