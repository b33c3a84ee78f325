//! Effects: what a message does to the store or the server when it arrives, which may be late, or twice.

use crate::{
    mistake::Mistake,
    world::{Holder, Journal, Labels, Rotation, Value, Values, Version, World},
};

/// A message that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Writes a journal over this version of it.
    Journal(Rotation, Option<Version>, Journal),
    /// Writes the labels over this version of them.
    Labels(Rotation, Version, Labels),
    /// Stores a new value, where none is pending.
    Pending(Rotation, Value),
    /// Removes what is pending.
    PendingGone(Rotation),
    /// Writes the record over this version of it.
    Record(Rotation, Version, Value),
    /// Changes an account.
    Statement(Statement),
    /// Bumps the epoch, and waits until no reader answers with what was served before.
    Epoch,
    /// Restarts a consumer.
    Restart(usize),
}

/// A change of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statement {
    /// For which rotation.
    pub rotation: Rotation,
    /// Over whose connection.
    pub by: Holder,
    /// Which account.
    pub account: usize,
    /// What it accepted when it was looked at.
    pub seen: Values,
    /// What it is to accept.
    pub wanted: Values,
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is not: somebody was faster.
    Refused,
}

impl Effect {
    /// Whether it can arrive after its sender has given up. A consumer's restart is a command on its host, and an epoch
    /// that is bumped once more changes nothing.
    pub fn travels(&self) -> bool {
        match self {
            Self::Journal(..)
            | Self::Labels(..)
            | Self::Pending(..)
            | Self::PendingGone(_)
            | Self::Record(..)
            | Self::Statement(_) => true,
            Self::Epoch | Self::Restart(_) => false,
        }
    }
}

impl World {
    /// An effect arrives.
    pub fn apply(&mut self, effect: &Effect, mistake: Option<Mistake>) -> Answer {
        let newest = |holds: bool| if holds { Answer::Done } else { Answer::Refused };
        match *effect {
            Effect::Journal(rotation, expected, journal) => {
                let there = self.store.journals[rotation].map(|journal| journal.version);
                let blind = mistake == Some(Mistake::JournalOverwritten) && there.is_some() && expected.is_some();
                if there != expected && !blind {
                    return Answer::Refused;
                }
                let version = there.unwrap_or(0) + 1;
                self.store.journals[rotation] = Some(Journal { version, ..journal });
                Answer::Done
            }
            Effect::Labels(_, expected, labels) => {
                let holds = self.store.labels.version == expected;
                if holds {
                    self.store.labels = Labels { version: expected + 1, ..labels };
                }
                newest(holds)
            }
            Effect::Pending(rotation, value) => {
                let free = self.store.pending[rotation].is_none();
                if free {
                    self.store.pending[rotation] = Some(value);
                }
                newest(free)
            }
            Effect::PendingGone(rotation) => {
                self.store.pending[rotation] = None;
                Answer::Done
            }
            Effect::Record(rotation, expected, value) => {
                let holds = self.store.served().0 == expected;
                if holds {
                    self.held_by(rotation, "a record was written by a rotation that does not hold the secret");
                    self.store.record.push(value);
                }
                newest(holds)
            }
            Effect::Statement(ref statement) => newest(self.run(statement, mistake)),
            Effect::Epoch => {
                if mistake != Some(Mistake::ReadersNotAwaited) {
                    self.cache = self.store.served().1;
                }
                Answer::Done
            }
            Effect::Restart(consumer) => {
                self.start(consumer);
                Answer::Done
            }
        }
    }

    /// A statement arrives at the server: does its connection live, and is the account as its sender saw it?
    fn run(&mut self, statement: &Statement, mistake: Option<Mistake>) -> bool {
        let Statement { rotation, by, account, seen, wanted } = *statement;
        let fenced = mistake != Some(Mistake::NoFence);
        if fenced && (self.server.locks[rotation] != Some(by) || self.server.accounts[account] != seen) {
            return false;
        }
        self.server.locks[rotation] = None;
        if self.server.accounts[account] != wanted {
            self.held_by(rotation, "an account was changed by a rotation that does not hold the secret");
        }
        self.server.accounts[account] = wanted;
        true
    }

    fn held_by(&mut self, rotation: Rotation, otherwise: &'static str) {
        if self.store.labels.rotation != Some(rotation) {
            self.foul(otherwise);
        }
    }
}
