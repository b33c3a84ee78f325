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

/// A rotation of another broker that is in the way.
#[derive(Debug)]
pub enum Other {
    /// That broker drives it.
    Driven(Held),
    /// It has begun and has not moved, and that broker says nothing: it may have looked already, and go on any time.
    Begun(Held),
}

/// A rotation of another broker that is in the way of this broker's `own`. One that merely waits for something is not.
pub async fn rotation(
    store: &dyn Store,
    layout: &Layout,
    broker: &Broker,
    own: Option<&Journal>,
    pace: Pace,
) -> Result<Option<Other>, StoreError> {
    let unfinished = Held::unfinished(store, layout).await?;
    // Whoever says that it waits has stopped, until somebody resumes it.
    let moving = |held: &Held| held.journal.waiting.is_none() && held.journal.broker != broker.to_string();
    let others = unfinished.into_iter().filter(moving);
    let asked = try_join_all(others.map(async |held| in_the_way(store, layout, own, held, pace).await)).await?;
    let (driven, begun): (Vec<_>, Vec<_>) =
        asked.into_iter().flatten().partition(|other| matches!(other, Other::Driven(_)));
    Ok(driven.into_iter().chain(begun).next())
}

/// Of two that begin or go on at once each sees the other's journal, where nothing moves yet: the one that came later stops, the
/// earlier one waits for that.
async fn in_the_way(
    store: &dyn Store,
    layout: &Layout,
    own: Option<&Journal>,
    mut other: Held,
    pace: Pace,
) -> Result<Option<Other>, StoreError> {
    let end = tokio::time::Instant::now() + pace.patience;
    let mut lives = false;
    loop {
        let patience = end.saturating_duration_since(tokio::time::Instant::now());
        if heartbeat::has_ended(&other.journal.broker) {
            return Ok(None);
        }
        if !heartbeat::drives(store, layout, &other, Pace { patience, ..pace }).await? {
            break;
        }
        let now = Held::read_at(store, &layout.journal(&other.journal.id)).await?;
        let goes_on = |now: &Held| !now.journal.state.ended() && now.journal.waiting.is_none();
        let Some(now) = now.filter(goes_on) else { return Ok(None) };
        if !comes_later(&now.journal, own) {
            return Ok(Some(Other::Driven(now)));
        }
        (other, lives) = (now, true);
    }
    Ok(match () {
        () if lives => Some(Other::Driven(other)),
        () if other.journal.state == State::Planned && !comes_later(&other.journal, own) => Some(Other::Begun(other)),
        () => None,
    })
}

/// Whether this one is about to begin, or to go on, and came later than `own`, which is, too.
fn comes_later(other: &Journal, own: Option<&Journal>) -> bool {
    came(other).zip(own.and_then(came)).is_some_and(|(other, own)| other > own)
}

/// In which order those came of which nothing moves yet; clocks that differ make it another one, which is the same for both.
fn came(journal: &Journal) -> Option<(i64, &str)> {
    let began = || journal.history.first().map_or(0, |(_, at)| *at);
    let planned = journal.state == State::Planned;
    Some((journal.looking.or_else(|| planned.then(began))?, &journal.id))
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
        let (own, other) = (Broker::own(), Broker::own());
        let begun = async |id: &str, broker: &Broker, at| {
            let journal = Journal::new(id.to_owned(), Path::Overlap, Vec::new(), &broker.to_string(), at);
            Held::create(&store, &layout, journal).await.unwrap()
        };
        let earlier = begun("x.1", &own, 1).await;
        let mut later = begun("x.2", &other, 2).await;
        let in_the_way = async |own: &Journal| {
            let found = rotation(&store, &layout, &own.broker.parse().unwrap(), Some(own), QUICK).await.unwrap();
            found.map(|other| match other {
                Other::Driven(held) => (held.journal.id, "driven"),
                Other::Begun(held) => (held.journal.id, "begun"),
            })
        };
        let found = |id: &str, how| Some((id.to_owned(), how));
        assert_eq!(
            in_the_way(&later.journal).await,
            found("x.1", "begun"),
            "though nothing moves, and nobody says more"
        );
        assert_eq!(in_the_way(&earlier.journal).await, None, "one that stalls there looks again before it goes on");
        let (first, second) = (&earlier.journal, &later.journal);
        let beats = async |beats| heartbeat::tests::told(&store, &layout, &own, beats).await;
        assert_eq!(heartbeat::beats(QUICK, in_the_way(second), beats).await, found("x.1", "driven"));
        let none = rotation(&store, &layout, &Broker::own(), None, QUICK).await.unwrap();
        assert!(matches!(none, Some(Other::Begun(_))), "in the way of what is no rotation: {none:?}");
        assert_eq!(first.state, State::Planned);

        let mut moves = async |state| {
            tokio::time::sleep(QUICK.every).await;
            later.journal.state = state;
            later.save(&store, &layout).await.unwrap();
        };
        // It had looked before the earlier one was there.
        let (found, ()) = tokio::join!(in_the_way(&earlier.journal), moves(State::Staged));
        assert_eq!(found, Some(("x.2".to_owned(), "driven")));
        let (found, ()) = tokio::join!(in_the_way(&earlier.journal), moves(State::Aborted));
        assert_eq!(found, None, "it has stopped");
    }
    #[tokio::test]
    async fn of_two_that_go_on_at_once_exactly_one_stops() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let taken_over = async |id: &str, at| {
            let journal = Journal::new(id.to_owned(), Path::Overlap, Vec::new(), &Broker::own().to_string(), 0);
            let journal = Journal { state: State::Rolling, looking: Some(at), ..journal };
            Held::create(&store, &layout, journal).await.unwrap()
        };
        // Each is seen to live by the other, while both merely look.
        let stops = async |mut held: Held| {
            let own = held.journal.clone();
            let broker: Broker = own.broker.parse().unwrap();
            let looks = rotation(&store, &layout, &broker, Some(&own), QUICK);
            let beats = async |beats| heartbeat::tests::told(&store, &layout, &broker, beats).await;
            let stops = heartbeat::beats(QUICK, looks, beats).await.unwrap().is_some();
            held.journal.looking = None;
            held.journal.waiting = stops.then(|| "for the other".to_owned());
            held.save(&store, &layout).await.unwrap();
            stops
        };
        let (first, second) = (taken_over("z.1", 1).await, taken_over("a.1", 2).await);
        let (first, second) = tokio::join!(stops(first), stops(second));
        assert!(!first && second, "{first} {second}");
    }
}
