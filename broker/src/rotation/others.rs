//! What other brokers of the same store do at this moment: a deployer that runs under one of them sets passwords itself, and a
//! rotation that one of them drives restarts services.
//!
//! Whoever begins either writes first (its record here, or its journal) and then looks for the other: of two that begin at
//! once, at least one sees the other.

use super::{
    heartbeat::{self, Broker, Pace},
    journal::Held,
};
use crate::records::Layout;
use donjon_drivers::store::{Document, Expected, RecordPath, Store, StoreError, Version, Which};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

/// A deployer that runs under this broker, as others see it.
#[derive(Debug)]
pub struct Deployer {
    path: RecordPath,
    broker: String,
    version: Version,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    /// The broker under which it runs.
    broker: String,
    beats: u64,
}

impl Deployer {
    /// Tells others of one, by its process on this host.
    pub async fn announce(
        store: &dyn Store,
        layout: &Layout,
        broker: &Broker,
        process: i32,
    ) -> Result<Self, StoreError> {
        let path = layout.private(&format!("{FOLDER}/{:016x}-{process}", broker.number()));
        let mut own = Self { path, broker: broker.to_string(), version: Version(0) };
        own.write(store, 0, Expected::Absent).await?;
        Ok(own)
    }

    /// Says that it runs still, again and again.
    pub async fn beat(&mut self, store: &dyn Store, pace: Pace) -> Infallible {
        let mut beats = 0_u64;
        loop {
            tokio::time::sleep(pace.every).await;
            beats += 1;
            let told = match self.write(store, beats, Expected::Newest(self.version)).await {
                // It was silent for so long that somebody took it for ended.
                Err(StoreError::Conflict { .. }) => self.write(store, beats, Expected::Absent).await,
                told => told,
            };
            // The next beat tries again.
            if let Err(error) = told {
                tracing::debug!(%error, "a deployer's heartbeat was not written");
            }
        }
    }

    /// Takes that back. What cannot be taken back has no beats any more.
    pub async fn ended(self, store: &dyn Store) {
        if let Err(error) = store.remove(&self.path).await {
            tracing::debug!(%error, "the record of a deployer stays");
        }
    }

    async fn write(&mut self, store: &dyn Store, beats: u64, expected: Expected) -> Result<(), StoreError> {
        let record = Record { format: FORMAT, broker: self.broker.clone(), beats };
        let document = Document::plain(&record)
            .map_err(|_| StoreError::Damaged { path: self.path.clone(), what: "no JSON object" })?;
        self.version = store.write(&self.path, &document, expected).await?;
        Ok(())
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

/// A rotation that another broker drives at this moment. One that merely waits for something is none.
pub async fn rotation(
    store: &dyn Store,
    layout: &Layout,
    own: &Broker,
    pace: Pace,
) -> Result<Option<Held>, StoreError> {
    let unfinished = Held::unfinished(store, layout).await?;
    // Whoever says that it waits has stopped, until somebody resumes it.
    let moving = |held: &Held| held.journal.waiting.is_none() && held.journal.broker != own.to_string();
    let others = unfinished.into_iter().filter(moving);
    let asked = others.map(async |held| Ok(heartbeat::drives(store, layout, &held, pace).await?.then_some(held)));
    Ok(try_join_all(asked).await?.into_iter().flatten().next())
}

const FOLDER: &str = "deployers";
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;
    use std::time::Duration;

    const QUICK: Pace = Pace { every: Duration::from_millis(40), patience: Duration::from_secs(1) };

    #[tokio::test]
    async fn a_deployer_is_seen_by_others_for_as_long_as_it_beats() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let (own, other) = (Broker::own(), Broker::own());
        let seen = async || deployer(&store, &layout, &own, QUICK).await.unwrap();
        assert_eq!(seen().await, None);
        let mut runs = Deployer::announce(&store, &layout, &other, 7).await.unwrap();
        let watched = tokio::select! {
            never = runs.beat(&store, QUICK) => match never {},
            watched = seen() => watched,
        };
        assert_eq!(watched.as_ref(), Some(&other));
        assert_eq!(deployer(&store, &layout, &other, QUICK).await.unwrap(), None, "its own broker knows it better");

        // Silent for too long, it is taken for ended; and it is seen again once it beats again.
        assert_eq!(seen().await, None);
        assert_eq!(store.list(&layout.private(FOLDER)).await.unwrap(), Vec::<String>::new());
        let again = tokio::time::timeout(QUICK.every * 3, runs.beat(&store, QUICK)).await;
        assert!(again.is_err(), "it beats for ever");
        let watched = tokio::select! {
            never = runs.beat(&store, QUICK) => match never {},
            watched = seen() => watched,
        };
        assert_eq!(watched.as_ref(), Some(&other));
        let ends = async {
            tokio::time::sleep(QUICK.every).await;
            runs.ended(&store).await;
        };
        assert_eq!(tokio::join!(seen(), ends).0, None, "it ended while it was watched");
    }
}
