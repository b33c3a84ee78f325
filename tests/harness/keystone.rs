//! A real Keystone under gunicorn: one or more instances on one MariaDB database, each with key repositories of its own.

use crate::{
    mariadb::MariaDb,
    namespaces::Host,
    port,
    process::{Guard, tied},
    tools, wait,
};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The administrator that every database begins with, in the domain `Default`.
pub const ADMIN: &str = "admin";
/// Its value.
pub const ADMIN_VALUE: &str = "admin-value-1";
/// The account of the database.
pub const DATABASE_USER: &str = "keystone";
/// Its value at first.
pub const DATABASE_VALUE: &str = "keystone-database-1";

/// Keystone.
#[derive(Debug)]
pub struct Keystone {
    /// Its instances.
    pub instances: Vec<Instance>,
    http: Client,
}

/// One instance.
#[derive(Debug)]
pub struct Instance {
    /// Its port.
    pub port: u16,
    host: Option<Host>,
    user: Option<&'static str>,
    folder: TempDir,
    environment: Vec<(String, String)>,
    process: Guard,
}

/// How Keystone is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// How many instances beside the first.
    pub more: usize,
    /// Lines of `keystone.conf` that say where the database is; none: its URL itself.
    pub database: Option<String>,
    /// More lines of `keystone.conf`, each section named once.
    pub lines: String,
    /// What its processes find in their environment.
    pub environment: Vec<(String, String)>,
    /// Where its instances run and listen; none: on this machine, at 127.0.0.1.
    pub host: Option<Host>,
    /// The user of this system that it runs as, to whom its folder belongs; none: whoever runs the test.
    pub user: Option<&'static str>,
}

impl Keystone {
    /// Starts one instance on a database of its own.
    pub async fn start(database: &MariaDb) -> Self {
        Self::start_with(database, Setup::default()).await
    }

    /// Starts instances on a database of their own.
    pub async fn start_with(database: &MariaDb, setup: Setup) -> Self {
        prepare(database).await;
        let keys: Vec<(&str, [String; 2])> = REPOSITORIES.iter().map(|name| (*name, [key(), key()])).collect();
        let place = setup.database.clone().unwrap_or_else(|| connection(database.port));
        let mut instances: Vec<Instance> = (0..=setup.more)
            .map(|_| {
                let folder = configured(&format!("{place}\n{}", setup.lines));
                for (name, keys) in &keys {
                    for (index, key) in keys.iter().enumerate() {
                        let path = folder.path().join(name).join(index.to_string());
                        donjon_drivers::fs::replace(&path, key.as_bytes()).unwrap();
                    }
                }
                let port = port::free();
                let (host, user, environment) = (setup.host.clone(), setup.user, setup.environment.clone());
                user.iter().for_each(|user| give(user, folder.path()));
                let process = spawn(folder.path(), (host.as_ref(), user), port, &environment);
                Instance { port, host, user, folder, environment, process }
            })
            .collect();
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        for instance in &mut instances {
            instance.ready(&http).await;
        }
        Self { instances, http }
    }

    /// A request to an instance, with a token or without: the status and what came, the token's header in `token`.
    pub async fn call(&self, at: usize, method: Method, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.instances[at].url()));
        if !token.is_empty() {
            request = request.header("X-Auth-Token", token);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let issued = answer.headers().get("X-Subject-Token").map(|token| token.to_str().unwrap().to_owned());
        let mut content: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(json!({}));
        if let Some(issued) = issued {
            content["issued"] = issued.into();
        }
        (status, content)
    }

    /// A token for a user of the domain `Default`, or the status that refused it.
    pub async fn token(&self, at: usize, user: &str, value: &str) -> Result<String, u16> {
        let user = json!({"name": user, "domain": {"id": "default"}, "password": value});
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}});
        match self.call(at, Method::POST, "/v3/auth/tokens", "", Some(body)).await {
            (201, content) => Ok(content["issued"].as_str().unwrap().to_owned()),
            (status, _) => Err(status),
        }
    }

    /// A token of the administrator with its rights.
    pub async fn admin(&self, at: usize) -> String {
        let user = json!({"name": ADMIN, "domain": {"id": "default"}, "password": ADMIN_VALUE});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
        let body = json!({"auth": {"identity": identity, "scope": scope}});
        let (status, content) = self.call(at, Method::POST, "/v3/auth/tokens", "", Some(body)).await;
        assert_eq!(status, 201, "{content}");
        content["issued"].as_str().unwrap().to_owned()
    }

    /// Whether an instance takes a token for valid; the token itself asks.
    pub async fn accepts(&self, at: usize, token: &str) -> bool {
        let url = format!("{}/v3/auth/tokens", self.instances[at].url());
        let request = self.http.get(url).header("X-Auth-Token", token).header("X-Subject-Token", token);
        match request.send().await.unwrap().status().as_u16() {
            200 => true,
            401 | 404 => false,
            other => panic!("{other}"),
        }
    }

    /// Creates a user in the domain `Default` and answers its id.
    pub async fn user(&self, name: &str, value: &str) -> String {
        let admin = self.admin(0).await;
        let body = json!({"user": {"name": name, "domain_id": "default", "password": value}});
        let (status, made) = self.call(0, Method::POST, "/v3/users", &admin, Some(body)).await;
        assert_eq!(status, 201, "{made}");
        made["user"]["id"].as_str().unwrap().to_owned()
    }

    /// Stops an instance as its service manager would and starts it again.
    pub async fn restart(&mut self, at: usize) {
        let instance = &mut self.instances[at];
        instance.stop();
        let runs = (instance.host.as_ref(), instance.user);
        instance.process = spawn(instance.folder.path(), runs, instance.port, &instance.environment);
        instance.ready(&self.http).await;
    }
}

impl Instance {
    /// The process id of the master of its workers.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}:{}", address(self.host.as_ref()), self.port)
    }

    /// Where the keys of a repository lie: `fernet` or `credential`.
    pub fn repository(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The words that run `keystone-manage` on its configuration.
    pub fn manage(&self, words: &[&str]) -> Vec<String> {
        let configuration = self.folder.path().join(CONFIGURATION).display().to_string();
        let program = tools::program("keystone-manage").display().to_string();
        let before = [program, "--config-file".to_owned(), configuration];
        before.into_iter().chain(words.iter().map(|&word| word.to_owned())).collect()
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn ready(&mut self, http: &Client) {
        let url = format!("{}/v3", self.url());
        wait::until("Keystone to answer", Duration::from_secs(90), async || {
            if let Some(status) = self.process.ended().unwrap() {
                panic!("gunicorn ended with {status}: {}", self.log());
            }
            http.get(&url).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Ends it and its workers: killed alone, the first process would leave them for a moment.
    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.signal(Signal::INT);
        let end = Instant::now() + Duration::from_secs(10);
        while self.process.ended().unwrap().is_none() && Instant::now() < end {
            #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a bounded condition")]
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process.kill();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
    }
}

const CONFIGURATION: &str = "keystone.conf";
const REPOSITORIES: [&str; 2] = ["fernet", "credential"];

/// A new key as `keystone-manage fernet_setup` makes them.
pub fn key() -> String {
    let mut raw = [0; 32];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut raw).unwrap();
    URL_SAFE.encode(raw)
}

/// The lines that name the database themselves.
pub fn connection(port: u16) -> String {
    format!(
        "[database]\nconnection = mysql+pymysql://{DATABASE_USER}:{DATABASE_VALUE}@127.0.0.1:{port}/{DATABASE_USER}"
    )
}

/// A folder with a configuration and empty repositories.
fn configured(lines: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix("keystone.").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in REPOSITORIES {
        donjon_drivers::fs::private_folder(&folder.path().join(name)).unwrap();
    }
    // bcrypt with its usual 12 rounds would take a quarter of a second for each login. What a rotation changes is not kept
    // in memory: a real deployment's instances share a memcached.
    let text = format!(
        "[fernet_tokens]\nkey_repository = {fernet}\n[fernet_receipts]\nkey_repository = {fernet}\n\
         [credential]\nkey_repository = {}\ncaching = false\n[identity]\npassword_hash_rounds = 4\ncaching = false\n\
         [cache]\nenabled = true\nbackend = dogpile.cache.memory\n[token]\ncaching = false\n\
         [revoke]\ncaching = false\n[assignment]\ncaching = false\n{lines}\n",
        at("credential"),
        fernet = at("fernet"),
    );
    donjon_drivers::fs::replace(&folder.path().join(CONFIGURATION), text.as_bytes()).unwrap();
    folder
}

fn address(host: Option<&Host>) -> &str {
    host.map_or("127.0.0.1", |host| &host.address)
}

fn spawn(
    folder: &Path,
    (host, user): (Option<&Host>, Option<&str>),
    port: u16,
    environment: &[(String, String)],
) -> Guard {
    let settings = format!(
        "wsgi_app = 'keystone.wsgi.api:application'\nbind = '{}:{port}'\nworkers = 1\nthreads = 4\n\
         graceful_timeout = 5\n",
        address(host)
    );
    donjon_drivers::fs::replace(&folder.join("gunicorn.conf.py"), settings.as_bytes()).unwrap();
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    // Keystone reads the arguments of whatever process it runs in, so gunicorn gets none.
    let gunicorn = tools::program("gunicorn");
    let mut command = match (host, user) {
        (Some(host), _) => host.command(&gunicorn),
        (None, None) => tied(&gunicorn),
        (None, Some(user)) => {
            give(user, &folder.join("gunicorn.conf.py"));
            let mut command = tied("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(&gunicorn);
            command
        }
    };
    command
        .current_dir(folder)
        .env("OS_KEYSTONE_CONFIG_DIR", folder)
        .env("OS_KEYSTONE_CONFIG_FILES", CONFIGURATION)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Guard::start(&mut command).unwrap()
}

fn give(user: &str, path: &Path) {
    succeeded(&Command::new("chown").args(["-R", user]).arg(path).output().unwrap());
}

/// A database with Keystone's tables and its administrator. Migrating takes seconds, so the result is kept as a dump.
async fn prepare(database: &MariaDb) {
    database.account(DATABASE_USER, "%", DATABASE_VALUE).await;
    database.sql(&format!("CREATE DATABASE {DATABASE_USER}")).await;
    let dump = cached();
    if dump.exists() {
        let load = client("mariadb", database).stdin(fs::File::open(dump).unwrap()).output();
        succeeded(&load.unwrap());
        return;
    }
    let folder = configured(&connection(database.port));
    let manage = |words: &[&str]| {
        let mut command = Command::new(tools::program("keystone-manage"));
        command.arg("--config-file").arg(folder.path().join(CONFIGURATION)).args(words);
        succeeded(&command.env("OS_BOOTSTRAP_PASSWORD", ADMIN_VALUE).output().unwrap());
    };
    donjon_drivers::fs::replace(&folder.path().join("fernet/0"), key().as_bytes()).unwrap();
    manage(&["db_sync"]);
    manage(&["bootstrap", "--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", "http://127.0.0.1:5000/v3"]);
    let made = client("mariadb-dump", database).output().unwrap();
    succeeded(&made);
    // Another test may have been faster; its dump is as good.
    donjon_drivers::fs::replace(&dump, &made.stdout).unwrap();
}

/// The dump of this very Keystone.
fn cached() -> PathBuf {
    let packages = fs::read_dir(tools::folder().join("venv/lib")).unwrap().map(|entry| entry.unwrap().path());
    let installed = packages.flat_map(|folder| fs::read_dir(folder.join("site-packages")).into_iter().flatten());
    let versions: Vec<String> = installed
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("keystone-") && name.ends_with(".dist-info"))
        .collect();
    assert_eq!(versions.len(), 1, "Keystone is installed once: {versions:?}");
    let mark = hex::encode(&Sha1::digest(format!("{ADMIN_VALUE} {}", versions[0]))[..6]);
    crate::cache_folder().join(format!("keystone-{mark}.sql"))
}

fn client(program: &str, database: &MariaDb) -> Command {
    let mut command = database.client(program);
    command.arg(DATABASE_USER);
    command
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
