//! Taking a push back: the authority stays here, as long as it has not arrived there.
//!
//! The other end's mark goes first, by compare-and-set: a push that goes on meanwhile, under whichever broker, finds it changed
//! before it could make that store the authority. Then the fence goes, if this store's mark is the one that was read before
//! that: a push that begins anew in between writes both again. Between the two nobody is the authority, and either command,
//! given again, ends that.

use super::{Destination, PushError, Side, error::marking};
use crate::transfer::{
    authority::Authority,
    fence::unfence,
    mark::{self, Mark, Marked},
    private::Places,
};
use donjon_drivers::store::Store;

/// What is known of the other end.
#[derive(Debug, Clone, Copy)]
pub enum OtherEnd<'a> {
    /// It can be asked.
    There(&'a Destination),
    /// Somebody says that it is gone for good.
    Lost,
}

/// Takes the fence away, of a store whose mark says that the authority is on its way `to` a place. What was copied there stays
/// there, and is no authority: it waits for the same push again.
pub async fn cancel(
    here: &dyn Store,
    places: &Places,
    (marked, to): (&Marked, &str),
    end: OtherEnd<'_>,
    now: i64,
) -> Result<(), PushError> {
    if let OtherEnd::There(destination) = end {
        if destination.place() != to {
            return Err(PushError::OtherDestination);
        }
        let nothing = || PushError::NothingThere { place: destination.place(), mount: destination.mount().clone() };
        if !destination.mounted().await? || withdraw(here, &destination.store(), places, now).await? == Found::Nothing {
            return Err(nothing());
        }
    }
    unfence(here, places, marked, now).await.map_err(marking(Side::Here))
}

/// The same in the course of a push that cannot go on, where this store is fenced by it or by an earlier one.
pub(super) async fn take_back(here: &dyn Store, there: &dyn Store, places: &Places, now: i64) -> Result<(), PushError> {
    let marked = mark::read(here, places).await.map_err(Side::Here.failed())?;
    if !matches!(marked.mark, Some(Mark::Moving { .. })) {
        return Ok(());
    }
    withdraw(here, there, places, now).await?;
    unfence(here, places, &marked, now).await.map_err(marking(Side::Here))
}

/// Whether the other end knew of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Ours,
    Nothing,
}

/// Has the other end wait for no push that is under way.
async fn withdraw(here: &dyn Store, there: &dyn Store, places: &Places, now: i64) -> Result<Found, PushError> {
    let own = Authority::read(here, places).await?;
    // Its key may have been renewed since.
    let from_here = |from| own.as_ref().is_some_and(|own| own.has_signed_with(from));
    let theirs = mark::read(there, places).await.map_err(Side::There.failed())?;
    match &theirs.mark {
        None => Ok(Found::Nothing),
        Some(Mark::Withdrawn { from }) if from_here(from) => Ok(Found::Ours),
        Some(Mark::Arriving { from }) if from_here(from) => {
            let withdrawn = Mark::Withdrawn { from: from.clone() };
            mark::write(there, places, &theirs, withdrawn, now).await.map_err(marking(Side::There))?;
            Ok(Found::Ours)
        }
        Some(Mark::Here { from: Some(from) }) if from_here(from) => Err(PushError::Arrived),
        Some(_) => Err(PushError::Taken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    struct Ends {
        here: Memory,
        there: Memory,
        places: Places,
    }

    impl Ends {
        /// This store is fenced, and that one waits for it.
        async fn moving() -> Self {
            let ends = Self {
                here: Memory::default(),
                there: Memory::default(),
                places: Places::new("site1".parse().unwrap()).unwrap(),
            };
            let from = Authority::ensure(&ends.here, &ends.places, 1).await.unwrap().public().id();
            ends.mark(&ends.here, Mark::Moving { to: "there".to_owned() }).await;
            ends.mark(&ends.there, Mark::Arriving { from }).await;
            ends
        }

        async fn marked(&self, store: &Memory) -> Marked {
            mark::read(store, &self.places).await.unwrap()
        }

        async fn mark(&self, store: &Memory, mark: Mark) {
            mark::write(store, &self.places, &self.marked(store).await, mark, 1).await.unwrap();
        }

        async fn own(&self) -> crate::transfer::key::KeyId {
            Authority::read(&self.here, &self.places).await.unwrap().unwrap().public().id()
        }

        async fn withdraw(&self) -> Result<Found, PushError> {
            withdraw(&self.here, &self.there, &self.places, 2).await
        }

        async fn unfence(&self, marked: &Marked) -> bool {
            unfence(&self.here, &self.places, marked, 2).await.is_ok()
        }
    }

    #[tokio::test]
    async fn a_push_that_has_seen_the_other_end_wait_cannot_arrive_there_any_more() {
        let ends = Ends::moving().await;
        let seen = ends.marked(&ends.there).await;
        take_back(&ends.here, &ends.there, &ends.places, 2).await.unwrap();
        assert!(ends.marked(&ends.here).await.mark.unwrap().is_here());
        let arrived = Mark::Here { from: Some(ends.own().await) };
        assert!(mark::write(&ends.there, &ends.places, &seen, arrived, 3).await.is_err(), "it was changed since");
    }

    #[tokio::test]
    async fn what_has_arrived_is_not_taken_back() {
        let ends = Ends::moving().await;
        ends.mark(&ends.there, Mark::Here { from: Some(ends.own().await) }).await;
        let refused = take_back(&ends.here, &ends.there, &ends.places, 2).await;
        assert!(matches!(refused, Err(PushError::Arrived)), "{refused:?}");
        assert!(!ends.marked(&ends.here).await.mark.unwrap().is_here(), "it is fenced as before");
    }

    #[tokio::test]
    async fn one_that_ended_half_way_is_done_again_or_yields_to_a_push_that_began_meanwhile() {
        let ends = Ends::moving().await;
        // It ended between its two writes.
        let before = ends.marked(&ends.here).await;
        assert_eq!(ends.withdraw().await.unwrap(), Found::Ours);
        assert_eq!(ends.withdraw().await.unwrap(), Found::Ours, "a second time");
        // A push writes both marks anew before the first one goes on.
        let from = ends.own().await;
        ends.mark(&ends.there, Mark::Arriving { from }).await;
        ends.mark(&ends.here, Mark::Moving { to: "there".to_owned() }).await;
        assert!(!ends.unfence(&before).await, "the push has this store fenced for itself");
        take_back(&ends.here, &ends.there, &ends.places, 2).await.unwrap();
        assert!(ends.marked(&ends.here).await.mark.unwrap().is_here());
    }
}
