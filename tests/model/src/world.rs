//! Everything outside the brokers: the store, the server's accounts, the readers, and messages under way.

use crate::{broker::Broker, effect::Effect};
use donjon_policies::transition::State;

/// A value of the secret; [`FIRST`] is the one from before any rotation.
pub type Value = u8;

/// The value from before any rotation.
pub const FIRST: Value = 0;

/// A rotation, by the order of beginning.
pub type Rotation = usize;

/// A version of a record: the first is 1.
pub type Version = u8;

/// Values that an account accepts, one bit each.
pub type Values = u16;

/// The world at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The store.
    pub store: Store,
    /// The server.
    pub server: Server,
    /// What readers of the store answer until they have looked again.
    pub cache: Value,
    /// The consumers.
    pub consumers: Vec<Consumer>,
    /// What each broker does; `None` where nobody has told it anything, or its process has ended.
    pub brokers: [Option<Broker>; 2],
    /// Messages whose sender has ended, or that were sent twice.
    pub late: Vec<Effect>,
    /// What may still happen.
    pub left: Left,
    /// The first thing that must never happen, once it has.
    pub foul: Option<&'static str>,
}

/// The records of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Store {
    /// Every version of what consumers read.
    pub record: Vec<Value>,
    /// The labels of the secret.
    pub labels: Labels,
    /// The new value of each rotation, until the secret is let go.
    pub pending: Vec<Option<Value>>,
    /// The journal of each rotation that was begun.
    pub journals: Vec<Option<Journal>>,
}

/// The labels of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Labels {
    /// The version of their record.
    pub version: Version,
    /// The rotation that holds the secret.
    pub rotation: Option<Rotation>,
    /// The version that consumers read, as of the last rotation.
    pub current: Option<Version>,
}

/// The journal of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Journal {
    /// The version of its record.
    pub version: Version,
    /// Where it stands.
    pub state: State,
    /// Whether it was ever Staged.
    pub staged: bool,
    /// Whether it was ever Verified.
    pub verified: bool,
    /// The version that was current before.
    pub old: Version,
    /// The version that holds the new value, once published.
    pub new: Option<Version>,
    /// The consumers that were touched, one bit each.
    pub touched: u8,
    /// The consumers that were proven on the new value.
    pub proven: u8,
    /// Whether the old value came back once.
    pub returned: bool,
}

/// The server that holds the accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// What each account accepts.
    pub accounts: Vec<Values>,
    /// Who holds the lock of each rotation.
    pub locks: Vec<Option<Holder>>,
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A broker's connection.
    Broker(usize),
    /// A connection whose broker has ended, and whose statement is still under way.
    Late,
}

/// A consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// The value that it read when it started, and that its sessions were opened with.
    pub holds: Value,
    /// The rotations that were Verified when it started, one bit each.
    pub since: u8,
}

/// What may still happen: it bounds the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// Rotations that can be begun.
    pub rotations: u8,
    /// Times that a broker takes over, to resume or to abort.
    pub takeovers: u8,
    /// Messages that come late or twice.
    pub late: u8,
    /// Consumers that fail.
    pub failures: u8,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(accounts: usize, consumers: usize, left: Left) -> Self {
        let rotations = usize::from(left.rotations);
        Self {
            store: Store {
                record: vec![FIRST],
                labels: Labels { version: 0, rotation: None, current: None },
                pending: vec![None; rotations],
                journals: vec![None; rotations],
            },
            server: Server { accounts: vec![bit(FIRST); accounts], locks: vec![None; rotations] },
            cache: FIRST,
            consumers: vec![Consumer { holds: FIRST, since: 0 }; consumers],
            brokers: [None, None],
            late: Vec::new(),
            left,
            foul: None,
        }
    }

    /// Remembers that something happened that must not.
    pub fn foul(&mut self, what: &'static str) {
        self.foul = self.foul.or(Some(what));
    }

    /// A consumer starts: it reads, and logs in.
    pub fn start(&mut self, consumer: usize) {
        let verified = |journal: &Option<Journal>| journal.is_some_and(|j| j.verified && !j.state.ended());
        let journals = self.store.journals.iter().enumerate();
        let since = journals.filter(|(_, journal)| verified(journal)).map(|(at, _)| 1 << at).sum();
        self.consumers[consumer] = Consumer { holds: self.cache, since };
    }
}

impl Store {
    /// What it serves, and the version of that.
    pub fn served(&self) -> (Version, Value) {
        (self.record.len() as Version, *self.record.last().expect("there is a first version"))
    }

    /// One version of the record.
    pub fn version(&self, version: Version) -> Option<Value> {
        self.record.get(usize::from(version).checked_sub(1)?).copied()
    }
}

/// One value among those that an account accepts.
pub fn bit(value: Value) -> Values {
    1 << value
}
