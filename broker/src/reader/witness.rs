//! Who is told of each answer before it is given: the audit log, behind a small trait.

use super::peer::Peer;
use donjon_drivers::store::RecordPath;
use donjon_policies::name::RoleName;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A role showed its credential.
    Login,
    /// A value was read.
    Read,
    /// Names or versions were read.
    List,
    /// A token was renewed, or given up.
    Token,
}

/// How it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it was asked.
    Done,
    /// It was refused.
    Refused,
    /// It was not there.
    Missing,
    /// It could not be answered.
    Failed,
}

/// One line. No field can hold a value or anything else that a client typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Who is on the other end.
    pub peer: Peer,
    /// As what, where a role was known.
    pub role: Option<&'a RoleName>,
    /// What.
    pub act: Act,
    /// Which record, where one was meant; of what was not answered, only one that some role may read: any other is what a
    /// client typed, and may be a value that slipped into the place of a name.
    pub path: Option<&'a RecordPath>,
    /// How many were asked for at once, where the line does not name each.
    pub asked: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Keeps the lines. Once it returns, the kernel has the line; if it fails, nothing is answered.
pub trait Witness: Send + Sync {
    /// Takes one line.
    fn record(&self, seen: &Seen<'_>) -> Result<(), Unwitnessed>;
}

/// The line could not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit line could not be written")]
pub struct Unwitnessed;
