//! Changing accounts: under a lock, after a look at the journal, over the row that was seen (`drivers/src/target/mariadb`).

use super::Doing;
use crate::{
    broker::{At, Broker, Change, Side, What},
    effect::{Effect, Statement},
    mistake::Mistake,
    world::{Holder, Values, World, bit},
};
use donjon_policies::transition::Event;

impl Broker {
    /// What an account is to accept.
    fn wanted(&self, world: &World, what: What, mistake: Option<Mistake>) -> Values {
        let (old, new) = (bit(self.old(world)), bit(self.new));
        match what {
            What::Declare if mistake == Some(Mistake::AlterThenStore) => new,
            What::Declare | What::Verify | What::Publish | What::Roll | What::Back | What::Return => old | new,
            What::RemoveOld | What::HoldOff => new,
            What::RemoveNew => old,
        }
    }

    /// Takes the lock where it is free, and looks at the account under it.
    pub(super) fn change(&self, world: &World, change: Change, mistake: Option<Mistake>) -> Doing {
        if mistake == Some(Mistake::NoFence) {
            return self.look(At::Ask(change, world.server.accounts[change.account]));
        }
        match world.server.locks[self.rotation] {
            Some(holder) if holder != Holder::Broker(self.own) => self.look(At::Overtake(change)),
            Some(_) | None => self.looked(world, change, mistake),
        }
    }

    /// Takes the lock, from whoever held it, and looks at the account. One that is right already is left alone.
    fn looked(&self, world: &World, change: Change, mistake: Option<Mistake>) -> Doing {
        let seen = world.server.accounts[change.account];
        let right = seen == self.wanted(world, change.what, mistake);
        let at = if right { self.changed(world, change) } else { At::Ask(change, seen) };
        Doing::Take(Self { at, ..self.clone() })
    }

    /// Ends the connection that holds the lock.
    pub(super) fn kill(&self, world: &World, change: Change, mistake: Option<Mistake>) -> Doing {
        self.looked(world, change, mistake)
    }

    /// Asks the journal, under the lock.
    pub(super) fn ask(&self, world: &World, change: Change, seen: Values) -> Doing {
        self.asks(world, At::Say(change, seen))
    }

    pub(super) fn say(&self, world: &World, change: Change, seen: Values, mistake: Option<Mistake>) -> Doing {
        let wanted = self.wanted(world, change.what, mistake);
        let (rotation, by, account) = (self.rotation, Holder::Broker(self.own), change.account);
        let statement = Statement { rotation, by, account, seen, wanted };
        Doing::Act(Effect::Statement(statement), self.at(self.changed(world, change)), None)
    }

    /// What follows the change of an account: the next one, or what it was for.
    fn changed(&self, world: &World, Change { account, what }: Change) -> At {
        if account + 1 < world.server.accounts.len() {
            return At::Change(Change { account: account + 1, what });
        }
        match what {
            What::Declare => At::Move(Event::BothDeclared),
            What::Verify => At::Move(Event::NewAccepted),
            What::Publish => At::Record,
            What::Roll => At::Roll,
            What::Back => At::Restore,
            What::Return => At::Returned,
            What::RemoveOld => At::Alone(Side::New),
            What::HoldOff => At::Trial,
            What::RemoveNew => At::Alone(Side::Old),
        }
    }

    /// One value is accepted everywhere and the other refused everywhere.
    pub(super) fn alone(&self, world: &World, side: Side) -> Doing {
        let (kept, then) = match side {
            Side::Old => (self.old(world), At::Release),
            Side::New => (self.new, At::Move(Event::OldRefused)),
        };
        match world.server.accounts.iter().all(|accepts| *accepts == bit(kept)) {
            true => self.look(then),
            false if self.newest(world) => Doing::Foul("an account accepts other values than it was told to"),
            false => Doing::Stop,
        }
    }
}
