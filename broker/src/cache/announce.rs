//! The daemon's store: what is written through it makes the cache forget, and a publication waits for other brokers' leases.

use super::{Cache, readers};
use async_trait::async_trait;
use donjon_drivers::store::{
    Capabilities, Document, Expected, RecordPath, Store, StoreError, Stored, Version, VersionInfo, Which,
};
use std::sync::Arc;

/// A store that tells the cache of every write, before and after it.
///
/// Reads go to the store itself: who rotates looks at what is there.
pub struct Announcing {
    inner: Arc<dyn Store>,
    cache: Arc<Cache>,
}

impl Announcing {
    /// Around a store.
    pub fn new(inner: Arc<dyn Store>, cache: Arc<Cache>) -> Self {
        Self { inner, cache }
    }
}

#[async_trait]
impl Store for Announcing {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        self.inner.read(path, which).await
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        self.cache.written(path);
        let written = self.inner.write(path, document, expected).await;
        // Also where it failed: whether it took effect is not known.
        self.cache.written(path);
        if written.is_ok() && *path == self.cache.layout().epoch() {
            readers::wait_out(&*self.inner, &self.cache).await;
        }
        written
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        self.inner.list(folder).await
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        self.inner.versions(path).await
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        self.cache.written(path);
        let destroyed = self.inner.destroy(path, versions).await;
        self.cache.written(path);
        destroyed
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        self.cache.written(path);
        let removed = self.inner.remove(path).await;
        self.cache.written(path);
        removed
    }
}
