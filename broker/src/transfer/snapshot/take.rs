//! Taking the snapshot: the source is fenced first, so that nothing that comes later is missing in it.

use super::{
    archive::Snapshot,
    container,
    error::{SnapshotError, here, kept},
    journal::{Held, Journal, Step},
};
use crate::{
    records::Layout,
    rotation::{checkpoint::reached, heartbeat::Broker},
    transfer::{
        authority::Authority,
        bundle::Recipients,
        fence::{FenceError, fence, unfence},
        key::PublicKey,
        mark::{self, Mark, Move},
        private::Places,
    },
    vault::Temporary,
};
use donjon_drivers::store::Store;

/// The source, and who can open the file.
pub struct Taking<'a> {
    /// The Vault.
    pub vault: &'a Temporary,
    /// Its store.
    pub here: &'a dyn Store,
    /// Its paths.
    pub layout: &'a Layout,
    /// Its transfer records.
    pub places: &'a Places,
    /// Who can open the file.
    pub recipients: &'a Recipients,
    /// Who does it.
    pub broker: &'a Broker,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// What was taken.
#[derive(Debug)]
pub struct Taken {
    /// The file.
    pub file: Vec<u8>,
    /// The key that has signed it.
    pub key: PublicKey,
    /// By which the snapshot is known again.
    pub digest: String,
}

/// Fences the source, takes the snapshot and seals it. Once a server of the cluster has it, another is as good: what is
/// in the source does not change any more.
pub async fn take(taking: &Taking<'_>) -> Result<Taken, SnapshotError> {
    let Taking { vault, here: store, layout, places, recipients, broker, now } = taking;
    let marked = mark::read(*store, places).await.map_err(here)?;
    mark_fits(marked.mark.clone())?;
    let moving = match marked.mark {
        Some(Mark::Moving(begun)) => begun,
        None | Some(_) => Move::begin(BY_SNAPSHOT),
    };
    let authority = Authority::ensure(*store, places, *now).await?;
    let fenced = fence(*store, places, layout, broker, moving, *now).await;
    if let Err(FenceError::Unfinished { .. } | FenceError::Deployer { .. }) = &fenced {
        let marked = mark::read(*store, places).await.map_err(here)?;
        unfence(*store, places, &marked, *now).await.map_err(kept)?;
    }
    fenced?;
    reached("snapshot.fenced");
    // The login is made before the snapshot, so that it is in it; once a server has it, it has to stay the same.
    let before = Held::read(*store, places).await.map_err(here)?;
    let snapshot = match before {
        Some(mut held) if held.journal.step > Step::Taken => {
            let snapshot = Snapshot::checked(vault.snapshot().await?)?;
            held.journal.digest = snapshot.digest();
            held.save(*store, places).await.map_err(kept)?;
            snapshot
        }
        Some(_) | None => {
            let login = vault.successor().await?;
            let snapshot = Snapshot::checked(vault.snapshot().await?)?;
            let journal = Journal::taken(snapshot.digest(), login.body, login.accessor);
            Held::begin(*store, places, journal).await.map_err(here)?;
            snapshot
        }
    };
    reached("snapshot.taken");
    let file = container::seal(&snapshot, places.deployment(), recipients, &authority.key, *now)?;
    Ok(Taken { file, key: *authority.public(), digest: snapshot.digest() })
}

/// Whether the authority is here, or on its way by a snapshot.
pub(super) fn mark_fits(mark: Option<Mark>) -> Result<(), SnapshotError> {
    match mark {
        None | Some(Mark::Here { .. }) => Ok(()),
        Some(Mark::Moving(Move { to, .. })) if to == BY_SNAPSHOT => Ok(()),
        Some(Mark::Moving(Move { to, .. })) => Err(SnapshotError::OtherWay { to }),
        Some(
            mark @ (Mark::Moved { .. }
            | Mark::Arriving { .. }
            | Mark::Withdrawn { .. }
            | Mark::Following {}
            | Mark::Restoring { .. }),
        ) => mark.refusal().map_or(Ok(()), |elsewhere| Err(SnapshotError::Elsewhere(elsewhere))),
    }
}

/// Where the authority is moving, before it is known which server it is that leads there.
pub const BY_SNAPSHOT: &str = "a cluster, by snapshot";
