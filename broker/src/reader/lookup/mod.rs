//! Where the reader looks: a bundle that was opened, or the daemon of this host.

mod bundle;
mod daemon;

pub use bundle::OfBundle;
pub use daemon::OfDaemon;

use async_trait::async_trait;
use donjon_drivers::store::{RecordPath, StoreError, Stored, VersionInfo, Which};
use donjon_policies::name::RoleName;

/// What can be read, and nothing that changes it. Who may read what is decided before it is asked.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Whether anything can be read now.
    async fn standing(&self) -> Standing;

    /// One version of a record, for a role that was granted it; `None` where there is none.
    async fn read(&self, role: &RoleName, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError>;

    /// The newest version of each record, all of one epoch; `None` for each that is not there.
    async fn read_together(&self, role: &RoleName, paths: &[RecordPath]) -> Result<Vec<Option<Stored>>, StoreError>;

    /// The versions of a record, oldest first; empty where there is no such record.
    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError>;

    /// The names directly below a folder; folders end in `/`.
    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError>;
}

/// Whether anything can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Open,
    /// Nothing can, whoever asks: to clients it is as good as a sealed Vault.
    Sealed,
}
