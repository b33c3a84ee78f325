//! Secrets in a store: read, written with read-back, listed.

use super::Layout;
use donjon_drivers::store::{Document, Expected, Store, StoreError, Version, VersionInfo, Which, secret::SecretRecord};
use donjon_policies::name::SecretName;

/// A version of a secret and its number.
#[derive(Debug)]
pub struct Held {
    /// What is stored.
    pub record: SecretRecord,
    /// Its version.
    pub version: Version,
}

/// Reads a version of a secret that consumers can read.
pub async fn read(
    store: &dyn Store,
    layout: &Layout,
    name: &SecretName,
    which: Which,
) -> Result<Option<Held>, StoreError> {
    read_at(store, &layout.secret(name), name, which).await
}

/// Reads a version of a secret from a path, such as its pending value.
pub async fn read_at(
    store: &dyn Store,
    path: &donjon_drivers::store::RecordPath,
    name: &SecretName,
    which: Which,
) -> Result<Option<Held>, StoreError> {
    let Some(stored) = store.read(path, which).await? else { return Ok(None) };
    let record = SecretRecord::from_document(name, &stored.document)
        .map_err(|_| StoreError::Damaged { path: path.clone(), what: "no record of this secret" })?;
    Ok(Some(Held { record, version: stored.version }))
}

/// Writes a version at a path and reads it back: once this returns, the value is durable and readable.
pub async fn write_at(
    store: &dyn Store,
    path: &donjon_drivers::store::RecordPath,
    record: &SecretRecord,
    expected: Expected,
) -> Result<Version, StoreError> {
    let damaged = |what| StoreError::Damaged { path: path.clone(), what };
    let document: Document = record.to_document().map_err(|_| damaged("cannot be written as JSON"))?;
    let version = store.write(path, &document, expected).await?;
    let back = read_at(store, path, &record.name, Which::Number(version))
        .await?
        .ok_or_else(|| damaged("not there after it was written"))?;
    if back.record.value.matches(&record.value) {
        Ok(version)
    } else {
        Err(damaged("reads back otherwise than it was written"))
    }
}

/// Writes the next version of a secret that consumers can read, whoever wrote before.
pub async fn write(store: &dyn Store, layout: &Layout, record: &SecretRecord) -> Result<Version, StoreError> {
    let path = layout.secret(&record.name);
    let expected = match newest(&store.versions(&path).await?) {
        None => Expected::Absent,
        Some(version) => Expected::Newest(version),
    };
    write_at(store, &path, record, expected).await
}

/// The newest version number ever written, present or not.
pub fn newest(versions: &[VersionInfo]) -> Option<Version> {
    versions.iter().map(|info| info.version).max()
}

/// The names of all secrets and views, in order.
pub async fn names(store: &dyn Store, layout: &Layout) -> Result<Vec<SecretName>, StoreError> {
    let listed = store.list(&layout.folder()).await?;
    Ok(listed.iter().filter_map(|name| name.parse().ok()).collect())
}
