//! What other brokers of the same store do at this moment: a deployer that runs under one of them sets passwords itself, and a
//! rotation that one of them drives restarts services.
//!
//! Whoever begins either writes first (its record here, or its journal) and then looks for the other: of two that begin at
//! once, at least one sees the other.

use super::{
    heartbeat::{self, Broker, Pace},
    journal::{Held, Journal},
};
use crate::records::Layout;
use donjon_drivers::store::{Document, Expected, RecordPath, Store, StoreError, Which};
use donjon_policies::transition::State;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

/// A deployer that runs under this broker, as others see it.
#[derive(Debug)]
pub struct Deployer {
    path: RecordPath,
    broker: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    /// The broker under which it runs.
    broker: String,
    beats: u64,
}

impl Deployer {
    /// Tells others of one.
    pub async fn announce(store: &dyn Store, layout: &Layout, broker: &Broker) -> Result<Self, StoreError> {
        let path = layout.private(&format!("{FOLDER}/{:016x}", rand::random::<u64>()));
        let own = Self { path, broker: broker.to_string() };
        own.write(store, 0).await?;
        Ok(own)
    }

    /// Says that it runs still, again and again, for as long as it does.
    pub async fn beating<T>(&self, store: &dyn Store, pace: Pace, runs: impl Future<Output = T>) -> T {
        heartbeat::beats(pace, runs, |beats| async move {
            // The next beat tries again.
            if let Err(error) = self.write(store, beats).await {
                tracing::debug!(%error, "a deployer's heartbeat was not written");
            }
        })
        .await
    }

    /// Takes that back. What cannot be taken back has no beats any more.
    pub async fn ended(self, store: &dyn Store) {
        if let Err(error) = store.remove(&self.path).await {
            tracing::debug!(%error, "the record of a deployer stays");
        }
    }

    /// Over whatever is there: a reply may have been lost, or somebody may have taken it for ended.
    async fn write(&self, store: &dyn Store, beats: u64) -> Result<(), StoreError> {
        let record = Record { format: FORMAT, broker: self.broker.clone(), beats };
        let document = Document::plain(&record)
            .map_err(|_| StoreError::Damaged { path: self.path.clone(), what: "no JSON object" })?;
        let there = store.read(&self.path, Which::Latest).await?;
        let expected = there.map_or(Expected::Absent, |there| Expected::Newest(there.version));
        store.write(&self.path, &document, expected).await.map(drop)
    }
}

/// A broker under which a deployer runs at this moment, where it is another one.
pub async fn deployer(
    store: &dyn Store,
    layout: &Layout,
    own: &Broker,
    pace: Pace,
) -> Result<Option<Broker>, StoreError> {
    let names = store.list(&layout.private(FOLDER)).await?;
    let paths = names.iter().map(|name| layout.private(&format!("{FOLDER}/{name}")));
    let asked = try_join_all(paths.map(async |path| runs(store, &path, own, pace).await)).await?;
    Ok(asked.into_iter().flatten().next())
}

async fn runs(store: &dyn Store, path: &RecordPath, own: &Broker, pace: Pace) -> Result<Option<Broker>, StoreError> {
    let Some(found) = store.read(path, Which::Latest).await? else { return Ok(None) };
    let broker = found.document.parse::<Record>().ok().and_then(|record| record.broker.parse::<Broker>().ok());
    let Some(broker) = broker else {
        return Err(StoreError::Damaged { path: path.clone(), what: "no record of a deployer" });
    };
    if broker.number() == own.number() {
        return Ok(None);
    }
    let before = [(path.clone(), Some(found.version))];
    if !broker.has_ended() && heartbeat::changes(store, &before, pace).await? {
        // Another version, or none: then it has ended meanwhile.
        return Ok(store.read(path, Which::Latest).await?.map(|_| broker));
    }
    // It was killed, and nobody else takes its record back.
    store.remove(path).await?;
    Ok(None)
}

/// A rotation that another broker drives at this moment, beside this broker's `own`. One that merely waits for something is
/// none.
pub async fn rotation(
    store: &dyn Store,
    layout: &Layout,
    broker: &Broker,
    own: Option<&Journal>,
    pace: Pace,
) -> Result<Option<Held>, StoreError> {
    let unfinished = Held::unfinished(store, layout).await?;
    // Whoever says that it waits has stopped, until somebody resumes it.
    let moving = |held: &Held| held.journal.waiting.is_none() && held.journal.broker != broker.to_string();
    let others = unfinished.into_iter().filter(moving);
    let asked = others.map(async |held| Ok(is_in_the_way(store, layout, own, &held, pace).await?.then_some(held)));
    Ok(try_join_all(asked).await?.into_iter().flatten().next())
}

/// Of two that begin at once each sees the other's journal, where nothing moves yet: the one that began later stops at once,
/// the earlier one waits for that.
async fn is_in_the_way(
    store: &dyn Store,
    layout: &Layout,
    own: Option<&Journal>,
    other: &Held,
    pace: Pace,
) -> Result<bool, StoreError> {
    let begins = other.journal.state == State::Planned && !heartbeat::has_ended(&other.journal.broker);
    if begins && own.is_none_or(|own| began(&other.journal) < began(own)) {
        return Ok(true);
    }
    if !heartbeat::drives(store, layout, other, pace).await? {
        return Ok(false);
    }
    let now = Held::read_at(store, &layout.journal(&other.journal.id)).await?;
    Ok(now.is_some_and(|now| !now.journal.state.ended()))
}

/// In which order they began; clocks that differ make it another one, which is the same for both.
fn began(journal: &Journal) -> (i64, &str) {
    (journal.history.first().map_or(0, |(_, at)| *at), &journal.id)
}

const FOLDER: &str = "deployers";
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;
    use donjon_policies::transition::Path;
    use std::time::Duration;

    const QUICK: Pace = Pace { every: Duration::from_millis(40), patience: Duration::from_secs(1) };

    #[tokio::test]
    async fn a_deployer_is_seen_by_others_for_as_long_as_it_beats() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let (own, other) = (Broker::own(), Broker::own());
        let seen = async || deployer(&store, &layout, &own, QUICK).await.unwrap();
        assert_eq!(seen().await, None);
        let runs = Deployer::announce(&store, &layout, &other).await.unwrap();
        let watched = runs.beating(&store, QUICK, seen()).await;
        assert_eq!(watched.as_ref(), Some(&other));
        assert_eq!(deployer(&store, &layout, &other, QUICK).await.unwrap(), None, "its own broker knows it better");

        // A beat that was written and whose reply was lost stops no later one.
        runs.write(&store, 99).await.unwrap();
        let watched = runs.beating(&store, QUICK, seen()).await;
        assert_eq!(watched.as_ref(), Some(&other));

        // Silent for too long, it is taken for ended; and it is seen again once it beats again.
        assert_eq!(seen().await, None);
        assert_eq!(store.list(&layout.private(FOLDER)).await.unwrap(), Vec::<String>::new());
        runs.beating(&store, QUICK, tokio::time::sleep(QUICK.every * 3)).await;
        let watched = runs.beating(&store, QUICK, seen()).await;
        assert_eq!(watched.as_ref(), Some(&other));
        let ends = async {
            tokio::time::sleep(QUICK.every).await;
            runs.ended(&store).await;
        };
        assert_eq!(tokio::join!(seen(), ends).0, None, "it ended while it was watched");
    }

    #[tokio::test]
    async fn of_two_rotations_that_begin_at_once_the_later_one_stops() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let (own, other) = (Broker::own().to_string(), Broker::own().to_string());
        let begun = async |id: &str, broker: &str, at| {
            let journal = Journal::new(id.to_owned(), Path::Overlap, Vec::new(), broker, at);
            Held::create(&store, &layout, journal).await.unwrap()
        };
        let earlier = begun("x.1", &own, 1).await;
        let mut later = begun("x.2", &other, 2).await;
        let in_the_way = async |own: &Journal| {
            let found = rotation(&store, &layout, &own.broker.parse().unwrap(), Some(own), QUICK).await.unwrap();
            found.map(|held| held.journal.id)
        };
        assert_eq!(in_the_way(&later.journal).await.as_deref(), Some("x.1"), "at once, though nothing moves");
        assert_eq!(in_the_way(&earlier.journal).await, None, "one that stalls there looks again before it goes on");

        let mut moves = async |state| {
            tokio::time::sleep(QUICK.every).await;
            later.journal.state = state;
            later.save(&store, &layout).await.unwrap();
        };
        // It had looked before the earlier one was there.
        let (found, ()) = tokio::join!(in_the_way(&earlier.journal), moves(State::Staged));
        assert_eq!(found.as_deref(), Some("x.2"));
        let (found, ()) = tokio::join!(in_the_way(&earlier.journal), moves(State::Aborted));
        assert_eq!(found, None, "it has stopped");
    }
}
