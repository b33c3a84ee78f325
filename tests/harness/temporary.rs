//! A temporary Vault in a temporary folder, its custodians, and what tests do with it.

use crate::{tools, wait};
use age::x25519;
use donjon::vault::{Custody, Settings, Standing, Temporary, Watcher, place::Place, shares};
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, Which},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A Vault's folder and what is started in it; nothing is left running when it is dropped.
#[derive(Debug)]
pub struct Home {
    /// The folder around the Vault's.
    pub folder: tempfile::TempDir,
}

impl Home {
    /// An empty one.
    pub fn make() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    /// An empty one in some folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: tempfile::tempdir_in(folder).expect("a temporary folder can be made") }
    }

    /// The Vault's folder.
    pub fn vault(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    /// What is in the Vault's folder.
    pub fn place(&self) -> Place {
        Place::new(&self.vault())
    }

    /// What a bring-up is told.
    pub fn settings(&self, custody: Option<Custody>) -> Settings {
        Settings { folder: self.vault(), custody, named: Some(tools::program("bao").into()), search: None }
    }

    /// Brings it up, and shows the server's log where that fails.
    pub async fn up(&self, custody: Option<Custody>) -> Arc<Temporary> {
        match Temporary::bring_up(self.settings(custody), quiet()).await {
            Ok(vault) => vault,
            Err(error) => panic!("{error:?}\n{}", std::fs::read_to_string(self.place().log()).unwrap_or_default()),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for pid in servers_of(&self.vault()) {
            let pid = rustix::process::Pid::from_raw(pid).expect("an id from /proc is not 0");
            // It may end by itself meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The servers whose configuration lies in a folder.
pub fn servers_of(vault: &Path) -> Vec<i32> {
    let argument = format!("-config={}", vault.join("server.json").display());
    let processes = std::fs::read_dir("/proc").expect("/proc can be read").flatten();
    processes
        .filter(|process| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            words.split(|b| *b == 0).any(|word| word == argument.as_bytes())
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// A watcher that looks away.
pub fn quiet() -> Watcher {
    Arc::new(|_| {})
}

/// Ends a process as a power failure would.
pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process has an id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the server runs");
}

fn document(n: u32) -> Document {
    Document::plain(&serde_json::json!({"n": n})).expect("an object")
}

/// Where record `n` is.
pub fn path(n: u32) -> RecordPath {
    format!("test/r{n}").parse().expect("a path")
}

/// Writes record `n`.
pub async fn write(vault: &Temporary, n: u32) {
    vault.store().write(&path(n), &document(n), Expected::Absent).await.expect("it takes writes");
}

/// Reads records back.
pub async fn holds(vault: &Temporary, numbers: impl IntoIterator<Item = u32>) {
    for n in numbers {
        let read = vault.store().read(&path(n), Which::Latest).await.expect("it answers").expect("nothing is lost");
        let value: serde_json::Value = read.document.parse().expect("an object");
        assert_eq!(value["n"], n);
    }
}

/// Three custodians, of whom two unseal.
pub struct Custodians(pub Vec<x25519::Identity>);

impl Custodians {
    /// Three of them.
    pub fn three() -> Self {
        Self((0..3).map(|_| x25519::Identity::generate()).collect())
    }

    /// What a bring-up is told of them.
    pub fn custody(&self) -> Custody {
        let keys: Vec<String> = self.0.iter().map(|identity| identity.to_public().to_string()).collect();
        Custody::custodians(keys.iter().map(String::as_str), Some(2)).expect("two of three can be custodians")
    }

    /// The share that one of them opens.
    pub fn share(&self, home: &Home, number: usize) -> Material {
        let mut shares = shares::opened_by(&home.place(), &self.0[number]).expect("the share files can be read");
        assert_eq!(shares.len(), 1, "each custodian opens one share");
        shares.remove(0)
    }

    /// Two of them open it.
    pub async fn open(&self, home: &Home, vault: &Temporary) {
        let one = vault.offer(self.share(home, 2)).await.expect("a share is taken");
        assert!(matches!(one, Standing::Waiting { given: 1, needed: 2, .. }), "one is not enough: {one:?}");
        let two = vault.offer(self.share(home, 0)).await.expect("a share is taken");
        assert_eq!(two, Standing::Ready);
    }
}

/// Waits until another process than this one serves.
pub async fn replaced(vault: &Temporary, pid: i32) {
    wait::until("another server", Duration::from_secs(30), async || {
        (vault.standing() == Standing::Ready && vault.pid() != pid).then_some(())
    })
    .await;
}

/// Waits until it stands so. How it stood for a moment alone may be missed.
pub async fn stands(vault: &Temporary, wanted: impl FnMut(&Standing) -> bool) {
    let mut follow = vault.follow();
    let waited = tokio::time::timeout(Duration::from_secs(30), follow.wait_for(wanted)).await;
    waited.expect("within 30 s").expect("it is followed");
}
