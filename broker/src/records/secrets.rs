//! Secrets in a store: read, written with read-back, listed.

use super::{Layout, labels};
use donjon_drivers::store::{
    Document, Expected, Store, StoreError, Stored, Version, VersionInfo, Which, secret::SecretRecord,
};
use donjon_policies::name::{DeploymentName, SecretName};
use std::collections::BTreeMap;

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
    Ok(Some(Held { record: record(path, name, &stored)?, version: stored.version }))
}

/// What was read from a path, as a version of a secret.
pub fn record(
    path: &donjon_drivers::store::RecordPath,
    name: &SecretName,
    stored: &Stored,
) -> Result<SecretRecord, StoreError> {
    SecretRecord::from_document(name, &stored.document)
        .map_err(|_| StoreError::Damaged { path: path.clone(), what: "no record of this secret" })
}

/// Writes a version at a path and reads it back: once this returns, the value is durable and readable.
pub async fn write_at(
    store: &dyn Store,
    path: &donjon_drivers::store::RecordPath,
    record: &SecretRecord,
    expected: Expected,
) -> Result<Version, StoreError> {
    let version = write_unseen(store, path, record, expected).await?;
    see(store, path, record, version).await?;
    Ok(version)
}

/// Writes a version at a path, which [`see`] is to read back.
pub async fn write_unseen(
    store: &dyn Store,
    path: &donjon_drivers::store::RecordPath,
    record: &SecretRecord,
    expected: Expected,
) -> Result<Version, StoreError> {
    let unwritable = |_| StoreError::Damaged { path: path.clone(), what: "cannot be written as JSON" };
    let document: Document = record.to_document().map_err(unwritable)?;
    store.write(path, &document, expected).await
}

/// Reads back what was written.
pub async fn see(
    store: &dyn Store,
    path: &donjon_drivers::store::RecordPath,
    record: &SecretRecord,
    version: Version,
) -> Result<(), StoreError> {
    let damaged = |what| StoreError::Damaged { path: path.clone(), what };
    let back = read_at(store, path, &record.name, Which::Number(version))
        .await?
        .ok_or_else(|| damaged("not there after it was written"))?;
    if back.record.value.matches(&record.value) {
        Ok(())
    } else {
        Err(damaged("reads back otherwise than it was written"))
    }
}

/// Writes the next version of a secret that consumers can read, whoever wrote before.
pub async fn write(store: &dyn Store, layout: &Layout, record: &SecretRecord) -> Result<Version, StoreError> {
    let path = layout.secret(&record.name);
    let expected = after(&store.versions(&path).await?);
    write_at(store, &path, record, expected).await
}

/// As [`write`], for a value that a person gives: not while a rotation holds the secret. Its user stays who it is, one that
/// a rotation gave it too.
pub async fn put(store: &dyn Store, layout: &Layout, mut record: SecretRecord) -> Result<Version, PutError> {
    let path = layout.secret(&record.name);
    // In this order: a rotation that begins after the look at the labels finds the version changed, or changes it first.
    let expected = after(&store.versions(&path).await?);
    if let Some(id) = labels::read(store, layout, &record.name).await?.labels.rotation {
        return Err(PutError::Rotating(id));
    }
    let standing = read(store, layout, &record.name, Which::Latest).await?;
    record.user = standing.and_then(|held| held.record.user);
    Ok(write_at(store, &path, &record, expected).await?)
}

/// Why a value was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// A rotation holds the secret.
    #[error("it is being rotated ({0})")]
    Rotating(String),
    /// The store did not do its part.
    #[error("the store did not do its part")]
    Store(#[from] StoreError),
}

fn after(versions: &[VersionInfo]) -> Expected {
    newest(versions).map_or(Expected::Absent, Expected::Newest)
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

/// How many secrets the other deployments of the same store have, where they have any.
pub async fn of_others(store: &dyn Store, layout: &Layout) -> Result<BTreeMap<DeploymentName, usize>, StoreError> {
    let mut others = BTreeMap::new();
    for entry in store.list(&Layout::published()).await? {
        let Some(name) = entry.strip_suffix('/').and_then(|name| name.parse::<DeploymentName>().ok()) else { continue };
        let Ok(other) = Layout::new(name) else { continue };
        if other.deployment() == layout.deployment() {
            continue;
        }
        let count = names(store, &other).await?.len();
        if count > 0 {
            others.insert(other.deployment().clone(), count);
        }
    }
    Ok(others)
}
