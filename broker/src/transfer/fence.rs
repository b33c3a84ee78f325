//! The fence: from here on nothing is rotated or signed in a store, since its authority goes elsewhere.

use super::{
    mark::{self, Mark, Marked, Move},
    private::Places,
};
use crate::{
    records::Layout,
    rotation::{
        heartbeat::{Broker, Pace},
        journal::Held,
        others,
    },
};
use donjon_drivers::store::{Store, StoreError};

/// Why a store was not fenced.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// Rotations are under way.
    #[error("rotations have not ended: {names}")]
    Unfinished {
        /// Of which secrets.
        names: String,
    },
    /// A deployer run has begun under another broker: it reads its secrets here.
    #[error("a deployer runs under another broker of this store, {under}")]
    Deployer {
        /// Which process, and on which host.
        under: String,
    },
    /// Its authority goes another way meanwhile.
    #[error("the authority is on its way elsewhere by another command")]
    Overtaken,
    /// The store did not do it.
    #[error("cannot mark this store as one whose authority is on its way elsewhere")]
    Store(#[from] StoreError),
}

/// Fences a store. A rotation that has begun is let end first: it looks at the mark after it has written its journal, and
/// this looks at the journals after it has written the mark; the fence is then to be taken away again. So is a deployer run
/// under another broker than `own`, which looks after it was announced. A fence that is there for another move is none for this
/// one.
pub(crate) async fn fence(
    store: &dyn Store,
    places: &Places,
    layout: &Layout,
    own: &Broker,
    moving: Move,
    now: i64,
) -> Result<(), FenceError> {
    let marked = mark::read(store, places).await?;
    match &marked.mark {
        None | Some(Mark::Here { .. }) => {}
        // Also where it says so already: whoever takes that back at this moment finds it changed.
        Some(Mark::Moving(before)) if before.goes_to(&moving.to, moving.id.as_ref()) => {}
        Some(_) => return Err(FenceError::Overtaken),
    }
    mark::write(store, places, &marked, Mark::Moving(moving), now).await?;
    let unfinished = Held::unfinished(store, layout).await?;
    if unfinished.is_empty() {
        return match others::deployer(store, layout, own, Pace::USUAL).await? {
            None => Ok(()),
            Some(broker) => {
                Err(FenceError::Deployer { under: format!("process {} on {}", broker.process(), broker.host()) })
            }
        };
    }
    let names: Vec<_> = unfinished.iter().map(|held| held.journal.named()).collect();
    Err(FenceError::Unfinished { names: names.join(", ") })
}

/// This store is the authority as before, if its mark is still the one that was read before the other end was kept from
/// taking over.
pub(super) async fn unfence(store: &dyn Store, places: &Places, marked: &Marked, now: i64) -> Result<(), StoreError> {
    match marked.mark {
        Some(Mark::Moving { .. }) => mark::write(store, places, marked, Mark::Here { from: None, id: None }, now).await,
        None | Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::others::Deployer;
    use donjon_drivers::store::memory::Memory;

    #[tokio::test]
    async fn a_deployer_under_another_broker_is_seen_once_the_mark_is_written() {
        let (store, layout) = (Memory::default(), Layout::new("site1".parse().unwrap()).unwrap());
        let (places, own) = (Places::new("site1".parse().unwrap()).unwrap(), Broker::own());
        let moving = Move::begin("there");
        let fences = || fence(&store, &places, &layout, &own, moving.clone(), 1);
        let announced = Deployer::announce(&store, &layout, &Broker::own()).await.unwrap();
        let fenced = announced.beating(&store, Pace::USUAL, fences()).await;
        assert!(matches!(fenced, Err(FenceError::Deployer { .. })), "{fenced:?}");
        announced.ended(&store).await;
        fences().await.unwrap();
        // One of this broker is none of another: its own lock keeps the two apart.
        let announced = Deployer::announce(&store, &layout, &own).await.unwrap();
        announced.beating(&store, Pace::USUAL, fences()).await.unwrap();
    }
}
