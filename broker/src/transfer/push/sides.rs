//! Both sides of a push as their marks say: what was begun, who has claimed the place, and where the authority is.
//!
//! A push names its move in both marks. What is done there counts for the move that this store is fenced for, and for no
//! other: a store may wait still for a push that was given up, while the authority went another way.

use super::{PushError, Side, compare::There, error::marking};
use crate::{
    rotation::checkpoint::reached,
    transfer::{
        authority::Authority,
        key::{KeyId, PublicKey},
        mark::{self, Mark, Marked, Move, MoveId},
        private::Places,
    },
};
use donjon_drivers::store::Store;

/// Both stores.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    /// The store that is the authority.
    pub(super) here: &'a dyn Store,
    /// The one that is to be.
    pub(super) there: &'a dyn Store,
    /// The transfer records of both.
    pub(super) places: &'a Places,
    /// The address of the second one.
    pub(super) place: &'a str,
}

/// How far an earlier push to this destination came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Nothing,
    Claimed,
    Done,
}

/// The mark that a push has claimed the place with.
#[derive(Debug)]
pub(super) struct Claimed {
    marked: Marked,
    from: KeyId,
    /// The move that it is for.
    pub(super) moving: Move,
}

impl Begun {
    pub(super) fn there(self) -> There {
        match self {
            Self::Nothing => There::Unknown,
            Self::Claimed | Self::Done => There::Ours,
        }
    }
}

impl Sides<'_> {
    pub(super) async fn ours(&self) -> Result<Marked, PushError> {
        mark::read(self.here, self.places).await.map_err(Side::Here.failed())
    }

    pub(super) async fn theirs(&self) -> Result<Marked, PushError> {
        mark::read(self.there, self.places).await.map_err(Side::There.failed())
    }

    /// Refuses this very store, under whatever address: two marks in one place would be written over each other. Its key never
    /// travels, so whoever has it is this store or a copy of it; a place that a push has been to has a key of its own.
    pub(super) async fn are_two(&self, own: &Authority) -> Result<(), PushError> {
        let theirs = Authority::read(self.there, self.places).await?;
        match theirs.is_some_and(|theirs| theirs.public() == own.public()) {
            true => Err(PushError::Itself),
            false => Ok(()),
        }
    }

    /// What an earlier push has done.
    pub(super) async fn begun(&self) -> Result<Begun, PushError> {
        let (ours, theirs) = (self.ours().await?.mark, self.theirs().await?.mark);
        let own = Authority::read(self.here, self.places).await?;
        // Its key may have been renewed since.
        let from_here = |from: &KeyId| own.as_ref().is_some_and(|own| own.has_signed_with(from));
        let this = |moving: &Move, id: &Option<MoveId>, begun| match moving.goes_to(self.place, id.as_ref()) {
            true => Ok(begun),
            false => Err(PushError::OtherDestination),
        };
        match (ours, theirs) {
            (
                Some(
                    ours @ (Mark::Arriving { .. }
                    | Mark::Withdrawn { .. }
                    | Mark::Following {}
                    | Mark::Restoring { .. }),
                ),
                _,
            ) => Err(elsewhere(&ours)),
            (None | Some(Mark::Here { .. }), None | Some(Mark::Following {})) => Ok(Begun::Nothing),
            (Some(Mark::Moving { .. } | Mark::Moved { .. }), None) => Err(PushError::OtherDestination),
            (None | Some(Mark::Here { .. }), Some(Mark::Arriving { from, .. } | Mark::Withdrawn { from, .. }))
                if from_here(&from) =>
            {
                Ok(Begun::Claimed)
            }
            (Some(Mark::Moving(moving)), Some(Mark::Arriving { from, id, .. } | Mark::Withdrawn { from, id, .. }))
                if from_here(&from) =>
            {
                this(&moving, &id, Begun::Claimed)
            }
            (Some(Mark::Moving(moving)), Some(Mark::Here { from: Some(from), id })) if from_here(&from) => {
                this(&moving, &id, Begun::Done)
            }
            (Some(ours @ Mark::Moved { .. }), Some(Mark::Here { from: Some(from), .. })) if from_here(&from) => {
                if self.signs_there(&ours).await? { Ok(Begun::Done) } else { Err(elsewhere(&ours)) }
            }
            (Some(ours @ Mark::Moved { .. }), Some(_)) => Err(elsewhere(&ours)),
            (_, Some(_)) => Err(PushError::Taken),
        }
    }

    /// Whether that store is the one that this one's mark says the authority moved to. Its key may have been renewed since.
    async fn signs_there(&self, moved: &Mark) -> Result<bool, PushError> {
        let Mark::Moved { key, .. } = moved else { return Ok(false) };
        let signs = Authority::read(self.there, self.places).await?;
        Ok(signs.is_some_and(|signs| signs.has_signed_with(key)))
    }

    /// Says there for whom the place is kept, before anything is copied; gives back that mark. What is done from then on
    /// holds for as long as nobody has written another one. Where this store is fenced it is for the move that it is
    /// fenced for.
    pub(super) async fn claim(&self, own: &Authority, now: i64) -> Result<Claimed, PushError> {
        let (ours, before) = (self.ours().await?.mark, self.theirs().await?);
        let to = || self.place.to_owned();
        let kept = |id: &Option<MoveId>| Move { to: to(), id: id.clone() };
        let (moving, written) = match (&ours, &before.mark) {
            (Some(Mark::Moving(fenced)), Some(Mark::Arriving { from, id, .. } | Mark::Withdrawn { from, id, .. }))
                if own.has_signed_with(from) && fenced.goes_to(self.place, id.as_ref()) =>
            {
                (kept(id), matches!(before.mark, Some(Mark::Arriving { .. })))
            }
            (None | Some(Mark::Here { .. }), Some(Mark::Arriving { from, id: id @ Some(_), .. }))
                if own.has_signed_with(from) =>
            {
                (kept(id), true)
            }
            (None | Some(Mark::Here { .. }), Some(Mark::Arriving { from, .. } | Mark::Withdrawn { from, .. }))
                if own.has_signed_with(from) =>
            {
                (Move::begin(to()), false)
            }
            (None | Some(Mark::Here { .. }), None | Some(Mark::Following {})) => (Move::begin(to()), false),
            (None | Some(_), None | Some(_)) => return Err(PushError::Overtaken),
        };
        if !written {
            let follows = match before.mark {
                Some(Mark::Following {}) => true,
                Some(Mark::Arriving { follows, .. } | Mark::Withdrawn { follows, .. }) => follows,
                None | Some(Mark::Here { .. } | Mark::Moving { .. } | Mark::Moved { .. } | Mark::Restoring { .. }) => {
                    false
                }
            };
            let mark = Mark::Arriving { from: own.public().id(), id: moving.id.clone(), follows };
            mark::write(self.there, self.places, &before, mark, now).await.map_err(marking(Side::There))?;
        }
        let marked = self.theirs().await?;
        match marked.mark.clone() {
            Some(Mark::Arriving { from, id, .. }) if own.has_signed_with(&from) && id == moving.id => {
                Ok(Claimed { marked, from, moving })
            }
            None | Some(_) => Err(PushError::Overtaken),
        }
    }

    /// Makes the new key, links it to the old one, and changes the marks: there first, since here is fenced already. There
    /// it is the mark that this push has `claimed` the place with, or the authority has arrived: a push that was taken back
    /// meanwhile changes neither.
    pub(super) async fn arrive(
        &self,
        own: &Authority,
        claimed: Option<&Claimed>,
        now: i64,
    ) -> Result<PublicKey, PushError> {
        let Self { there, places, .. } = *self;
        let (ours, theirs) = (self.ours().await?, self.theirs().await?.mark);
        let arrived = match (&ours.mark, &theirs) {
            (Some(Mark::Moving(moving)), Some(Mark::Here { from: Some(from), id })) => {
                own.has_signed_with(from) && moving.goes_to(self.place, id.as_ref())
            }
            (Some(moved @ Mark::Moved { .. }), Some(Mark::Here { from: Some(from), .. })) => {
                own.has_signed_with(from) && self.signs_there(moved).await?
            }
            (None | Some(_), None | Some(_)) => false,
        };
        if !arrived {
            let (Some(Mark::Moving(fenced)), Some(Claimed { marked, from, moving })) = (&ours.mark, claimed) else {
                return Err(PushError::Overtaken);
            };
            if !fenced.goes_to(self.place, moving.id.as_ref()) || theirs != marked.mark {
                return Err(PushError::Overtaken);
            }
            let authority = Authority::ensure_above(there, places, own.floor, now).await?;
            let chain = own.succeed(places, authority.public(), now);
            Authority::adopt_chain(there, places, chain).await?;
            let mark = Mark::Here { from: Some(from.clone()), id: moving.id.clone() };
            mark::write(there, places, marked, mark, now).await.map_err(marking(Side::There))?;
            reached("push.arrived");
        }
        let key = *Authority::ensure_above(there, places, own.floor, now).await?.public();
        if let Some(Mark::Moving { .. }) = &ours.mark {
            let mark = Mark::Moved { to: self.place.to_owned(), key: key.id() };
            mark::write(self.here, places, &ours, mark, now).await.map_err(marking(Side::Here))?;
        }
        Ok(key)
    }
}

pub(super) fn elsewhere(mark: &Mark) -> PushError {
    mark.refusal().map_or(PushError::Taken, PushError::Elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        records::Layout,
        rotation::heartbeat::Broker,
        transfer::{
            fence::{FenceError, fence, unfence},
            mark::Elsewhere,
        },
    };
    use donjon_drivers::store::memory::Memory;

    /// This store, and two to which its authority may go.
    struct Three {
        here: Memory,
        one: Memory,
        other: Memory,
        places: Places,
        own: Authority,
    }

    impl Three {
        async fn new() -> Self {
            let (here, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
            let own = Authority::ensure(&here, &places, 1).await.unwrap();
            Self { here, one: Memory::default(), other: Memory::default(), places, own }
        }

        fn sides<'a>(&'a self, there: &'a Memory, place: &'a str) -> Sides<'a> {
            Sides { here: &self.here, there, places: &self.places, place }
        }

        async fn fence(&self, moving: Move) -> Result<(), FenceError> {
            let layout = Layout::new("site1".parse().unwrap()).unwrap();
            fence(&self.here, &self.places, &layout, &Broker::own(), moving, 2).await
        }

        async fn mark(&self, store: &Memory, mark: Mark) {
            let marked = mark::read(store, &self.places).await.unwrap();
            mark::write(store, &self.places, &marked, mark, 1).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_store_that_waits_for_a_push_gets_nothing_of_another_move() {
        let three = Three::new().await;
        let (one, other) = (three.sides(&three.one, "one"), three.sides(&three.other, "other"));
        // A push that came no further than its claim; then the authority went another way.
        let early = one.claim(&three.own, 1).await.unwrap();
        let claimed = other.claim(&three.own, 1).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        assert!(matches!(one.begun().await, Err(PushError::OtherDestination)));
        assert!(matches!(one.claim(&three.own, 2).await, Err(PushError::Overtaken)));
        assert!(matches!(three.fence(early.moving.clone()).await, Err(FenceError::Overtaken)));
        assert!(matches!(one.arrive(&three.own, Some(&early), 2).await, Err(PushError::Overtaken)));
        assert!(!one.theirs().await.unwrap().mark.unwrap().is_here());
        // The control: the move that it is fenced for goes on, and arrives.
        assert_eq!(other.begun().await.unwrap(), Begun::Claimed);
        let claimed = other.claim(&three.own, 2).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        other.arrive(&three.own, Some(&claimed), 2).await.unwrap();
        assert!(other.theirs().await.unwrap().mark.unwrap().is_here());
        assert_eq!(other.begun().await.unwrap(), Begun::Done);
    }

    #[tokio::test]
    async fn a_store_is_not_pushed_into_itself() {
        let three = Three::new().await;
        let (own, one) = (three.sides(&three.here, "by another name"), three.sides(&three.one, "one"));
        assert!(matches!(own.are_two(&three.own).await, Err(PushError::Itself)));
        // Neither a place that is empty nor one that an earlier push has been to.
        one.are_two(&three.own).await.unwrap();
        let claimed = one.claim(&three.own, 1).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        one.arrive(&three.own, Some(&claimed), 2).await.unwrap();
        one.are_two(&three.own).await.unwrap();
    }

    #[tokio::test]
    async fn what_arrived_by_an_earlier_move_does_not_end_a_later_one() {
        let three = Three::new().await;
        let (one, other) = (three.sides(&three.one, "one"), three.sides(&three.other, "other"));
        let claimed = one.claim(&three.own, 1).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        let fenced = one.ours().await.unwrap();
        let here = Mark::Here { from: Some(three.own.public().id()), id: claimed.moving.id.clone() };
        three.mark(&three.one, here).await;
        assert_eq!(one.begun().await.unwrap(), Begun::Done, "the control");
        // Somebody has said that the store is lost.
        unfence(&three.here, &three.places, &fenced, 2).await.unwrap();
        three.fence(other.claim(&three.own, 2).await.unwrap().moving).await.unwrap();
        assert!(matches!(one.begun().await, Err(PushError::OtherDestination)));
        assert!(matches!(one.arrive(&three.own, Some(&claimed), 3).await, Err(PushError::Overtaken)));
        assert!(matches!(one.ours().await.unwrap().mark, Some(Mark::Moving { .. })));
        // Nor is it where the authority is in the end.
        Authority::ensure(&three.one, &three.places, 1).await.unwrap();
        let claimed = other.claim(&three.own, 3).await.unwrap();
        other.arrive(&three.own, Some(&claimed), 3).await.unwrap();
        assert_eq!(other.begun().await.unwrap(), Begun::Done);
        other.arrive(&three.own, None, 3).await.unwrap();
        assert!(matches!(one.begun().await, Err(PushError::Elsewhere(_))));
        assert!(matches!(one.arrive(&three.own, None, 3).await, Err(PushError::Overtaken)));
    }

    #[tokio::test]
    async fn a_push_goes_on_under_another_leader_and_names_it() {
        let three = Three::new().await;
        let (then, now) = (three.sides(&three.one, "leader"), three.sides(&three.one, "another"));
        let claimed = then.claim(&three.own, 1).await.unwrap();
        three.fence(claimed.moving).await.unwrap();
        assert_eq!(now.begun().await.unwrap(), Begun::Claimed);
        let claimed = now.claim(&three.own, 2).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        let Some(Mark::Moving(moving)) = now.ours().await.unwrap().mark else { panic!("it is fenced") };
        assert_eq!(moving.to, "another");
        now.arrive(&three.own, Some(&claimed), 2).await.unwrap();
    }

    #[tokio::test]
    async fn a_push_that_an_older_donjon_began_is_known_by_its_address() {
        let three = Three::new().await;
        let from = three.own.public().id();
        three.mark(&three.here, Mark::Moving(Move { to: "one".to_owned(), id: None })).await;
        for store in [&three.one, &three.other] {
            three.mark(store, Mark::Arriving { from: from.clone(), id: None, follows: false }).await;
        }
        let (one, other) = (three.sides(&three.one, "one"), three.sides(&three.other, "other"));
        assert!(matches!(other.begun().await, Err(PushError::OtherDestination)));
        assert_eq!(one.begun().await.unwrap(), Begun::Claimed);
        let claimed = one.claim(&three.own, 2).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        one.arrive(&three.own, Some(&claimed), 2).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_followed_follows_again_once_the_push_into_it_is_taken_back() {
        let three = Three::new().await;
        three.mark(&three.one, Mark::Following {}).await;
        let (one, other) = (three.sides(&three.one, "one"), three.sides(&three.other, "other"));
        let refusal = async |sides: &Sides<'_>| sides.theirs().await.unwrap().mark.unwrap().refusal();
        for _ in 0..2 {
            for sides in [&one, &other] {
                let claimed = sides.claim(&three.own, 1).await.unwrap();
                assert_eq!(refusal(sides).await, Some(Elsewhere::Arriving));
                three.fence(claimed.moving).await.unwrap();
                sides.take_back(2).await.unwrap();
            }
            assert_eq!(refusal(&one).await, Some(Elsewhere::Following));
            assert_eq!(refusal(&other).await, Some(Elsewhere::Withdrawn), "the control");
        }
        // It is what was pushed before, so the same push goes on with it.
        assert_eq!(one.begun().await.unwrap(), Begun::Claimed);
        let claimed = one.claim(&three.own, 3).await.unwrap();
        three.fence(claimed.moving.clone()).await.unwrap();
        one.arrive(&three.own, Some(&claimed), 3).await.unwrap();
        assert_eq!(refusal(&one).await, None);
    }
}
