//! The journal of a rotation: one record in the store, moved by compare-and-set. It holds no value.

use super::subject::Way;
use crate::records::Layout;
use donjon_drivers::{
    drain::Standing,
    store::{Document, Expected, Store, StoreError, Version, Which},
    target::{Account, Mark},
};
use donjon_policies::{
    name::{HostName, SecretName, ServiceName, TargetName},
    transition::{Path, State},
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
    /// The way it goes.
    pub path: Path,
    /// Whether others know the old value: then it never comes back.
    #[serde(default)]
    pub compromised: bool,
    /// Whether the old value came back once in the trial; it does so at most once.
    #[serde(default)]
    pub returned: bool,
    /// What is rotated, in the order of the names.
    pub secrets: Vec<Item>,
    /// Where it stands.
    pub state: State,
    /// Every state it was in, and when, in microseconds since 1970.
    pub history: Vec<(State, i64)>,
    /// The process that drives it; another that takes over writes itself here first.
    pub broker: String,
    /// Those from which it was taken over, the latest last: one that stands still may have sessions open.
    #[serde(default)]
    pub former: Vec<Former>,
    /// Nodes' marks before the first consumer restarted, by target.
    pub marks: Marks,
    /// The epoch of the publication.
    pub epoch: Option<u64>,
    /// The consumers, as far as they were restarted.
    pub restarted: Vec<Restarted>,
    /// What it waits for, for a person.
    pub waiting: Option<String>,
    /// Where the records of refused logins ended when the old values were.
    #[serde(default)]
    pub watched: Points,
    /// Why it went back, where it did.
    #[serde(default)]
    pub undone: Option<String>,
}

/// Nodes' marks by target and node.
pub type Marks = BTreeMap<TargetName, BTreeMap<String, Mark>>;

/// Points in nodes' records of refused logins, by target and node.
pub type Points = BTreeMap<TargetName, BTreeMap<String, u64>>;

/// One secret of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The secret.
    pub secret: SecretName,
    /// The version that was current before.
    pub old: Version,
    /// The version that holds the new value, once published.
    pub new: Option<Version>,
    /// Where its value is accepted.
    pub credentials: Vec<Credential>,
}

/// The accounts of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The target.
    pub target: TargetName,
    /// How a new value gets there.
    pub way: Way,
    /// The users that have the old value.
    pub users: Vec<String>,
    /// The user that gets the new one, where that is another.
    pub twin: Option<String>,
    /// The accounts whose values are changed.
    pub accounts: Vec<Account>,
    /// Every account a login of the users could match.
    pub entries: Vec<Account>,
    /// Accounts that nobody can try from here and that the operator vouched for by name.
    pub vouched: Vec<Account>,
}

/// A process that drove a rotation until another took it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The process, as [`Journal::broker`] has it.
    pub broker: String,
    /// When it was taken over, in microseconds since 1970.
    pub until: i64,
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
    /// How its clients were led to it before, where they were led away.
    #[serde(default)]
    pub standing: Option<Standing>,
    /// Nodes' marks before it restarted, once it was acknowledged: its later sessions are of the new value.
    #[serde(default)]
    pub before: Marks,
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

impl Journal {
    /// The names of what is rotated.
    pub fn names(&self) -> Vec<SecretName> {
        self.secrets.iter().map(|item| item.secret.clone()).collect()
    }

    /// What is rotated, for messages: "`a`, `b`".
    pub fn named(&self) -> String {
        self.secrets.iter().map(|item| format!("`{}`", item.secret)).collect::<Vec<_>>().join(", ")
    }

    /// Names another process as the one that drives it, and remembers the one before, of which only the last few matter.
    pub fn succeed(&mut self, broker: &str, until: i64) {
        let before = std::mem::replace(&mut self.broker, broker.to_owned());
        self.former.retain(|former| former.broker != before && former.broker != broker);
        if before != broker {
            self.former.push(Former { broker: before, until });
        }
        self.former.drain(..self.former.len().saturating_sub(FORMER));
    }

    /// What is valid where it stands, for a person.
    pub fn meaning(&self) -> &'static str {
        self.path.meaning(self.state)
    }
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
        let all = Self::all(store, layout).await?;
        Ok(all.into_iter().filter(|held| !held.journal.state.ended()).collect())
    }

    /// Every journal there is, in the order of their names.
    pub async fn all(store: &dyn Store, layout: &Layout) -> Result<Vec<Self>, StoreError> {
        let mut found = Vec::new();
        for id in store.list(&layout.journals()).await? {
            found.extend(Self::read(store, layout, &id).await?);
        }
        Ok(found)
    }

    /// The version in which it was read or written.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether nobody else wrote it since.
    pub async fn is_newest(&self, store: &dyn Store, layout: &Layout) -> Result<bool, StoreError> {
        let stored = store.read(&layout.journal(&self.journal.id), Which::Latest).await?;
        Ok(stored.is_some_and(|stored| stored.version == self.version))
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

/// How many of those that drove a rotation before are remembered.
const FORMER: usize = 8;

/// The version of the journal's format.
pub const FORMAT: u32 = 1;
