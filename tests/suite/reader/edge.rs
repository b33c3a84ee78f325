//! A site with a node of its own: bundles made for it, imported by the real command, and served by the real one.

use super::{path, record};
use donjon::transfer::{
    Places,
    authority::Authority,
    bundle::{Recipients, Scope},
    export::{Request, Wanted, export},
};
use donjon_drivers::{
    fs, identity,
    store::{Expected, Store, Version, Which, memory::Memory},
};
use donjon_tests::{donjon::Donjon, process::tied};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The authority, and the folder of a node.
pub(super) struct Edge {
    pub(super) donjon: Donjon,
    store: Memory,
    places: Places,
    authority: Authority,
    recipient: String,
}

/// A reader that runs; it ends when dropped.
pub(super) struct Serving {
    child: Child,
    pub(super) url: String,
}

/// What the role reads, and as which value.
pub(super) const SECRETS: [&str; 2] = ["database_password", "nova_password"];

impl Edge {
    pub(super) async fn new() -> Self {
        let (donjon, store) = (Donjon::new(), Memory::default());
        // Other users are to reach the socket in it.
        std::fs::set_permissions(donjon.home(), std::fs::Permissions::from_mode(0o711)).unwrap();
        fs::private_folder(&donjon.home().join("node")).unwrap();
        let identity = identity::make(&donjon.home().join("identity")).unwrap();
        let places = Places::new("site1".parse().unwrap()).unwrap();
        let authority = Authority::ensure(&store, &places, super::now()).await.unwrap();
        Self { donjon, store, places, authority, recipient: identity.to_public().to_string() }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.donjon.home().join(name)
    }

    pub(super) fn node(&self) -> String {
        self.at("node").display().to_string()
    }

    /// A bundle in which every secret has this value.
    pub(super) async fn bundle(&self, value: &str) -> PathBuf {
        let mut closure = Vec::new();
        for name in SECRETS {
            let path = path(&format!("site1/{name}"));
            let newest = self.store.versions(&path).await.unwrap().last().map(|info| info.version);
            let expected = newest.map_or(Expected::Absent, |Version(n)| Expected::Newest(Version(n)));
            self.store.write(&path, &record(name, value), expected).await.unwrap();
            closure.push(Wanted { path, which: Which::Latest });
        }
        let recipients = Recipients::parse([self.recipient.as_str()]).unwrap();
        let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let request =
            Request { scope, closure: &closure, recipients: &recipients, lifetime: 86400, folder: Path::new(".") };
        let bundle = export(&self.store, &self.places, &self.authority, &request, super::now()).await.unwrap();
        let file = self.at(&format!("{value}.donjon"));
        fs::replace(&file, &bundle.file.bytes().unwrap()).unwrap();
        file
    }

    /// Makes one and imports it.
    pub(super) async fn publish(&self, value: &str) {
        let (file, identity) = (self.bundle(value).await, self.at("identity"));
        let words = ["import", &file.display().to_string(), "-i", &identity.display().to_string()];
        self.donjon.run(&[&words[..], &["--into", &self.node()]].concat()).ok();
    }

    /// The node has another identity from now on, as one has that was set up anew.
    pub(super) fn renew_identity(&mut self) {
        self.recipient = identity::make(&self.at("identity")).unwrap().to_public().to_string();
    }

    pub(super) fn consumers(&self, text: &str) {
        fs::replace(&self.at("node/consumers.yaml"), text.as_bytes()).unwrap();
    }

    pub(super) fn credential(&self, role: &str) -> (String, String) {
        let read = |name: &str| std::fs::read_to_string(self.at("node/approle").join(role).join(name)).unwrap();
        (read("role-id"), read("secret-id"))
    }

    /// Serves on a free port of loopback and at the socket `s`.
    pub(super) fn serve(&self) -> Serving {
        self.serve_at("127.0.0.1:0")
    }

    pub(super) fn serve_at(&self, address: &str) -> Serving {
        self.serve_with(address, None)
    }

    /// As [`Self::serve`]; what it says goes into the file.
    pub(super) fn serve_into(&self, log: &Path) -> Serving {
        self.serve_with("127.0.0.1:0", Some(std::fs::File::create_new(log).unwrap()))
    }

    fn serve_with(&self, address: &str, log: Option<std::fs::File>) -> Serving {
        let (identity, socket) = (self.at("identity").display().to_string(), self.at("s").display().to_string());
        let words = ["serve", "-i", &identity, "--listen", address, "--socket", &socket, "--output", "json"];
        let mut command = self.donjon.command(&[&words[..], &["--node", &self.node()]].concat());
        if let Some(log) = log {
            command.stderr(log);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("it says where it serves");
        Serving { child, url: told["url"].as_str().unwrap().to_owned() }
    }
}

impl Serving {
    pub(super) fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already; then it is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command as another user, who is in no group.
pub(super) fn as_user(uid: u32, program: &str) -> Command {
    let mut command = tied("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups", "--", program]);
    command
}
