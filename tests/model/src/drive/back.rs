//! Going back, from before a publication or after it: `step/undo.rs`.

use super::Doing;
use crate::{
    broker::{At, Broker, Change, Told, What},
    effect::Effect,
    mistake::Mistake,
    world::{Version, World},
};
use donjon_policies::transition::State;

/// A change of every account to the old value alone.
const REMOVE_NEW: At = At::Change(Change { account: 0, what: What::RemoveNew });

impl Broker {
    /// Writes the old value once more, so that whoever stalled before publishing is refused; over the new one, if it was
    /// faster: then consumers can have read that.
    pub(super) fn shut(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        let (version, served) = world.store.served();
        let old = self.old(world);
        let write = |next| Doing::Act(Effect::Record(self.rotation, version, old), self.at(next), None);
        if served == self.new {
            return write(At::Tell(Told::Return));
        }
        if version == self.held.old {
            return write(REMOVE_NEW);
        }
        let faster = world.store.version(self.held.old + 1) == Some(self.new);
        self.look(if faster && mistake != Some(Mistake::AbortLeavesConsumers) {
            At::Tell(Told::Return)
        } else {
            REMOVE_NEW
        })
    }

    /// Publishes the old value again, over the rotation's own publication alone.
    pub(super) fn restore(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        let (version, served) = world.store.served();
        let next = self.at(At::Tell(Told::Return));
        let old = self.old(world);
        let own = served == self.new || mistake == Some(Mistake::RestoredOverAnything);
        match (served == old, own || version == self.held.old) {
            (true, _) => self.look(At::Tell(Told::Return)),
            (false, true) => Doing::Act(Effect::Record(self.rotation, version, old), next, None),
            (false, false) => self.changed_meanwhile(world),
        }
    }

    /// Returns the next consumer that was touched, or has started by itself since the new value could be read.
    pub(super) fn returns(&self, world: &World, from: usize, mistake: Option<Mistake>) -> Doing {
        if self.held.state == State::Aborting && mistake == Some(Mistake::AbortLeavesConsumers) {
            return self.look(REMOVE_NEW);
        }
        let touched = |consumer: &usize| {
            self.held.touched & (1 << consumer) != 0 || world.consumers[*consumer].since & (1 << self.rotation) != 0
        };
        match (from..world.consumers.len()).find(touched) {
            Some(consumer) => Doing::Act(Effect::Restart(consumer), self.at(At::Return(consumer + 1)), None),
            None => self.look(REMOVE_NEW),
        }
    }

    /// The version that is current when the secret is let go.
    pub(super) fn current(&self, world: &World) -> Version {
        match (self.held.state, self.held.new) {
            (State::Trial, Some(new)) => new,
            (_, _) => world.store.served().0,
        }
    }
}
