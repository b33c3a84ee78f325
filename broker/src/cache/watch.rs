//! Polls the epoch for as long as somebody asks for values.

use super::{Cache, readers};
use crate::records::epoch;
use donjon_drivers::store::{Store, StoreError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What stands behind the cache just now.
pub enum Behind {
    /// The store.
    Store(Arc<dyn Store>),
    /// A store that is away for a moment, as while its server is started again.
    Away,
    /// A store that may not be read, as one that is sealed.
    Closed,
}

/// Polls until it is dropped.
pub async fn run(cache: &Cache, behind: impl Fn() -> Behind) {
    if cache.lease().is_zero() {
        return;
    }
    loop {
        cache.wanted().await;
        while cache.in_use(IN_USE, Instant::now()) {
            look(cache, behind()).await;
            tokio::time::sleep(EVERY).await;
        }
        rest(cache, behind()).await;
    }
}

/// Forgets everything, and lets the other brokers no longer wait for this one.
pub async fn rest(cache: &Cache, behind: Behind) {
    let announced = cache.is_announced();
    cache.retire();
    if let (true, Behind::Store(store)) = (announced, behind) {
        // What is left behind costs the others a moment at each publication, and this one finds it again.
        if let Err(error) = readers::retire(&*store, cache).await {
            tracing::debug!(%error, "the record of this broker's lease is still there");
        }
    }
}

async fn look(cache: &Cache, behind: Behind) {
    let store = match behind {
        Behind::Store(store) => store,
        Behind::Away => return,
        Behind::Closed => return cache.forget(),
    };
    let looked = async {
        if !cache.is_announced() {
            readers::announce(&*store, cache).await?;
            cache.announced();
        }
        let asking = cache.ask(Instant::now());
        cache.see(asking, epoch::read(&*store, cache.layout()).await?);
        Ok(())
    };
    match tokio::time::timeout(cache.lease(), looked).await {
        Ok(Ok(())) => {}
        // The lease runs out by itself.
        Err(_) | Ok(Err(StoreError::Unreachable { .. } | StoreError::Full { .. })) => {}
        Ok(Err(
            error @ (StoreError::Sealed
            | StoreError::Denied { .. }
            | StoreError::Conflict { .. }
            | StoreError::Damaged { .. }
            | StoreError::Answer { .. }),
        )) => {
            tracing::debug!(%error, "the epoch cannot be read, so nothing is answered from memory");
            cache.forget();
        }
    }
}

/// A quarter of a second at most, with the time that an answer takes; and long enough for the store's connection to close,
/// whose buffers still hold what was last read.
const EVERY: Duration = Duration::from_millis(220);
const IN_USE: Duration = Duration::from_secs(10);
