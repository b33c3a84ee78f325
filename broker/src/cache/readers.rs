//! Which brokers cache, each with a record of its lease: who publishes waits until the leases of the others have run out.

use super::Cache;
use crate::home::Home;
use donjon_drivers::{
    fs::{self, FileError},
    store::{Document, Expected, RecordPath, Store, StoreError, Which},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// In milliseconds.
    lease: u64,
}

/// The name by which a home's broker is known to the others: made once, so that one that was killed finds its record again.
pub fn identity(home: &Home) -> Result<String, FileError> {
    let path = home.reader();
    let known = |text: &[u8]| std::str::from_utf8(text).ok().map(str::to_owned).filter(|t| t.parse::<u64>().is_ok());
    if let Some(known) = path.exists().then(|| fs::read_private(&path)).transpose()?.as_deref().and_then(known) {
        return Ok(known);
    }
    let made = rand::random::<u64>().to_string();
    fs::replace(&path, made.as_bytes())?;
    Ok(made)
}

/// Leaves the record of this broker's lease. Nothing may be cached before.
pub(super) async fn announce(store: &dyn Store, cache: &Cache) -> Result<(), StoreError> {
    let path = place(cache, cache.identity());
    let lease = u64::try_from(cache.lease().as_millis()).unwrap_or(u64::MAX);
    let document = Document::plain(&Record { format: FORMAT, lease });
    let document = document.map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
    let expected = match store.read(&path, Which::Latest).await? {
        Some(there) if there.document.parse::<Record>().is_ok_and(|record| record.lease >= lease) => return Ok(()),
        Some(there) => Expected::Newest(there.version),
        None => Expected::Absent,
    };
    store.write(&path, &document, expected).await.map(drop)
}

/// Takes the record away. Nothing is cached any more.
pub(super) async fn retire(store: &dyn Store, cache: &Cache) -> Result<(), StoreError> {
    store.remove(&place(cache, cache.identity())).await
}

/// Waits until no other broker can answer with what was there before. Where it cannot be told who caches, as long as any may.
pub(super) async fn wait_out(store: &dyn Store, cache: &Cache) {
    let lease = match longest(store, cache).await {
        Ok(lease) => lease,
        Err(error) => {
            tracing::warn!(%error, "cannot tell which brokers cache, so the longest lease is waited for");
            LONGEST
        }
    };
    if !lease.is_zero() {
        tokio::time::sleep(lease.min(LONGEST)).await;
    }
}

async fn longest(store: &dyn Store, cache: &Cache) -> Result<Duration, StoreError> {
    let mut longest = Duration::ZERO;
    for reader in store.list(&cache.layout().private(FOLDER)).await? {
        if reader == cache.identity() {
            continue;
        }
        let lease = match store.read(&place(cache, &reader), Which::Latest).await? {
            Some(found) => found.document.parse::<Record>().map_or(LONGEST, |r| Duration::from_millis(r.lease)),
            // It has retired meanwhile.
            None => Duration::ZERO,
        };
        longest = longest.max(lease);
    }
    Ok(longest)
}

fn place(cache: &Cache, reader: &str) -> RecordPath {
    cache.layout().private(&format!("{FOLDER}/{reader}"))
}

/// No lease is longer.
pub const LONGEST: Duration = Duration::from_secs(10);
const FOLDER: &str = "readers";
const FORMAT: u32 = 1;
