//! What a broker does at each point: `broker/src/rotation` in as many words, each of them one effect or one look.

mod back;
mod begin;
mod change;
mod forward;

use crate::{
    broker::{At, Broker, Change, What},
    effect::Effect,
    mistake::{Mistake, after},
    world::{Journal, Value, World, bit},
};
use donjon_policies::transition::{Event, State};

/// What a broker does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// It has looked, and goes on here.
    Look(Broker),
    /// It sends a message, and goes on at the first if it is done, at the second if another was faster.
    Act(Effect, Option<Broker>, Option<Broker>),
    /// It takes the lock of its rotation, from whoever has it, and goes on here; it lets it go with what follows the change.
    Take(Broker),
    /// It ends: it was overtaken, or refused.
    Stop,
    /// It ends with an error that nobody should ever see.
    Foul(&'static str),
}

impl Broker {
    /// What it does next, in this world.
    pub fn doing(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        match self.at {
            At::Preflight => self.preflight(world),
            At::Create => self.create(),
            At::TakeOver(asked) => self.take_over(asked),
            At::Renew(asked) => self.renew(world, asked, mistake),
            At::RenewWrite(asked, seen) => self.renew_write(world, asked, seen),
            At::Claim(why) => self.claim(world, why),
            At::ClaimAsk(why, seen) => self.asks(world, At::ClaimWrite(why, seen)),
            At::ClaimWrite(why, seen) => self.claim_write(world, why, seen),
            At::GiveUp => self.give_up(mistake),
            At::AbortLook => self.abort_look(world, mistake),
            At::Step => self.step(world, mistake),
            At::Lost => match self.newest(world) {
                true => Doing::Foul("the labels no longer name a rotation, and nobody else drives it"),
                false => Doing::Stop,
            },
            At::Move(event) => self.moves(event, mistake),
            At::Stage => self.stage(world),
            At::StageWrite => self.stage_write(world),
            At::Change(change) => self.change(world, change, mistake),
            At::Overtake(change) => self.asks(world, At::Kill(change)),
            At::Kill(change) => self.kill(world, change, mistake),
            At::Ask(change, seen) => self.ask(world, change, seen),
            At::Say(change, seen) => self.say(world, change, seen, mistake),
            At::Verify => self.if_both(world, What::Verify, At::Move(Event::NewAccepted)),
            At::Publish if mistake == Some(Mistake::StoreThenAlter) => self.look(At::Record),
            At::Publish => self.if_both(world, What::Publish, At::Record),
            At::Record => self.record(world),
            At::Tell(told) => self.tell(told),
            At::Roll => self.roll(world, mistake),
            At::Touch(consumer) => self.touch(consumer),
            At::Restart(consumer) => Doing::Act(Effect::Restart(consumer), self.at(At::Prove(consumer)), None),
            At::Prove(consumer) => self.prove(consumer),
            At::Proven => self.saved(self.held, At::Roll),
            At::Alone(side) => self.alone(world, side),
            At::Trial => self.look(At::Release),
            At::Returned => self.saved_and_ends(Journal { returned: true, ..self.held }),
            At::Shut => self.shut(world, mistake),
            At::Back => self.if_both(world, What::Back, At::Restore),
            At::Restore => self.restore(world, mistake),
            At::Return(consumer) => self.returns(world, consumer, mistake),
            At::Release => self.release(world, mistake),
            At::ReleaseAsk(seen) => self.asks(world, At::ReleasePending(seen)),
            At::ReleasePending(seen) => {
                Doing::Act(Effect::PendingGone(self.rotation), self.at(At::ReleaseWrite(seen)), None)
            }
            At::ReleaseWrite(seen) => self.release_write(world, seen),
        }
    }

    /// The step that follows its state, once it has seen whether it holds the secret.
    fn step(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        let state = self.held.state;
        let mine = world.store.labels.rotation == Some(self.rotation);
        if !mine {
            return self.look(match state {
                State::Planned => At::Move(Event::Stored),
                State::Trial => At::Move(Event::TrialPassed),
                State::Aborting | State::Restoring => At::Move(Event::OldAlone),
                State::Staged
                | State::Added
                | State::Verified
                | State::Published
                | State::Switched
                | State::Rolling
                | State::Wave
                | State::Promoted
                | State::Drained
                | State::Retired
                | State::Settled
                | State::Aborted
                | State::Restored => At::Lost,
            });
        }
        let change = |what| At::Change(Change { account: 0, what });
        let at = match state {
            State::Planned => At::Stage,
            State::Staged => change(What::Declare),
            State::Added => At::Verify,
            State::Verified => At::Publish,
            State::Published => At::Move(Event::RestartsBegun),
            State::Rolling => At::Roll,
            State::Drained => change(What::RemoveOld),
            State::Trial if self.held.returned => change(What::HoldOff),
            // Whoever drove it before may stall where the old value comes back.
            State::Trial if self.taken_over && mistake != Some(Mistake::TrialHoldsOffNobody) => change(What::HoldOff),
            State::Trial => At::Trial,
            // Before Staged the server knows of nothing, and what is pending goes only once the server has forgotten it.
            State::Aborting if !self.held.staged || world.store.pending[self.rotation].is_none() => At::Release,
            State::Aborting if self.held.verified => At::Shut,
            State::Aborting => change(What::RemoveNew),
            State::Restoring => At::Back,
            State::Switched
            | State::Wave
            | State::Promoted
            | State::Retired
            | State::Settled
            | State::Aborted
            | State::Restored => return Doing::Foul("no step follows a state"),
        };
        let new = match self.held.new {
            Some(version) => world.store.version(version),
            None => world.store.pending[self.rotation],
        };
        match (new, at) {
            (Some(new), at) => Doing::Look(Self { new, at, ..self.clone() }),
            (None, at @ (At::Stage | At::Release)) => self.look(at),
            // Removed by whoever has overtaken it.
            (None, _) if !self.newest(world) => Doing::Stop,
            (None, _) => Doing::Foul("the new value is not in the store"),
        }
    }

    fn moves(&self, event: Event, mistake: Option<Mistake>) -> Doing {
        let Some(state) = after(mistake, self.held.state, event) else {
            return Doing::Foul("the table has no move for what happened");
        };
        let staged = self.held.staged || state == State::Staged;
        let verified = self.held.verified || state == State::Verified;
        let journal = Journal { state, staged, verified, ..self.held };
        if state.ended() { self.saved_and_ends(journal) } else { self.saved(journal, At::Step) }
    }

    /// The old value of its rotation.
    fn old(&self, world: &World) -> Value {
        world.store.version(self.held.old).expect("a rotation began from a version that is there")
    }

    /// Goes on if every account accepts both values; else declares them again first.
    fn if_both(&self, world: &World, again: What, then: At) -> Doing {
        let both = bit(self.old(world)) | bit(self.new);
        let accepted = world.server.accounts.iter().all(|accepts| accepts & both == both);
        self.look(if accepted { then } else { At::Change(Change { account: 0, what: again }) })
    }

    /// Whether nobody else wrote the journal since.
    fn newest(&self, world: &World) -> bool {
        world.store.journals[self.rotation].is_some_and(|journal| journal.version == self.held.version)
    }

    /// Goes on if nobody has overtaken it.
    fn asks(&self, world: &World, then: At) -> Doing {
        if self.newest(world) { self.look(then) } else { Doing::Stop }
    }

    fn look(&self, at: At) -> Doing {
        Doing::Look(Self { at, ..self.clone() })
    }

    fn at(&self, at: At) -> Option<Self> {
        Some(Self { at, ..self.clone() })
    }

    /// Writes the journal, and goes on.
    fn saved(&self, journal: Journal, at: At) -> Doing {
        let expected = Some(self.held.version);
        let held = Journal { version: self.held.version + 1, ..journal };
        Doing::Act(Effect::Journal(self.rotation, expected, journal), Some(Self { held, at, ..self.clone() }), None)
    }

    /// Writes the journal for the last time.
    fn saved_and_ends(&self, journal: Journal) -> Doing {
        Doing::Act(Effect::Journal(self.rotation, Some(self.held.version), journal), None, None)
    }
}
