//! A daemon without a process of its own, for what is decided in the daemon alone: a store in memory, a home of its own.

use super::Daemon;
use crate::{audit::Log, home::Home, lifecycle::Backing, records::Layout};
use async_trait::async_trait;
use donjon_drivers::store::{
    Capabilities, Document, Expected, RecordPath, Store, StoreError, Stored, Version, VersionInfo, Which,
    memory::Memory,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, oneshot};

/// A daemon, for as long as its home is there.
pub(super) struct Scene {
    pub(super) daemon: Arc<Daemon>,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// With an empty store.
    pub(super) fn new() -> Self {
        Self::on(Arc::new(Memory::default()))
    }

    /// On a store that others may have, too.
    pub(super) fn on(store: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        home.make().unwrap();
        let layout = Layout::new(crate::config::deployment(&home).unwrap().deployment).unwrap();
        let audit = Log::open(&home.audit()).unwrap();
        let daemon = Daemon::new(home, layout, audit, Backing::Folder { store }, Duration::ZERO);
        Self { daemon: Arc::new(daemon), _folder: folder }
    }
}

/// A store that remembers what it was asked for, in order.
#[derive(Default)]
pub(super) struct Told {
    inner: Memory,
    done: Mutex<Vec<Done>>,
    stop: Mutex<Option<(String, oneshot::Sender<()>)>>,
    goes_on: Notify,
}

/// What a store was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    Read(RecordPath),
    Written(RecordPath),
}

impl Told {
    pub(super) fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next write below a folder waits until it is told to [go on](Self::go_on); what is given back ends when it has come.
    pub(super) fn stop_before(&self, folder: &RecordPath) -> impl Future<Output = ()> + use<> {
        let (come, comes) = oneshot::channel();
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some((format!("{folder}/"), come));
        async move { comes.await.expect("a write comes") }
    }

    pub(super) fn go_on(&self) {
        self.goes_on.notify_one();
    }

    async fn stops(&self, path: &RecordPath) {
        let come = {
            let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            stop.take_if(|(folder, _)| path.as_str().starts_with(folder.as_str()))
        };
        if let Some((_, come)) = come {
            let _ = come.send(());
            self.goes_on.notified().await;
        }
    }

    fn tell(&self, done: Done) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }
}

#[async_trait]
impl Store for Told {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        self.tell(Done::Read(path.clone()));
        self.inner.read(path, which).await
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        self.stops(path).await;
        self.tell(Done::Written(path.clone()));
        self.inner.write(path, document, expected).await
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        self.inner.list(folder).await
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        self.inner.versions(path).await
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        self.inner.destroy(path, versions).await
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        self.inner.remove(path).await
    }
}
