//! The journal of a rotation: one record in the store, moved by compare-and-set. It holds no value.

use crate::records::Layout;
use donjon_drivers::{
    store::{Document, Expected, Store, StoreError, Version, Which},
    target::{Account, Mark},
};
use donjon_policies::{
    name::{HostName, SecretName, ServiceName, TargetName},
    transition::State,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a rotation has certainly done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The version of this format.
    pub format: u32,
    /// Its name.
    pub id: String,
    /// What is rotated.
    pub secret: SecretName,
    /// Where its value must be accepted.
    pub target: TargetName,
    /// The users whose accounts have the value.
    pub users: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// Every state it was in, and when, in microseconds since 1970.
    pub history: Vec<(State, i64)>,
    /// The process that drives it; another that takes over writes itself here first.
    pub broker: String,
    /// The version that was current before.
    pub old: Version,
    /// The version that holds the new value, once published.
    pub new: Option<Version>,
    /// The accounts whose values are changed.
    pub accounts: Vec<Account>,
    /// Every account a login of the user could match.
    pub entries: Vec<Account>,
    /// Accounts that nobody can try from here and that the operator vouched for by name.
    pub vouched: Vec<Account>,
    /// Nodes' marks before the first consumer restarted.
    pub marks: BTreeMap<String, Mark>,
    /// The epoch of the publication.
    pub epoch: Option<u64>,
    /// The consumers, as far as they were restarted.
    pub restarted: Vec<Restarted>,
    /// What it waits for, for a person.
    pub waiting: Option<String>,
    /// Why it went back, where it did.
    #[serde(default)]
    pub undone: Option<String>,
}

/// A consumer that was restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// The service.
    pub service: ServiceName,
    /// Its host.
    pub host: HostName,
    /// Whether it was proven on the new value.
    pub acknowledged: bool,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A journal as read, to be written only if nobody else wrote it since.
#[derive(Debug)]
pub struct Held {
    /// The journal.
    pub journal: Journal,
    version: Version,
}

impl Held {
    /// Writes a new journal.
    pub async fn create(store: &dyn Store, layout: &Layout, journal: Journal) -> Result<Self, StoreError> {
        let version = write(store, layout, &journal, Expected::Absent).await?;
        Ok(Self { journal, version })
    }

    /// Reads a journal.
    pub async fn read(store: &dyn Store, layout: &Layout, id: &str) -> Result<Option<Self>, StoreError> {
        let path = layout.journal(id);
        let Some(stored) = store.read(&path, Which::Latest).await? else { return Ok(None) };
        let damaged = |what| StoreError::Damaged { path: path.clone(), what };
        // First: what a newer one holds besides may not be understood.
        let Format { format } = stored.document.parse().map_err(|_| damaged("no journal"))?;
        if format > FORMAT {
            return Err(damaged("written by a newer donjon"));
        }
        let journal: Journal = stored.document.parse().map_err(|_| damaged("no journal"))?;
        Ok(Some(Self { journal, version: stored.version }))
    }

    /// Every journal that has not ended, in the order of their names.
    pub async fn unfinished(store: &dyn Store, layout: &Layout) -> Result<Vec<Self>, StoreError> {
        let mut found = Vec::new();
        for id in store.list(&layout.journals()).await? {
            found.extend(Self::read(store, layout, &id).await?.filter(|held| !held.journal.state.ended()));
        }
        Ok(found)
    }

    /// Writes the journal as it is now. A conflict means that another broker drives this rotation.
    pub async fn save(&mut self, store: &dyn Store, layout: &Layout) -> Result<(), StoreError> {
        self.version = write(store, layout, &self.journal, Expected::Newest(self.version)).await?;
        Ok(())
    }
}

async fn write(
    store: &dyn Store,
    layout: &Layout,
    journal: &Journal,
    expected: Expected,
) -> Result<Version, StoreError> {
    let path = layout.journal(&journal.id);
    let document =
        Document::plain(journal).map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
    store.write(&path, &document, expected).await
}

/// The version of the journal's format.
pub const FORMAT: u32 = 1;
