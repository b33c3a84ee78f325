//! Beginning, claiming, taking over, aborting: `begin.rs`, `claim.rs` and the first lines of `drive.rs`.

use super::Doing;
use crate::{
    broker::{Asked, At, Broker, Claiming},
    effect::Effect,
    mistake::{Mistake, after},
    world::{Journal, Labels, Rotation, Version, World, bit},
};
use donjon_policies::transition::{Event, State};

impl Broker {
    /// A broker that is told to rotate.
    pub fn begins(own: usize, rotation: Rotation) -> Self {
        let held = Journal {
            version: 0,
            state: State::Planned,
            staged: false,
            verified: false,
            old: 0,
            new: None,
            touched: 0,
            proven: 0,
            returned: false,
        };
        Self { own, rotation, held, new: 0, taken_over: false, at: At::Preflight }
    }

    /// A broker that is told to resume or to abort a rotation, which it has just read.
    pub fn takes_over(own: usize, rotation: Rotation, held: Journal, asked: Asked) -> Self {
        Self { own, rotation, held, new: 0, taken_over: true, at: At::TakeOver(asked) }
    }

    pub(super) fn preflight(&self, world: &World) -> Doing {
        let (old, served) = world.store.served();
        let works = world.server.accounts.iter().all(|accepts| accepts & bit(served) != 0);
        if world.store.labels.rotation.is_some() || !works {
            return Doing::Stop;
        }
        Doing::Look(Self { held: Journal { old, ..self.held }, at: At::Create, ..self.clone() })
    }

    pub(super) fn create(&self) -> Doing {
        let held = Journal { version: 1, ..self.held };
        let next = Self { held, at: At::Claim(Claiming::Begin), ..self.clone() };
        Doing::Act(Effect::Journal(self.rotation, None, self.held), Some(next), None)
    }

    pub(super) fn take_over(&self, asked: Asked) -> Doing {
        self.saved(self.held, At::Renew(asked))
    }

    pub(super) fn renew(&self, world: &World, asked: Asked, mistake: Option<Mistake>) -> Doing {
        let labels = world.store.labels;
        let mine = labels.rotation == Some(self.rotation) && mistake != Some(Mistake::LetGoUnasked);
        self.look(if mine { At::RenewWrite(asked, labels.version) } else { self.renewed(asked) })
    }

    pub(super) fn renew_write(&self, world: &World, asked: Asked, seen: Version) -> Doing {
        // What was read: nobody but the holder changes more than the version.
        let labels = Labels { rotation: Some(self.rotation), ..world.store.labels };
        let next = self.at(self.renewed(asked));
        // Refused: the former one was faster, in its last step; the next look at the labels tells.
        Doing::Act(Effect::Labels(self.rotation, seen, labels), next.clone(), next)
    }

    fn renewed(&self, asked: Asked) -> At {
        let why = Claiming::TakeOver(asked);
        if self.held.state == State::Planned { At::Claim(why) } else { self.claimed(why) }
    }

    fn claimed(&self, why: Claiming) -> At {
        match why {
            Claiming::Begin | Claiming::TakeOver(Asked::Resume) => At::Step,
            Claiming::TakeOver(Asked::Abort) => At::AbortLook,
        }
    }

    fn unclaimed(&self, why: Claiming) -> At {
        match why {
            Claiming::Begin => At::GiveUp,
            Claiming::TakeOver(_) => At::Move(Event::AbortAsked),
        }
    }

    pub(super) fn claim(&self, world: &World, why: Claiming) -> Doing {
        let labels = world.store.labels;
        self.look(match labels.rotation {
            Some(rotation) if rotation == self.rotation => self.claimed(why),
            Some(_) => self.unclaimed(why),
            None => At::ClaimAsk(why, labels.version),
        })
    }

    pub(super) fn claim_write(&self, world: &World, why: Claiming, seen: Version) -> Doing {
        let labels = Labels { rotation: Some(self.rotation), ..world.store.labels };
        Doing::Act(
            Effect::Labels(self.rotation, seen, labels),
            self.at(self.claimed(why)),
            self.at(self.unclaimed(why)),
        )
    }

    pub(super) fn give_up(&self, mistake: Option<Mistake>) -> Doing {
        let state = after(mistake, self.held.state, Event::AbortAsked);
        match state.and_then(|state| after(mistake, state, Event::OldAlone)) {
            Some(state) => self.saved_and_ends(Journal { state, ..self.held }),
            None => Doing::Foul("nothing can be aborted"),
        }
    }

    pub(super) fn abort_look(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        let pending = world.store.pending[self.rotation];
        let published = self.held.state == State::Verified && Some(world.store.served().1) == pending;
        if published || after(mistake, self.held.state, Event::AbortAsked).is_none() {
            return Doing::Stop;
        }
        self.look(At::Move(Event::AbortAsked))
    }
}
