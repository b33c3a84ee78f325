//! The two sides of a comparison: a real OpenBao and the reader, with the same records and a role with the same grants.

use super::{GRANTED, MOUNT, Served, deployed::Deployed, records};
use donjon::reader::Outcome;
use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected, RecordPath,
        vault::{Call, Method, Trust},
    },
};
use donjon_tests::{
    openbao::OpenBao,
    recorder::{Exchange, Recorder},
    tools,
};
use reqwest::{Certificate, Client, redirect};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// One side, as a client sees it.
pub(super) struct Side {
    recorder: Recorder,
    pub(super) role_id: String,
    pub(super) secret_id: String,
    /// A token of its own, for clients that do not log in.
    pub(super) token: String,
}

/// Both.
pub(super) struct Sides {
    theirs: Side,
    our_side: Side,
    server: OpenBao,
    pub(super) ours: Ours,
}

/// The reader of one of the two stores.
pub(super) enum Ours {
    /// A bundle's.
    Bundle(Served),
    /// The daemon's of a deployment host.
    Daemon(Box<Deployed>),
}

impl Ours {
    fn url(&self) -> &str {
        match self {
            Self::Bundle(served) => &served.url,
            Self::Daemon(deployed) => &deployed.urls[0],
        }
    }

    fn credential(&self) -> (String, String) {
        match self {
            Self::Bundle(served) => (served.credential.role_id.clone(), served.secret_id().to_owned()),
            Self::Daemon(deployed) => deployed.credential("keystone"),
        }
    }

    /// Whether there is an audit line of this record, or of none that has a name.
    pub(super) fn saw(&self, path: Option<&str>, outcome: Outcome) -> bool {
        match self {
            Self::Bundle(served) => served.witness.has(path, outcome),
            Self::Daemon(deployed) => deployed.saw(path, outcome),
        }
    }
}

impl Side {
    async fn new(server: &str, client: Client, role_id: String, secret_id: String) -> Self {
        let recorder = Recorder::before(server, client.clone()).await;
        let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
        let answer = client.post(format!("{server}/v1/auth/approle/login")).body(body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let token = answer["auth"]["client_token"].as_str().unwrap().to_owned();
        Self { recorder, role_id, secret_id, token }
    }

    pub(super) fn url(&self) -> &str {
        self.recorder.url()
    }
}

impl Sides {
    /// Plays a scene with the reader of a bundle, and once more with that of a daemon.
    pub(super) async fn on_each_store(scene: impl AsyncFn(Self)) {
        let server = OpenBao::start().await;
        let credential = prepare(&server, &records()).await;
        scene(Self::new(server, credential, Ours::Bundle(Served::start().await)).await).await;
        let server = OpenBao::start().await;
        let credential = prepare(&server, &flat()).await;
        let deployed = Box::new(Deployed::start(&server).await);
        scene(Self::new(server, credential, Ours::Daemon(deployed)).await).await;
    }

    async fn new(server: OpenBao, (role_id, secret_id): (String, String), ours: Ours) -> Self {
        let trusting = client(Some(&server.address().trust));
        let theirs = Side::new(&server.address().url, trusting, role_id, secret_id).await;
        let (role_id, secret_id) = ours.credential();
        let our_side = Side::new(ours.url(), client(None), role_id, secret_id).await;
        Self { theirs, our_side, server, ours }
    }

    /// The names that a list of the deployment's folder shows to the role.
    pub(super) fn names(&self) -> Vec<&'static str> {
        match &self.ours {
            Ours::Bundle(_) => vec!["database_password", "folder/", "keystone.database.connection"],
            Ours::Daemon(_) => vec!["database_password", "keystone.database.connection"],
        }
    }

    /// Seals both.
    pub(super) async fn seal(&self) {
        self.server.seal().await;
        match &self.ours {
            Ours::Bundle(served) => served.seal(),
            Ours::Daemon(deployed) => deployed.closed(&self.our_side.token).await,
        }
    }

    /// Runs a client on both sides, each in a folder of its own. It sees the same statuses and errors for the same
    /// requests in the same order, ends with the same code, and the reader's output comes back.
    pub(super) async fn run(&self, client: impl AsyncFn(&Side, &Path) -> Output) -> Output {
        let (theirs, ours) = self.both(client).await;
        assert_eq!(theirs.1, ours.1, "theirs, ours; {}\n{}", said(&theirs.0), said(&ours.0));
        ours.0
    }

    /// As [`Self::run`], for a client that asks when it likes: each request is compared, their number and order are not.
    pub(super) async fn run_unordered(&self, client: impl AsyncFn(&Side, &Path) -> Output) -> Output {
        let (mut theirs, mut ours) = self.both(client).await;
        for seen in [&mut theirs.1, &mut ours.1] {
            // A client that ends at once may or may not have renewed its token before.
            seen.retain(|exchange| !exchange.path.ends_with("/renew-self"));
            seen.sort();
            seen.dedup();
        }
        assert_eq!(theirs.1, ours.1, "theirs, ours; {}\n{}", said(&theirs.0), said(&ours.0));
        ours.0
    }

    async fn both(
        &self,
        client: impl AsyncFn(&Side, &Path) -> Output,
    ) -> ((Output, Vec<Exchange>), (Output, Vec<Exchange>)) {
        let one = async |side: &Side| {
            let folder = tempfile::tempdir().unwrap();
            let output = client(side, folder.path()).await;
            (output, side.recorder.take())
        };
        let (theirs, ours) = tokio::join!(one(&self.theirs), one(&self.our_side));
        assert!(!ours.1.is_empty(), "it was asked nothing: {}", said(&ours.0));
        assert_eq!(theirs.0.status.code(), ours.0.status.code(), "{}\n{}", said(&theirs.0), said(&ours.0));
        (theirs, ours)
    }

    pub(super) async fn end(self) {
        match self.ours {
            Ours::Bundle(served) => served.end().await,
            Ours::Daemon(deployed) => deployed.end(),
        }
    }
}

/// Runs a client with nothing in its environment but what it is given.
pub(super) async fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)], folder: &Path) -> Output {
    let program = tools::program(program);
    let bin = program.parent().expect("a program lies in a folder");
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("LC_ALL", "C.UTF-8");
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    ran.expect("waiting does not panic").expect("the client can be started")
}

pub(super) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// All that a client said, for a message and for what it must not say.
pub(super) fn said(output: &Output) -> String {
    format!("{}\n{}", out(output), String::from_utf8_lossy(&output.stderr))
}

pub(super) fn client(trust: Option<&Trust>) -> Client {
    let builder = Client::builder().redirect(redirect::Policy::none()).no_proxy();
    match trust {
        Some(Trust::Only(pem)) => builder.tls_certs_only([Certificate::from_pem(pem).unwrap()]).build().unwrap(),
        _ => builder.build().unwrap(),
    }
}

/// The records that a deployment of a daemon can have: there are no folders in its own.
pub(super) fn flat() -> Vec<(RecordPath, Document)> {
    records().into_iter().filter(|(path, _)| path.as_str().matches('/').count() == 1).collect()
}

/// Gives an OpenBao these records, and a role with the same grants: its role-id and secret-id.
pub(super) async fn prepare(server: &OpenBao, records: &[(RecordPath, Document)]) -> (String, String) {
    let store = server.store();
    for (path, document) in records {
        store.write(path, document, Expected::Absent).await.unwrap();
    }
    let folder = records.iter().any(|(path, _)| path.as_str().starts_with("kolla/folder/"));
    let mut policy = String::new();
    for path in GRANTED.into_iter().filter(|path| folder || !path.starts_with("kolla/folder/")) {
        for engine in ["data", "metadata"] {
            writeln!(policy, r#"path "{MOUNT}/{engine}/{path}" {{ capabilities = ["read"] }}"#).unwrap();
        }
    }
    for folder in ["", "kolla/", "kolla/folder/"].into_iter().filter(|path| folder || *path != "kolla/folder/") {
        writeln!(policy, r#"path "{MOUNT}/metadata/{folder}" {{ capabilities = ["list"] }}"#).unwrap();
    }
    let connection = server.connection();
    let post = async |path: &str, body: Value| {
        connection.call(Call::post(path, Material::from(body.to_string()))).await.unwrap()
    };
    post("sys/auth/approle", json!({"type": "approle"})).await;
    post("sys/policies/acl/keystone", json!({"policy": policy})).await;
    post("auth/approle/role/keystone", json!({"token_policies": "keystone", "token_ttl": "1h"})).await;
    let role: Value =
        connection.call(Call::new(Method::Get, "auth/approle/role/keystone/role-id")).await.unwrap().parse().unwrap();
    let secret: Value = post("auth/approle/role/keystone/secret-id", json!({})).await.parse().unwrap();
    let text = |answer: &Value, field: &str| {
        answer.get("data").unwrap_or(answer)[field].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    (text(&role, "role_id"), text(&secret, "secret_id"))
}
