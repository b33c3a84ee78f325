//! Taking a push back: the authority stays here, as long as it has not arrived there.
//!
//! The other end's mark goes first, by compare-and-set: a push that goes on meanwhile, under whichever broker, finds it changed
//! before it could make that store the authority. Then the fence goes, if this store's mark is the one that was read before
//! that: a push that begins anew in between writes both again. Between the two nobody is the authority, and either command,
//! given again, ends that.

use super::{Destination, PushError, Side, error::marking, sides::Sides};
use crate::transfer::{
    authority::Authority,
    fence::unfence,
    mark::{self, Mark, Marked, Move},
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

/// Takes the fence away, of a store whose mark says that the authority is on its way by this move. What was copied there stays
/// there, and is no authority: it waits for the same push again, or follows whom it has followed before.
pub async fn cancel(
    here: &dyn Store,
    places: &Places,
    (marked, moving): (&Marked, &Move),
    end: OtherEnd<'_>,
    now: i64,
) -> Result<(), PushError> {
    if let OtherEnd::There(destination) = end {
        let (there, place) = (destination.store(), destination.place());
        let sides = Sides { here, there: &there, places, place: &place };
        let mounted = destination.mounted().await?;
        if !mounted {
            destination.may_look(&places.authority()).await?;
        }
        if !mounted || sides.withdraw(moving, now).await? == Found::Nothing {
            let (to, mount) = (moving.to.clone(), destination.mount().clone());
            return Err(PushError::NothingThere { place, to, mount });
        }
    }
    unfence(here, places, marked, now).await.map_err(marking(Side::Here))
}

/// The same of a push that did not come as far as the fence, so that this store is the authority: the other end waits for it no
/// longer. Says whether it did.
pub async fn release(
    here: &dyn Store,
    places: &Places,
    destination: &Destination,
    now: i64,
) -> Result<bool, PushError> {
    if !destination.mounted().await? {
        return destination.may_look(&places.authority()).await.map(|()| false);
    }
    let (there, place) = (destination.store(), destination.place());
    Sides { here, there: &there, places, place: &place }.release(now).await
}

/// The same of a store that an older donjon has pushed into itself, and that waits ever since for its own authority to arrive.
/// Says whether it was one: no other store waits for the key that it signs with itself.
pub async fn cancel_own(here: &dyn Store, places: &Places, marked: &Marked, now: i64) -> Result<bool, PushError> {
    let Some(Mark::Arriving { from, .. } | Mark::Withdrawn { from, .. }) = &marked.mark else { return Ok(false) };
    let own = Authority::read(here, places).await?;
    if own.is_none_or(|own| own.public().id() != *from) {
        return Ok(false);
    }
    let mark = Mark::Here { from: None, id: None };
    mark::write(here, places, marked, mark, now).await.map_err(marking(Side::Here))?;
    Ok(true)
}

/// Whether the other end knew of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Ours,
    Nothing,
}

impl Sides<'_> {
    /// As [`cancel`], in the course of a push that cannot go on, where this store is fenced by it or by an earlier one.
    pub(super) async fn take_back(&self, now: i64) -> Result<(), PushError> {
        let marked = self.ours().await?;
        let Some(Mark::Moving(moving)) = &marked.mark else { return Ok(()) };
        self.withdraw(moving, now).await?;
        unfence(self.here, self.places, &marked, now).await.map_err(marking(Side::Here))
    }

    /// Has the other end wait no longer for a push from here; one that has this store fenced meanwhile is begun again or taken
    /// back by its name.
    async fn release(&self, now: i64) -> Result<bool, PushError> {
        let own = Authority::read(self.here, self.places).await?;
        let theirs = self.theirs().await?;
        match theirs.mark.clone() {
            Some(Mark::Arriving { from, id, follows }) if own.is_some_and(|own| own.has_signed_with(&from)) => {
                let withdrawn = Mark::Withdrawn { from, id, follows };
                mark::write(self.there, self.places, &theirs, withdrawn, now).await.map_err(marking(Side::There))?;
                Ok(true)
            }
            None | Some(_) => Ok(false),
        }
    }

    /// Has the other end wait no longer for this move.
    async fn withdraw(&self, moving: &Move, now: i64) -> Result<Found, PushError> {
        let own = Authority::read(self.here, self.places).await?;
        // Its key may have been renewed since.
        let from_here = |from| own.as_ref().is_some_and(|own| own.has_signed_with(from));
        let theirs = self.theirs().await?;
        let (from, id) = match &theirs.mark {
            None => return Ok(Found::Nothing),
            Some(
                Mark::Withdrawn { from, id, .. }
                | Mark::Arriving { from, id, .. }
                | Mark::Here { from: Some(from), id },
            ) if from_here(from) => (from.clone(), id.clone()),
            Some(_) => return Err(PushError::Taken),
        };
        if !moving.goes_to(self.place, id.as_ref()) {
            return Err(PushError::OtherDestination);
        }
        match &theirs.mark {
            Some(Mark::Here { .. }) => return Err(PushError::Arrived),
            Some(Mark::Arriving { follows, .. }) => {
                let withdrawn = Mark::Withdrawn { from, id, follows: *follows };
                mark::write(self.there, self.places, &theirs, withdrawn, now).await.map_err(marking(Side::There))?;
            }
            None | Some(_) => {}
        }
        Ok(Found::Ours)
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
        moving: Move,
    }

    impl Ends {
        /// This store is fenced, and that one waits for it.
        async fn moving() -> Self {
            let ends = Self {
                here: Memory::default(),
                there: Memory::default(),
                places: Places::new("site1".parse().unwrap()).unwrap(),
                moving: Move::begin("there"),
            };
            let from = Authority::ensure(&ends.here, &ends.places, 1).await.unwrap().public().id();
            let moving = ends.moving.clone();
            ends.mark(&ends.there, Mark::Arriving { from, id: moving.id.clone(), follows: false }).await;
            ends.mark(&ends.here, Mark::Moving(moving)).await;
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

        fn sides<'a>(&'a self, place: &'a str) -> Sides<'a> {
            Sides { here: &self.here, there: &self.there, places: &self.places, place }
        }

        async fn withdraw(&self) -> Result<Found, PushError> {
            self.sides("there").withdraw(&self.moving, 2).await
        }

        async fn unfence(&self, marked: &Marked) -> bool {
            unfence(&self.here, &self.places, marked, 2).await.is_ok()
        }
    }

    #[tokio::test]
    async fn a_push_that_has_seen_the_other_end_wait_cannot_arrive_there_any_more() {
        let ends = Ends::moving().await;
        let seen = ends.marked(&ends.there).await;
        ends.sides("there").take_back(2).await.unwrap();
        assert!(ends.marked(&ends.here).await.mark.unwrap().is_here());
        let arrived = Mark::Here { from: Some(ends.own().await), id: ends.moving.id.clone() };
        assert!(mark::write(&ends.there, &ends.places, &seen, arrived, 3).await.is_err(), "it was changed since");
    }

    #[tokio::test]
    async fn what_has_arrived_is_not_taken_back() {
        let ends = Ends::moving().await;
        ends.mark(&ends.there, Mark::Here { from: Some(ends.own().await), id: ends.moving.id.clone() }).await;
        let refused = ends.sides("there").take_back(2).await;
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
        ends.mark(&ends.there, Mark::Arriving { from, id: ends.moving.id.clone(), follows: false }).await;
        ends.mark(&ends.here, Mark::Moving(ends.moving.clone())).await;
        assert!(!ends.unfence(&before).await, "the push has this store fenced for itself");
        ends.sides("there").take_back(2).await.unwrap();
        assert!(ends.marked(&ends.here).await.mark.unwrap().is_here());
    }
    #[tokio::test]
    async fn another_leader_there_is_the_same_store_and_another_move_is_not() {
        let ends = Ends::moving().await;
        let id = Move::begin("there").id;
        ends.mark(&ends.there, Mark::Arriving { from: ends.own().await, id, follows: false }).await;
        let refused = ends.sides("there").take_back(2).await;
        assert!(matches!(refused, Err(PushError::OtherDestination)), "{refused:?}");
        assert!(!ends.marked(&ends.here).await.mark.unwrap().is_here(), "it is fenced as before");
        let (from, id) = (ends.own().await, ends.moving.id.clone());
        ends.mark(&ends.there, Mark::Arriving { from, id, follows: false }).await;
        ends.sides("another leader").take_back(2).await.unwrap();
        assert!(ends.marked(&ends.here).await.mark.unwrap().is_here());
    }

    #[tokio::test]
    async fn a_store_that_waits_for_its_own_authority_waits_no_longer_and_no_other_does() {
        let ends = Ends::moving().await;
        let cancelled = async |store: &Memory| {
            let marked = ends.marked(store).await;
            cancel_own(store, &ends.places, &marked, 2).await.unwrap()
        };
        assert!(!cancelled(&ends.here).await, "it is fenced for a push that goes elsewhere");
        // The other end, also once it has a key that the first one has named.
        assert!(!cancelled(&ends.there).await);
        let own = Authority::read(&ends.here, &ends.places).await.unwrap().unwrap();
        let theirs = Authority::ensure(&ends.there, &ends.places, 1).await.unwrap();
        let chain = own.succeed(&ends.places, theirs.public(), 1);
        Authority::adopt_chain(&ends.there, &ends.places, chain).await.unwrap();
        assert!(!cancelled(&ends.there).await);
        for (from, id, follows) in [(ends.own().await, ends.moving.id.clone(), false)] {
            let waits = Mark::Arriving { from: from.clone(), id: id.clone(), follows };
            for mark in [waits, Mark::Withdrawn { from, id, follows }] {
                ends.mark(&ends.here, mark).await;
                assert!(cancelled(&ends.here).await);
                assert!(ends.marked(&ends.here).await.mark.unwrap().is_here());
            }
        }
    }

    #[tokio::test]
    async fn what_waits_for_a_push_that_did_not_come_to_the_fence_is_released() {
        let ends = Ends::moving().await;
        ends.mark(&ends.here, Mark::Here { from: None, id: None }).await;
        let waits = Mark::Arriving { from: ends.own().await, id: ends.moving.id.clone(), follows: true };
        ends.mark(&ends.there, waits).await;
        assert!(ends.sides("there").release(2).await.unwrap());
        assert!(ends.marked(&ends.there).await.mark.unwrap().is_following(), "as before the push");
        assert!(!ends.sides("there").release(2).await.unwrap(), "a second time there is nothing to do");
        // What has arrived, or waits for somebody else, is left as it is.
        let other = Authority::ensure(&Memory::default(), &ends.places, 1).await.unwrap().public().id();
        for kept in [
            Mark::Here { from: Some(ends.own().await), id: None },
            Mark::Arriving { from: other, id: None, follows: false },
        ] {
            ends.mark(&ends.there, kept.clone()).await;
            assert!(!ends.sides("there").release(2).await.unwrap());
            assert_eq!(ends.marked(&ends.there).await.mark, Some(kept));
        }
    }
}
