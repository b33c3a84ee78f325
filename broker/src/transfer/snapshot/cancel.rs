//! Taking a snapshot back: the authority stays here, as long as no cluster was made one.

use super::{
    error::{SnapshotError, here, kept},
    journal::{Held, Step},
};
use crate::{
    transfer::{fence::unfence, mark::Marked, private::Places},
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

/// Takes the journal away, and then the fence; the login that was in the database is worth nothing here any more. In what was
/// carried until then this store's mark says that the authority is on its way, so that a copy is none.
///
/// The journal is written before all else: one who carries the database meanwhile, under whichever broker, finds it changed
/// before the cluster could become the authority. It goes before the fence: what is put here later is missing in what was
/// carried, so nobody may go on with that. And it goes after the login, which can be destroyed by what is in it alone.
///
/// What was carried has the same mark as the store that it comes from, and may lack the journal. Only the temporary Vault is
/// the one that it was taken of: without one this store is a copy, unless somebody says that there is no other.
pub async fn cancel(
    vault: Option<&Temporary>,
    store: &dyn Store,
    places: &Places,
    marked: &Marked,
    cluster: OfCluster,
    now: i64,
) -> Result<(), SnapshotError> {
    match (vault, cluster) {
        (None, OfCluster::AsWritten) => Err(SnapshotError::Copy),
        (None, OfCluster::Lost) | (Some(_), _) => take_back(vault, store, places, marked, cluster, now).await,
    }
}

async fn take_back(
    vault: Option<&Temporary>,
    store: &dyn Store,
    places: &Places,
    marked: &Marked,
    cluster: OfCluster,
    now: i64,
) -> Result<(), SnapshotError> {
    if let Some(mut held) = Held::read(store, places).await.map_err(here)? {
        if held.journal.step >= Step::Arriving && cluster == OfCluster::AsWritten {
            return Err(SnapshotError::Arrived);
        }
        held.save(store, places).await.map_err(kept)?;
        if let Some(vault) = vault {
            vault.forget_successor(&held.journal.accessor).await.map_err(SnapshotError::LoginStays)?;
        }
        store.remove(&places.handover()).await.map_err(here)?;
    }
    unfence(store, places, marked, now).await.map_err(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::Exit,
        transfer::{
            mark::{self, Mark, Move},
            snapshot::{BY_SNAPSHOT, journal::Journal},
            told,
        },
        vault::VaultError,
    };
    use donjon_drivers::{
        material::Material,
        store::{
            StoreError,
            memory::Memory,
            vault::{CallError, Reason},
        },
    };

    struct Source(Memory, Places);

    impl Source {
        async fn taken() -> Self {
            let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
            let marked = mark::read(&store, &places).await.unwrap();
            mark::write(&store, &places, &marked, Mark::Moving(Move::begin(BY_SNAPSHOT)), 1).await.unwrap();
            let journal = Journal::taken("digest".to_owned(), Material::new(Vec::new()), "accessor".to_owned());
            Held::begin(&store, &places, journal).await.unwrap();
            Self(store, places)
        }

        async fn held(&self) -> Held {
            Held::read(&self.0, &self.1).await.unwrap().unwrap()
        }

        async fn marked(&self) -> Marked {
            mark::read(&self.0, &self.1).await.unwrap()
        }

        async fn cancel(&self, marked: &Marked) -> Result<(), SnapshotError> {
            take_back(None, &self.0, &self.1, marked, OfCluster::AsWritten, 2).await
        }
    }

    #[tokio::test]
    async fn a_copy_is_made_no_authority_unless_somebody_says_that_there_is_no_other() {
        // A snapshot is taken before its journal is written.
        let copy = Source::taken().await;
        copy.0.remove(&copy.1.handover()).await.unwrap();
        let marked = copy.marked().await;
        let refused = cancel(None, &copy.0, &copy.1, &marked, OfCluster::AsWritten, 2).await;
        assert!(matches!(refused, Err(SnapshotError::Copy)), "{refused:?}");
        assert!(!copy.marked().await.mark.unwrap().is_here());
        cancel(None, &copy.0, &copy.1, &marked, OfCluster::Lost, 2).await.unwrap();
        assert!(copy.marked().await.mark.unwrap().is_here());
    }

    #[test]
    fn a_login_that_is_not_destroyed_is_told_with_what_to_do() {
        let told = |reason| {
            let source = CallError::Refused { place: "x".to_owned(), status: 503, reason };
            told::snapshot(
                "not taken back",
                &SnapshotError::LoginStays(VaultError::Call { act: "destroy a login", source }),
            )
        };
        assert_eq!((told(Reason::Denied).code, told(Reason::Full).code), (Exit::NotAllowed, Exit::Unavailable));
        let said = told(Reason::Sealed);
        assert_eq!(said.code, Exit::Unavailable);
        assert!(said.causes[0].contains("is good still"), "{said:?}");
        assert!(said.hint.unwrap().contains("`donjon unseal`"));
    }

    #[tokio::test]
    async fn who_carries_it_meanwhile_cannot_make_the_cluster_the_authority_any_more() {
        let source = Source::taken().await;
        let mut carried = source.held().await;
        source.cancel(&source.marked().await).await.unwrap();
        assert!(source.marked().await.mark.unwrap().is_here());
        let late = carried.reach(Step::Arriving, &source.0, &source.1).await;
        assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    }

    #[tokio::test]
    async fn one_that_was_to_arrive_is_not_taken_back_nor_one_that_was_fenced_anew() {
        let source = Source::taken().await;
        let marked = source.marked().await;
        source.held().await.reach(Step::Arriving, &source.0, &source.1).await.unwrap();
        assert!(matches!(source.cancel(&marked).await, Err(SnapshotError::Arrived)));

        let source = Source::taken().await;
        let marked = source.marked().await;
        let moving = marked.mark.clone().unwrap();
        mark::write(&source.0, &source.1, &marked, moving, 2).await.unwrap();
        assert!(matches!(source.cancel(&marked).await, Err(SnapshotError::Overtaken)));
        assert!(!source.marked().await.mark.unwrap().is_here(), "it is fenced as before");
    }
}
