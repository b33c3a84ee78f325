//! The fence: from here on nothing is rotated or signed in a store, since its authority goes elsewhere.

use super::{
    mark::{self, Mark},
    private::Places,
};
use crate::{records::Layout, rotation::journal::Held};
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
    /// The store did not do it.
    #[error("cannot mark this store as one whose authority is on its way elsewhere")]
    Store(#[from] StoreError),
}

/// Fences a store that is not fenced yet. A rotation that has begun is let end first: it looks at the mark after it has
/// written its journal, and this looks at the journals after it has written the mark.
pub(super) async fn fence(
    store: &dyn Store,
    places: &Places,
    layout: &Layout,
    to: &str,
    now: i64,
) -> Result<(), FenceError> {
    let marked = mark::read(store, places).await?;
    if marked.mark.as_ref().is_none_or(Mark::is_here) {
        mark::write(store, places, &marked, Mark::Moving { to: to.to_owned() }, now).await?;
    }
    let unfinished = Held::unfinished(store, layout).await?;
    if unfinished.is_empty() {
        return Ok(());
    }
    unfence(store, places, now).await?;
    let names: Vec<_> = unfinished.iter().map(|held| held.journal.named()).collect();
    Err(FenceError::Unfinished { names: names.join(", ") })
}

/// This store is the authority as before. Nothing has arrived elsewhere: that is the last step.
pub(super) async fn unfence(store: &dyn Store, places: &Places, now: i64) -> Result<(), StoreError> {
    let marked = mark::read(store, places).await?;
    if let Some(Mark::Moving { .. }) = marked.mark {
        mark::write(store, places, &marked, Mark::Here { from: None }, now).await?;
    }
    Ok(())
}
