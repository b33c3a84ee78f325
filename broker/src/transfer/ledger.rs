//! The ledger: for each scope, the last bundle that was exported, and who has shown to have opened it.

use super::{
    bundle::{Epoch, ManifestDigest, Scope},
    key::KeyId,
    private::{self, Places},
};
use donjon_drivers::{
    material::Material,
    store::{Expected, RecordPath, Store, StoreError, Version},
};
use serde::{Deserialize, Serialize};

/// The last bundle of one scope.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exported {
    pub(super) format: u32,
    /// For whom it was.
    pub scope: Scope,
    /// Its epoch.
    pub epoch: Epoch,
    /// Which bundle it is.
    pub digest: ManifestDigest,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// Who can open it.
    pub recipients: Vec<String>,
    /// What it holds: paths and versions.
    pub contents: Vec<Content>,
    /// What a receipt proves to know.
    #[serde(with = "private::secret_hex")]
    pub(super) receipt_key: Material,
    /// Who has opened it.
    pub receipts: Vec<Receipted>,
    /// When its host or site left, in seconds since 1970: nobody waits for its receipts any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<i64>,
}

/// One record of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its path.
    pub path: String,
    /// Its version.
    pub version: Version,
}

/// A receipt that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipted {
    /// Which node signed it.
    pub node: KeyId,
    /// When it says to have opened the bundle, in seconds since 1970.
    pub at: i64,
    /// When it was accepted, in seconds since 1970.
    pub recorded: i64,
    /// When the node says that all its consumers run on the bundle, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<i64>,
}

/// The entry of a scope, and what to expect when it is written next.
pub(super) async fn read(
    store: &dyn Store,
    places: &Places,
    scope: &Scope,
) -> Result<(Option<Exported>, Expected), StoreError> {
    read_at(store, &places.export(scope)).await
}

async fn read_at(store: &dyn Store, path: &RecordPath) -> Result<(Option<Exported>, Expected), StoreError> {
    let (entry, expected) = private::read::<Exported>(store, path).await?;
    match entry {
        Some(entry) if entry.format != FORMAT => {
            Err(StoreError::Damaged { path: path.clone(), what: "written by a newer donjon" })
        }
        entry => Ok((entry, expected)),
    }
}

/// Writes the entry of a scope.
pub(super) async fn write(
    store: &dyn Store,
    places: &Places,
    entry: &Exported,
    expected: Expected,
) -> Result<(), StoreError> {
    private::write(store, &places.export(&entry.scope), entry, expected).await
}

/// Every entry.
pub(super) async fn all(store: &dyn Store, places: &Places) -> Result<Vec<Exported>, StoreError> {
    let mut entries = Vec::new();
    for path in private::records_below(store, &places.exports()).await? {
        entries.extend(read_at(store, &path).await?.0);
    }
    Ok(entries)
}

pub(super) const FORMAT: u32 = 1;
