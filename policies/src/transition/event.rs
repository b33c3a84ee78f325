//! What can happen to a rotation.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The new value was stored and read back.
    Stored,
    /// Every account was told to accept both; every node has the next key.
    BothDeclared,
    /// Every login with the new value succeeded.
    NewAccepted,
    /// The records that consumers read hold the new value, and the epoch says so.
    RecordsWritten,
    /// The target accepts the new value, and the old one no longer where it holds one alone.
    NewAlone,
    /// The first consumer is about to restart.
    RestartsBegun,
    /// Every consumer was seen on the new value and no older session is left.
    ConsumersProven,
    /// The old value was removed and every login with it was refused.
    OldRefused,
    /// The trial went by; the previous value has its date of destruction.
    TrialPassed,
    /// Every node signs with the new key.
    KeysPromoted,
    /// Keys that nothing alive was signed with are gone from every node.
    KeysPruned,
    /// A person asked to go back.
    AbortAsked,
    /// A consumer did not come up on the new value.
    ConsumerFailed,
    /// Going back is complete: the old value alone is valid and the new one is gone.
    OldAlone,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 14] = [
        Self::Stored,
        Self::BothDeclared,
        Self::NewAccepted,
        Self::RecordsWritten,
        Self::NewAlone,
        Self::RestartsBegun,
        Self::ConsumersProven,
        Self::OldRefused,
        Self::TrialPassed,
        Self::KeysPromoted,
        Self::KeysPruned,
        Self::AbortAsked,
        Self::ConsumerFailed,
        Self::OldAlone,
    ];
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "storing the new value",
            Self::BothDeclared => "declaring both values",
            Self::NewAccepted => "accepting the new value",
            Self::RecordsWritten => "publishing",
            Self::NewAlone => "switching to the new value",
            Self::RestartsBegun => "restarting consumers",
            Self::ConsumersProven => "proving the consumers",
            Self::OldRefused => "removing the old value",
            Self::TrialPassed => "passing the trial",
            Self::KeysPromoted => "promoting the next key",
            Self::KeysPruned => "pruning old keys",
            Self::AbortAsked => "aborting",
            Self::ConsumerFailed => "a consumer's failure",
            Self::OldAlone => "going back",
        })
    }
}
