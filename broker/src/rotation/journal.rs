//! The journal of a rotation: one record in the store, moved by compare-and-set. It holds no value.

use super::subject::Way;
use crate::records::Layout;
use donjon_drivers::{
    drain::Standing,
    store::{Document, Expected, RecordPath, Store, StoreError, Version, Which},
    target::{Account, Mark},
};
use donjon_policies::{
    name::{HostName, SecretName, ServiceName, TargetName},
    transition::{self, Event, Path, State},
};
use futures_util::{StreamExt, TryStreamExt, stream};
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
    /// Since when whoever has taken it over looks for others in its way, in microseconds since 1970; until then nothing moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looking: Option<i64>,
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

    /// The journal of a rotation that begins now, in microseconds since 1970.
    pub fn new(id: String, path: Path, secrets: Vec<Item>, broker: &str, now: i64) -> Self {
        Self {
            format: FORMAT,
            id,
            path,
            compromised: false,
            returned: false,
            secrets,
            state: State::Planned,
            history: vec![(State::Planned, now)],
            broker: broker.to_owned(),
            former: Vec::new(),
            marks: BTreeMap::new(),
            epoch: None,
            restarted: Vec::new(),
            waiting: None,
            looking: None,
            watched: BTreeMap::new(),
            undone: None,
        }
    }

    /// The name of a rotation that begins now, in microseconds since 1970; `what` is what it rotates, in a word.
    pub fn id(what: &str, now: i64) -> String {
        format!("{what}.{now}.{:08x}", rand::random::<u32>())
    }

    /// When the rotation of this name began, in microseconds since 1970.
    pub fn began(id: &str) -> Option<i64> {
        id.rsplit('.').nth(1)?.parse().ok()
    }

    /// What is valid where it stands, for a person.
    pub fn meaning(&self) -> &'static str {
        self.path.meaning(self.state)
    }
}

impl Journal {
    /// Whether it may be aborted from where it says that it stands.
    pub fn may_abort(&self) -> bool {
        may_abort(self.path, self.state)
    }
}

/// Whether a rotation on this path may be aborted where it stands so, as far as that says.
pub fn may_abort(path: Path, state: State) -> bool {
    state != State::Aborting && transition::next(path, state, Event::AbortAsked).is_ok()
}

impl Held {
    /// Writes a new journal.
    pub async fn create(store: &dyn Store, layout: &Layout, journal: Journal) -> Result<Self, StoreError> {
        let version = write(store, &layout.journal(&journal.id), &journal, Expected::Absent).await?;
        Ok(Self { journal, version })
    }

    /// Reads a journal, laid aside or not.
    pub async fn read(store: &dyn Store, layout: &Layout, id: &str) -> Result<Option<Self>, StoreError> {
        // In this order: one that is laid aside meanwhile is met in one of the two places at least.
        match Self::read_at(store, &layout.journal(id)).await? {
            Some(held) => Ok(Some(held)),
            None => Self::read_at(store, &layout.journal_aside(id)).await,
        }
    }

    /// Every journal that has not ended, in the order of their names.
    pub async fn unfinished(store: &dyn Store, layout: &Layout) -> Result<Vec<Self>, StoreError> {
        let found = Self::current(store, layout).await?;
        Ok(found.into_iter().filter(|held| !held.journal.state.ended()).collect())
    }

    /// Every journal there is, those laid aside among them, in the order of their names.
    pub async fn all(store: &dyn Store, layout: &Layout) -> Result<Vec<Self>, StoreError> {
        // In this order: one that is laid aside meanwhile is met in one of the two places at least.
        let current = Self::current(store, layout).await?;
        let paths = store.list(&layout.journals_aside()).await?.into_iter().map(|id| layout.journal_aside(&id));
        let aside = Self::each(store, paths.collect()).await?;
        let found = current.into_iter().chain(aside).map(|held| (held.journal.id.clone(), held));
        Ok(found.collect::<BTreeMap<_, _>>().into_values().collect())
    }

    /// Every journal that is not laid aside: what has not ended, and what has just now.
    pub async fn current(store: &dyn Store, layout: &Layout) -> Result<Vec<Self>, StoreError> {
        let ids = store.list(&layout.journals()).await?;
        Self::each(store, ids.iter().map(|id| layout.journal(id)).collect()).await
    }

    /// Lays the journal of a rotation that has ended aside, so that whoever looks for those that have not reads no more for
    /// each that ever was. Done twice it is as good as once.
    pub async fn lay_aside(&self, store: &dyn Store, layout: &Layout) -> Result<(), StoreError> {
        let id = &self.journal.id;
        match write(store, &layout.journal_aside(id), &self.journal, Expected::Absent).await {
            // Whoever began this before was killed between the two: it holds the same, since nothing follows an end.
            Ok(_) | Err(StoreError::Conflict { .. }) => store.remove(&layout.journal(id)).await,
            Err(other) => Err(other),
        }
    }

    /// Reads the journals at these paths, some at once.
    async fn each(store: &dyn Store, paths: Vec<RecordPath>) -> Result<Vec<Self>, StoreError> {
        let reads: Vec<_> = paths.iter().map(|path| Self::read_at(store, path)).collect();
        let read: Vec<_> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Reads one, if it is there.
    pub async fn read_at(store: &dyn Store, path: &RecordPath) -> Result<Option<Self>, StoreError> {
        let Some(stored) = store.read(path, Which::Latest).await? else { return Ok(None) };
        let damaged = |what| StoreError::Damaged { path: path.clone(), what };
        // First: what a newer one holds besides may not be understood.
        let Format { format } = stored.document.parse().map_err(|_| damaged("no journal"))?;
        if format > FORMAT {
            return Err(damaged("written by a newer donjon"));
        }
        let journal: Journal = stored.document.parse().map_err(|_| damaged("no journal"))?;
        Ok(Some(Self { journal, version: stored.version }))
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
        let path = layout.journal(&self.journal.id);
        self.version = write(store, &path, &self.journal, Expected::Newest(self.version)).await?;
        Ok(())
    }
}

async fn write(
    store: &dyn Store,
    path: &RecordPath,
    journal: &Journal,
    expected: Expected,
) -> Result<Version, StoreError> {
    let document =
        Document::plain(journal).map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
    store.write(path, &document, expected).await
}

/// Journals that are read at once.
const AT_ONCE: usize = 16;

/// How many of those that drove a rotation before are remembered.
const FORMER: usize = 8;

/// The version of the journal's format.
pub const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    fn journal(id: &str) -> Journal {
        Journal::new(id.to_owned(), Path::Overlap, Vec::new(), "a", 0)
    }

    #[test]
    fn a_journal_that_was_cut_or_altered_is_read_or_refused_and_never_a_panic() {
        let mut whole = journal(&Journal::id("database_password", 1_700_000_000_000_001));
        whole.succeed("b", 7);
        let text = serde_json::to_vec(&whole).unwrap();
        assert_eq!(serde_json::from_slice::<Journal>(&text).unwrap().id, whole.id, "the control");
        for length in 0..text.len() {
            assert!(serde_json::from_slice::<Journal>(&text[..length]).is_err(), "cut after {length} bytes");
        }
        let mut read = 0;
        for (at, bit) in (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut altered = text.clone();
            altered[at] ^= 1 << bit;
            if let Ok(journal) = serde_json::from_slice::<Journal>(&altered) {
                read += usize::from(journal.named().is_empty() && Journal::began(&journal.id).is_some());
            }
        }
        assert!(read > 0, "some bits are of texts, and make others of them");
    }

    #[test]
    fn an_abort_is_offered_where_it_may_be_and_nowhere_else() {
        let at = |state| Journal { state, ..journal("a") }.may_abort();
        assert!([State::Planned, State::Staged, State::Added].into_iter().all(at));
        assert!(![State::Published, State::Rolling, State::Drained, State::Trial, State::Aborting].into_iter().any(at));
    }

    #[test]
    fn a_name_tells_when_the_rotation_began() {
        assert_eq!(Journal::began(&Journal::id("nova_password", 1_700_000_000_000_001)), Some(1_700_000_000_000_001));
        assert_eq!(Journal::began("x.1"), None);
    }

    #[tokio::test]
    async fn what_has_ended_is_laid_aside_and_still_known() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let ids = |held: Vec<Held>| held.into_iter().map(|held| held.journal.id).collect::<Vec<_>>();
        for id in ["b", "a"] {
            Held::create(&store, &layout, journal(id)).await.unwrap();
        }
        let mut stalled = Held::read(&store, &layout, "a").await.unwrap().unwrap();
        let mut ended = Held::read(&store, &layout, "a").await.unwrap().unwrap();
        ended.journal.state = State::Retired;
        ended.save(&store, &layout).await.unwrap();
        // Killed between the two halves, and done again.
        write(&store, &layout.journal_aside("a"), &ended.journal, Expected::Absent).await.unwrap();
        assert_eq!(ids(Held::all(&store, &layout).await.unwrap()), ["a", "b"], "in two places, and told once");
        for _ in 0..2 {
            ended.lay_aside(&store, &layout).await.unwrap();
        }
        assert_eq!(ids(Held::current(&store, &layout).await.unwrap()), ["b"]);
        assert_eq!(ids(Held::unfinished(&store, &layout).await.unwrap()), ["b"]);
        assert_eq!(Held::read(&store, &layout, "a").await.unwrap().unwrap().journal, ended.journal);
        let all = Held::all(&store, &layout).await.unwrap();
        assert_eq!(all[0].journal, ended.journal);
        assert_eq!(ids(all), ["a", "b"]);

        // A broker that slept through it learns that it has lost, and cannot bring the journal back.
        assert!(!stalled.is_newest(&store, &layout).await.unwrap());
        let late = stalled.save(&store, &layout).await;
        assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    }
}
