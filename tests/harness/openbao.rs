//! A real OpenBao server that is already there: in memory or on disk, over TLS, unsealed, with one KV v2 mount.

use crate::{
    port,
    process::{Guard, tied},
    tools,
};
use donjon_drivers::{
    material::Material,
    store::{
        Store,
        vault::{Address, Call, CallError, Connection, Method, Reason, Trust, Vault},
    },
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct OpenBao {
    process: Guard,
    address: Address,
    root: Material,
    share: Material,
    folder: tempfile::TempDir,
}

#[derive(Deserialize)]
struct Initialised {
    root_token: Material,
    keys_base64: Vec<Material>,
}

impl OpenBao {
    /// Starts one in memory, with a KV v2 mount named `kv`.
    pub async fn start() -> Self {
        Self::start_with(|_| serde_json::json!({"inmem": {}}), None).await
    }

    /// Starts one that keeps its data in this folder, so that it can be killed and started again.
    pub async fn start_on(data: &Path) -> Self {
        Self::start_with(raft(data), None).await
    }

    /// As [`Self::start_on`], with an audit log in this file.
    pub async fn start_audited(data: &Path, log: &Path) -> Self {
        Self::start_with(raft(data), Some(log)).await
    }

    async fn start_with(storage: impl FnOnce(u16) -> serde_json::Value, log: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (authority, certificate, key) = certificates();
        let at = |name: &str| folder.path().join(name);
        for (name, content) in [("certificate.pem", &certificate), ("key.pem", &key), (AUTHORITY, &authority)] {
            donjon_drivers::fs::replace(&at(name), content.as_bytes()).expect("a temporary file can be written");
        }
        let port = port::free();
        let mut configuration = serde_json::json!({
            "storage": storage(port),
            "listener": [{"tcp": {
                "address": format!("127.0.0.1:{port}"),
                "tls_cert_file": at("certificate.pem"),
                "tls_key_file": at("key.pem"),
            }}],
            "api_addr": format!("https://127.0.0.1:{port}"),
            "cluster_addr": format!("https://127.0.0.1:{}", port::free()),
            "log_level": "warn",
        });
        if let Some(log) = log {
            // HCL reads an object with one key as a longer name, so there is a second key.
            let device = serde_json::json!({"description": "all", "options": {"file_path": log, "mode": "0600"}});
            configuration["audit"] = serde_json::json!([{"file": {"all": device}}]);
        }
        let path = at(CONFIGURATION);
        donjon_drivers::fs::replace(&path, configuration.to_string().as_bytes()).expect("a file can be written");
        let process = spawn(folder.path());
        let url = format!("https://127.0.0.1:{port}");
        let address = Address { url, trust: Trust::Only(authority.into_bytes()), namespace: None };
        let connection = Connection::open(&address).expect("the address is one");
        let initialised: Initialised =
            patiently(&connection, "sys/init", Some(r#"{"secret_shares":1,"secret_threshold":1}"#)).await;
        let share = initialised.keys_base64.into_iter().next().expect("one share was asked for");
        let server = Self { process, address, root: initialised.root_token, share, folder };
        server.unseal().await;
        connection.use_token(server.root.duplicate());
        let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
        done(&connection, "sys/mounts/kv", mount).await;
        // The mount answers a moment after it was made.
        let _: serde_json::Value = patiently(&connection, "kv/config", None).await;
        server
    }

    /// Its address and whom to trust there.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The root token.
    pub fn root(&self) -> &Material {
        &self.root
    }

    /// A connection with the root token.
    pub fn connection(&self) -> Arc<Connection> {
        let connection = Connection::open(&self.address).expect("the address is one");
        connection.use_token(self.root.duplicate());
        Arc::new(connection)
    }

    /// The store in the mount `kv`, with the root token.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(Vault::new(self.connection(), "kv".parse().expect("`kv` is a path")))
    }

    /// Seals it.
    pub async fn seal(&self) {
        done(&self.connection(), "sys/seal", "{}").await;
    }

    /// Unseals it.
    pub async fn unseal(&self) {
        // EXPOSE: the share of a server that lives for one test
        let share = self.share.expose_text().expect("a share is text");
        done(&self.connection(), "sys/unseal", &format!("{{\"key\":\"{share}\"}}")).await;
        let health: serde_json::Value = patiently(&self.connection(), "sys/health", None).await;
        assert_eq!(health["sealed"], false);
    }

    /// Ends the process, as a power failure would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The authority that signed its certificate, as a file.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join(AUTHORITY)
    }

    /// Starts it again on what it has on disk, and unseals it.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.folder.path());
        let _: serde_json::Value = patiently(&self.connection(), "sys/seal-status", None).await;
        self.unseal().await;
    }
}

const AUTHORITY: &str = "authority.pem";
const CONFIGURATION: &str = "configuration.json";

fn raft(data: &Path) -> impl FnOnce(u16) -> serde_json::Value {
    std::fs::create_dir_all(data).expect("a folder can be made");
    let raft = serde_json::json!({"raft": {"path": data, "node_id": "n1", "performance_multiplier": "1"}});
    move |_| raft
}

fn spawn(folder: &Path) -> Guard {
    let mut command = tied(tools::program("bao"));
    command.arg("server").arg(format!("-config={}", folder.join(CONFIGURATION).display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Guard::start(&mut command).expect("bao can be started")
}

fn certificates() -> (String, String, String) {
    certificates_for(&["127.0.0.1".to_owned()])
}

/// An authority, a server's certificate for some addresses and its key, in PEM.
pub(crate) fn certificates_for(addresses: &[String]) -> (String, String, String) {
    let made = || -> Result<_, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
        authority.distinguished_name.push(DnType::CommonName, "authority of a test");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(addresses.to_vec())?.signed_by(&key, &authority)?;
        Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
    };
    made().expect("certificates can be made")
}

async fn done(connection: &Connection, path: &str, body: &str) {
    connection.call(Call::post(path, Material::from(body.to_owned()))).await.expect("the server takes it");
}

/// Asks until there is an answer: a server that has just started needs a moment.
pub(crate) async fn patiently<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    path: &str,
    body: Option<&str>,
) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let call = match body {
            Some(body) => Call::post(path, Material::from(body.to_owned())),
            None => Call::new(Method::Get, path),
        };
        match connection.call(call).await {
            Ok(answer) => return answer.parse().expect("the answer is what this request is answered with"),
            Err(CallError::Unreachable { .. } | CallError::Refused { reason: Reason::NotReady, .. })
                if Instant::now() < end =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }
}
