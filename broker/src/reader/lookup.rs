//! Where the reader looks: the reading half of a store.

use async_trait::async_trait;
use donjon_drivers::store::{RecordPath, Store, StoreError, Stored, VersionInfo, Which};
use std::sync::Arc;

/// What can be read, and nothing that changes it.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// One version of a record, or `None` where there is none.
    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError>;

    /// The versions of a record, oldest first; empty where there is no such record.
    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError>;

    /// The names directly below a folder; folders end in `/`.
    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError>;
}

/// A store that is only read from.
pub struct OfStore(pub Arc<dyn Store>);

#[async_trait]
impl Lookup for OfStore {
    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        self.0.read(path, which).await
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        self.0.versions(path).await
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        self.0.list(folder).await
    }
}
