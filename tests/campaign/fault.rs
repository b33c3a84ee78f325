//! The faults, and how chance chooses one.

use super::chance::Chance;
use donjon::rotation::checkpoint::{ABORT_POINTS, MOVING, POINTS, RESTORE_POINTS};
use std::fmt;

/// What happens to a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The broker is killed at a named point: around a write of the journal, or after an effect.
    Kill(Point),
    /// As [`Self::Kill`], and the one that recovers is killed too.
    KillTwice(Point, Point),
    /// A person takes it back after it was killed, and the broker is killed again at a point of that.
    KillGoingBack(Point),
    /// A consumer fails on the new value, and the broker is killed at a point of the return.
    KillRestoring(Point),
    /// A consumer fails on the new value: on the canary.
    Canary,
    /// Something happens to a statement or its reply: below 20 to one that changes an account, else to any.
    Reply(Struck, usize),
    /// A statement is held before it reaches the server, and meanwhile something else happens: below 10 one that changes an
    /// account, else one that looks at accounts.
    Held(usize, Meanwhile),
    /// An answer of the store is lost.
    StoreAnswer(usize),
}

/// A named point, and how often it is passed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// How often it is passed.
    pub skip: usize,
}

/// What happens to a statement or its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Struck {
    /// It is lost on the way there.
    StatementLost,
    /// Its reply is lost.
    ReplyLost,
    /// Its reply stays away, and the broker is killed meanwhile.
    ReplyHeld,
    /// The server did it and says ERROR 1396, with other accounts done before.
    Error1396,
}

/// What happens while a statement is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// The broker is killed; the statement is lost, or arrives when another has begun to recover.
    BrokerKilled {
        /// Whether it arrives late.
        late: bool,
    },
    /// The server begins to refuse hashes: ERROR 1396 from the server itself, with other accounts done before.
    HashesRefused,
    /// A server is killed as by a power cut, and started again.
    ServerKilled,
    /// A node stops answering for a while.
    Paused(usize),
    /// A node is cut off from the others for a while.
    CutOff(usize),
    /// The store's server is killed and started again.
    StoreKilled,
    /// The store is sealed and unsealed.
    StoreSealed,
    /// The store's disk is full for a while.
    DiskFull,
    /// The broker is stopped, another one takes over and ends the rotation, and then the first goes on.
    Overtaken {
        /// Whether the other one also rotates once more before the first goes on.
        again: bool,
    },
}

/// Which secrets rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// MySQL root.
    Root,
    /// A service user with a consumer.
    Service,
    /// Both as one.
    Both,
}

impl Rotated {
    /// Their names.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Root => &["database_password"],
            Self::Service => &["nova_database_password"],
            Self::Both => &["database_password", "nova_database_password"],
        }
    }
}

impl Fault {
    /// Whether it needs a cluster, or a disk of its own.
    fn possible(&self, clustered: bool, disk: bool) -> bool {
        match self {
            Self::Held(_, Meanwhile::CutOff(_)) => clustered,
            Self::Held(_, Meanwhile::ServerKilled | Meanwhile::HashesRefused) => !clustered,
            Self::Held(_, Meanwhile::DiskFull) => disk,
            Self::Kill(_)
            | Self::KillTwice(..)
            | Self::KillGoingBack(_)
            | Self::KillRestoring(_)
            | Self::Canary
            | Self::Reply(..)
            | Self::Held(..)
            | Self::StoreAnswer(_) => true,
        }
    }

    /// One by chance, with what it strikes.
    pub(super) fn choose(chance: &mut Chance, clustered: bool, disk: bool) -> (Self, Rotated) {
        loop {
            let rotated = *chance.pick(&[Rotated::Root, Rotated::Service, Rotated::Both]);
            let fault = Self::any(chance, clustered, rotated);
            if fault.possible(clustered, disk) {
                let consumed = matches!(fault, Self::Canary | Self::KillRestoring(_));
                return (fault, if consumed { Rotated::Service } else { rotated });
            }
        }
    }

    fn any(chance: &mut Chance, clustered: bool, rotated: Rotated) -> Self {
        let node = chance.below(3);
        match chance.below(100) {
            0..36 => Self::Kill(Point::on_the_way(chance, rotated)),
            36..48 => Self::KillTwice(Point::on_the_way(chance, rotated), Point::on_the_way(chance, rotated)),
            48..53 => Self::KillGoingBack(Point::once(chance, ABORT_POINTS)),
            53..56 => Self::KillRestoring(Point::once(chance, RESTORE_POINTS)),
            56 => Self::Canary,
            57..79 => {
                let struck = [Struck::StatementLost, Struck::ReplyLost, Struck::ReplyHeld, Struck::Error1396];
                Self::Reply(*chance.pick(&struck), chance.below(40))
            }
            79..87 => Self::StoreAnswer(chance.below(60)),
            87..92 => {
                let late = chance.percent(50);
                Self::Held(chance.below(20), Meanwhile::BrokerKilled { late })
            }
            92..94 => {
                let again = chance.percent(50);
                Self::Held(chance.below(20), Meanwhile::Overtaken { again })
            }
            94..97 => {
                let which = if clustered { chance.below(2) } else { 0 };
                Self::Held(chance.below(10), [Meanwhile::Paused(node), Meanwhile::CutOff(node)][which])
            }
            _ => {
                let rare = [
                    Meanwhile::HashesRefused,
                    Meanwhile::ServerKilled,
                    Meanwhile::StoreKilled,
                    Meanwhile::StoreSealed,
                    Meanwhile::DiskFull,
                ];
                Self::Held(chance.below(10), *chance.pick(&rare))
            }
        }
    }
}

impl Point {
    fn on_the_way(chance: &mut Chance, rotated: Rotated) -> Self {
        loop {
            let point = if chance.percent(30) { Self::once(chance, MOVING) } else { Self::once(chance, POINTS) };
            let of_consumers = matches!(point.name.as_str(), "rotation.restarted" | "rotation.acknowledged");
            let of_accounts = matches!(point.name.as_str(), "rotation.declared" | "rotation.old-removed");
            let most = match rotated {
                Rotated::Root | Rotated::Service if of_accounts => 2,
                Rotated::Root | Rotated::Service => 1,
                Rotated::Both => 2,
            };
            if !(of_consumers && rotated == Rotated::Root) {
                return Self { skip: if of_consumers { 0 } else { chance.below(most) }, ..point };
            }
        }
    }

    fn once(chance: &mut Chance, names: &[&str]) -> Self {
        Self { name: (*chance.pick(names)).to_owned(), skip: 0 }
    }

    /// As the broker is told of it.
    pub(super) fn armed(&self) -> String {
        match self.skip {
            0 => format!("{}=return", self.name),
            skip => format!("{}={skip}*off->return", self.name),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(point) => write!(f, "kill at {}+{}", point.name, point.skip),
            Self::KillTwice(one, two) => {
                write!(f, "kill at {}+{}, then at {}+{}", one.name, one.skip, two.name, two.skip)
            }
            Self::KillGoingBack(point) => write!(f, "kill in abort at {}+{}", point.name, point.skip),
            Self::KillRestoring(point) => write!(f, "kill in return at {}+{}", point.name, point.skip),
            Self::Canary => write!(f, "canary fails"),
            Self::Reply(struck, number) => write!(f, "{struck:?} at statement {number}"),
            Self::Held(number, meanwhile) => write!(f, "{meanwhile:?} at statement {number}"),
            Self::StoreAnswer(number) => write!(f, "answer {number} of the store lost"),
        }
    }
}

impl Fault {
    /// Its kind, for the tally.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Kill(_) | Self::KillTwice(..) => "kill -9 at a named point".into(),
            Self::KillGoingBack(_) => "kill -9 in an abort".into(),
            Self::KillRestoring(_) => "kill -9 in a return".into(),
            Self::Canary => "canary fails".into(),
            Self::Reply(struck, _) => format!("{struck:?}"),
            Self::Held(_, Meanwhile::Paused(_)) => "Paused".into(),
            Self::Held(_, Meanwhile::CutOff(_)) => "CutOff".into(),
            Self::Held(_, meanwhile) => format!("{meanwhile:?}"),
            Self::StoreAnswer(_) => "store's answer lost".into(),
        }
    }
}
