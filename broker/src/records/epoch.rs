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
    Ok(read_versioned(store, layout).await?.0)
}

/// Makes it one more, whoever else does the same, and returns the new one.
pub async fn bump(store: &dyn Store, layout: &Layout) -> Result<u64, StoreError> {
    let path = layout.epoch();
    for _ in 0..MOST_RACES {
        let (epoch, expected) = read_versioned(store, layout).await?;
        let next = Record { format: FORMAT, epoch: epoch + 1 };
        let document =
            Document::plain(&next).map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
        match store.write(&path, &document, expected).await {
            Ok(_) => return Ok(next.epoch),
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Err(StoreError::Conflict { path })
}

async fn read_versioned(store: &dyn Store, layout: &Layout) -> Result<(u64, Expected), StoreError> {
    let path = layout.epoch();
    match store.read(&path, Which::Latest).await? {
        None => Ok((0, Expected::Absent)),
        Some(stored) => {
            let record: Record = stored
                .document
                .parse()
                .map_err(|_| StoreError::Damaged { path: path.clone(), what: "no epoch record" })?;
            if record.format > FORMAT {
                return Err(StoreError::Damaged { path, what: "written by a newer donjon" });
            }
            Ok((record.epoch, Expected::Newest(stored.version)))
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
