//! Taking a snapshot back: the authority stays here, as long as no cluster was made one.

use super::{
    error::{SnapshotError, here},
    journal::{Held, Step},
};
use crate::{
    transfer::{fence::unfence, private::Places},
    vault::Temporary,
};
use donjon_drivers::store::Store;

/// What is known of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfCluster {
    /// What the journal says of it.
    AsWritten,
    /// Somebody says that it is gone for good.
    Lost,
}

/// Takes the fence away, and the journal; the login that was in the database is worth nothing here any more. In what was carried until
/// then this store's mark says that the authority is on its way, so that a copy is none.
pub async fn cancel(
    vault: Option<&Temporary>,
    store: &dyn Store,
    places: &Places,
    cluster: OfCluster,
    now: i64,
) -> Result<(), SnapshotError> {
    if let Some(Held { journal, .. }) = Held::read(store, places).await.map_err(here)? {
        if journal.step >= Step::Arriving && cluster == OfCluster::AsWritten {
            return Err(SnapshotError::Arrived);
        }
        if let Some(vault) = vault {
            vault.forget_successor(&journal.accessor).await?;
        }
    }
    unfence(store, places, now).await.map_err(here)?;
    store.remove(&places.handover()).await.map_err(here)
}
