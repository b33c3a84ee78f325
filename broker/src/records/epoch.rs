//! The epoch: the count of publications. Readers poll it; each publication bumps it.

use super::Layout;
use donjon_drivers::store::{Document, Expected, Store, StoreError, Which};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    epoch: u64,
}

/// The epoch now; 0 before the first publication.
pub async fn read(store: &dyn Store, layout: &Layout) -> Result<u64, StoreError> {
    Ok(look(store, layout).await?.epoch)
}

/// The epoch as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    epoch: u64,
    expected: Expected,
}

/// Makes it one more, whoever else does the same, and returns the new one.
pub async fn bump(store: &dyn Store, layout: &Layout) -> Result<u64, StoreError> {
    bump_from(store, layout, look(store, layout).await?).await
}

/// As [`bump`], where it was read a moment ago.
pub async fn bump_from(store: &dyn Store, layout: &Layout, mut seen: Seen) -> Result<u64, StoreError> {
    let path = layout.epoch();
    for _ in 0..MOST_RACES {
        let next = Record { format: FORMAT, epoch: seen.epoch + 1 };
        let document =
            Document::plain(&next).map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
        match store.write(&path, &document, seen.expected).await {
            Ok(_) => return Ok(next.epoch),
            Err(StoreError::Conflict { .. }) => seen = look(store, layout).await?,
            Err(other) => return Err(other),
        }
    }
    Err(StoreError::Conflict { path })
}

/// Reads it, to make it one more later.
pub async fn look(store: &dyn Store, layout: &Layout) -> Result<Seen, StoreError> {
    let path = layout.epoch();
    match store.read(&path, Which::Latest).await? {
        None => Ok(Seen { epoch: 0, expected: Expected::Absent }),
        Some(stored) => {
            let record: Record = stored
                .document
                .parse()
                .map_err(|_| StoreError::Damaged { path: path.clone(), what: "no epoch record" })?;
            if record.format > FORMAT {
                return Err(StoreError::Damaged { path, what: "written by a newer donjon" });
            }
            Ok(Seen { epoch: record.epoch, expected: Expected::Newest(stored.version) })
        }
    }
}

const FORMAT: u32 = 1;
const MOST_RACES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    #[tokio::test]
    async fn every_bump_counts() {
        let store = Memory::default();
        let layout = Layout::new("d".parse().unwrap()).unwrap();
        assert_eq!(read(&store, &layout).await.unwrap(), 0);
        let bumps = futures_util::future::join_all((0..20).map(|_| bump(&store, &layout))).await;
        assert!(bumps.iter().all(Result::is_ok));
        assert_eq!(read(&store, &layout).await.unwrap(), 20);
    }
}
