//! What became of a value that a bundle held before it was published: custodians' bundles hold what is pending, too.

use super::private::Places;
use crate::rotation::journal::Held;
use donjon_drivers::store::{RecordPath, Store, StoreError, Version};

/// What became of a pending value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// This version of the record that consumers read.
    Published(Version),
    /// Nothing yet: its rotation has not ended.
    Waits,
    /// Nothing: its rotation went back.
    Nothing,
}

/// The record that consumers read, of a value pending at this path, and what became of it; `None` where the path is none of a
/// pending value. `since` is when a bundle held it, in seconds since 1970.
pub(super) async fn became(
    store: &dyn Store,
    places: &Places,
    path: &str,
    since: i64,
) -> Result<Option<(RecordPath, Became)>, StoreError> {
    let Some((rotation, name)) = places.pending_at(path) else { return Ok(None) };
    let public = places.secret(&name);
    let journal = Held::read(store, places.layout(), rotation).await?.map(|held| held.journal);
    let Some(journal) = journal else {
        // A journal is kept for a quarter of a year. Without it, what was written next may be that value.
        let later = store.versions(&public).await?.into_iter().filter(|info| info.created >= since);
        let next = later.map(|info| info.version).min();
        return Ok(Some((public, next.map_or(Became::Nothing, Became::Published))));
    };
    let published = journal.secrets.iter().find(|item| item.secret == name).and_then(|item| item.new);
    let became = match published {
        Some(version) => Became::Published(version),
        None if journal.state.ended() => Became::Nothing,
        None => Became::Waits,
    };
    Ok(Some((public, became)))
}
