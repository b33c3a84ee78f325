//! Where a case takes place: a folder, a web server that serves its files, and perhaps a Vault.

use super::case::{Case, Served};
use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected,
        vault::{Address, Trust},
    },
};
use donjon_tests::openbao::OpenBao;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where cases take place, one after the other.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    web: Web,
    vault: Option<OpenBao>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), web: Web::start(), vault: None }
    }

    /// A scene with a Vault that holds the secrets of [`SECRETS`] and some records that castellan cannot read.
    pub(super) async fn with_vault() -> Self {
        let vault = OpenBao::start().await;
        let store = vault.store();
        let mut records: Vec<(String, String)> = SECRETS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), record(json!(hex::encode(value))).to_string()))
            .collect();
        records.extend(broken());
        for (name, text) in records {
            let document = Document::from_json(Material::from(text)).unwrap();
            store.write(&format!("d/{name}").parse().unwrap(), &document, Expected::Absent).await.unwrap();
        }
        let scene = Self { vault: Some(vault), ..Self::new() };
        write(&scene.path("ca.pem"), &scene.authority());
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn has_vault(&self) -> bool {
        self.vault.is_some()
    }

    pub(super) async fn seal(&self) {
        self.vault.as_ref().unwrap().seal().await;
    }

    pub(super) fn kill(&mut self) {
        self.vault.as_mut().unwrap().kill();
    }

    /// Puts a case's files where it wants them.
    pub(super) fn set(&self, case: &Case) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else if path.file_name().is_none_or(|name| name != "ca.pem") {
                std::fs::remove_file(path).unwrap();
            }
        }
        for file in &case.files {
            let path = self.path(&file.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, &self.filled(&hex::decode(&file.content).unwrap()));
        }
        let served = case.served.iter().map(|served| (served.path.clone(), served.clone())).collect();
        *self.web.served.lock().unwrap() = served;
    }

    fn filled(&self, content: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(content) else {
            return content.to_vec();
        };
        let mut text = text
            .replace("@DIR@", &self.folder.path().display().to_string())
            .replace("@HTTP@", &format!("http://127.0.0.1:{}", self.web.port));
        if let Some(vault) = &self.vault {
            let Address { url, .. } = vault.address();
            // EXPOSE: the root token of a server that lives for one test
            text = text.replace("@VAULT@", url).replace("@TOKEN@", vault.root().expose_text().unwrap());
        }
        text.into_bytes()
    }

    fn authority(&self) -> Vec<u8> {
        match &self.vault.as_ref().unwrap().address().trust {
            Trust::Only(pem) => pem.clone(),
            Trust::System | Trust::Socket(_) => Vec::new(),
        }
    }
}

/// Writes a file that need not last.
#[expect(clippy::disallowed_methods, reason = "thousands of files that live for a moment are not synced")]
fn write(path: &Path, content: &[u8]) {
    std::fs::File::create(path).unwrap().write_all(content).unwrap();
}

/// Secrets that castellan can read.
pub(super) const SECRETS: [(&str, &str); 14] = [
    ("plain", "correct-horse"),
    ("empty", ""),
    ("spaces", "  two words "),
    ("dollar", "a$b"),
    ("reference", "${a}/x"),
    ("doubled", "cost: $$5 \\$6"),
    ("number", "42"),
    ("large", "70000"),
    ("switch", "True"),
    ("list", "a, b,c"),
    ("map", "k:v,l:w"),
    ("url", "mysql+pymysql://u:p%40w@10.0.0.1/db?charset=utf8"),
    ("lines", "one\ntwo"),
    ("folder/letters", "grüße ✓"),
];

fn record(value: serde_json::Value) -> serde_json::Value {
    json!({"type": "passphrase", "value": value, "name": "n", "created": 1_700_000_000, "algorithm": null, "bit_length": null})
}

/// Records that castellan cannot read, each for another reason; but for [`ODD`].
fn broken() -> Vec<(String, String)> {
    let without = |field: &str| {
        let mut record = record(json!("61"));
        record.as_object_mut().unwrap().remove(field);
        record.to_string()
    };
    let with = |field: &str, value: serde_json::Value| {
        let mut record = record(json!("61"));
        record[field] = value;
        record.to_string()
    };
    [
        ("no-value", without("value")),
        ("no-type", without("type")),
        ("no-name", without("name")),
        ("no-created", without("created")),
        ("odd-type", with("type", json!("other"))),
        ("odd-created", with("created", json!("yesterday"))),
        ("no-hex", with("value", json!("zz"))),
        ("no-text", with("value", json!("ff"))),
        ("key", with("type", json!("symmetric"))),
        ("nameless", with("name", json!(null))),
        ("undated", with("created", json!(null))),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .to_vec()
}

/// Those of [`broken`] that it reads all the same.
pub(super) const ODD: [&str; 3] = ["key", "nameless", "undated"];

/// The names of records that castellan cannot read, and of [`ODD`].
pub(super) fn broken_names() -> Vec<String> {
    broken().into_iter().map(|(name, _)| name).collect()
}

/// A web server on loopback.
struct Web {
    port: u16,
    served: Arc<Mutex<BTreeMap<String, Served>>>,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served: Arc<Mutex<BTreeMap<String, Served>>> = Arc::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (of_thread, end) = (Arc::clone(&served), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away half-way is its own affair.
                let _ = stream.map(|stream| answer(stream, &of_thread));
            }
        });
        Self { port, served, ended, thread: Some(thread) }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, served: &Mutex<BTreeMap<String, Served>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = served.lock().unwrap().get(path).cloned();
    let (status, content_type, content) = match found {
        Some(found) => (found.status, found.content_type, hex::decode(&found.content).unwrap()),
        None => (404, None, Vec::new()),
    };
    let content_type = content_type.map_or_else(String::new, |kind| format!("Content-Type: {kind}\r\n"));
    let location = if status == 302 { "Location: /there\r\n" } else { "" };
    let length = content.len();
    let mut to = &stream;
    write!(to, "HTTP/1.1 {status} X\r\n{content_type}{location}Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    to.write_all(&content)
}
