//! The labels of a secret: which version is current, which earlier ones are kept and until when, and which rotation holds it.

use super::Layout;
use donjon_drivers::store::{Document, Expected, Store, StoreError, Version, Which};
use donjon_policies::name::SecretName;
use serde::{Deserialize, Serialize};

/// What is known of a secret's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The version of this format.
    pub format: u32,
    /// The version that consumers read, as of the last rotation.
    pub current: Option<Version>,
    /// Earlier versions that are kept, the latest last: that one is `previous`.
    #[serde(default)]
    pub kept: Vec<Kept>,
    /// The rotation that holds this secret; a second one waits.
    pub rotation: Option<String>,
}

/// An earlier version that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The version.
    pub version: Version,
    /// When it is to be destroyed, in seconds since 1970.
    pub until: i64,
}

impl Labels {
    /// The version before the current one, while it is kept.
    pub fn previous(&self) -> Option<Version> {
        self.kept.last().map(|kept| kept.version)
    }

    /// These labels with one more version kept, as the previous one.
    pub fn keep(mut self, version: Version, until: i64) -> Self {
        self.kept.retain(|kept| kept.version != version);
        self.kept.push(Kept { version, until });
        self
    }
}

/// Labels as read, to be written only if they are still the same.
#[derive(Debug)]
pub struct Held {
    /// The labels.
    pub labels: Labels,
    expected: Expected,
}

/// Reads the labels of a secret; empty ones where there are none.
pub async fn read(store: &dyn Store, layout: &Layout, name: &SecretName) -> Result<Held, StoreError> {
    let path = layout.labels(name);
    match store.read(&path, Which::Latest).await? {
        None => Ok(Held { labels: Labels { format: FORMAT, ..Labels::default() }, expected: Expected::Absent }),
        Some(stored) => {
            let labels: Labels =
                stored.document.parse().map_err(|_| StoreError::Damaged { path: path.clone(), what: "no labels" })?;
            if labels.format > FORMAT {
                return Err(StoreError::Damaged { path, what: "written by a newer donjon" });
            }
            Ok(Held { labels, expected: Expected::Newest(stored.version) })
        }
    }
}

/// Writes labels over those that were read.
pub async fn write(
    store: &dyn Store,
    layout: &Layout,
    name: &SecretName,
    held: &Held,
    labels: &Labels,
) -> Result<(), StoreError> {
    let path = layout.labels(name);
    let document =
        Document::plain(labels).map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
    store.write(&path, &document, held.expected).await.map(|_| ())
}

const FORMAT: u32 = 1;
