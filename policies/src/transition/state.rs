//! Where a rotation stands.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a rotation stands. The journal holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing but the journal is there.
    Planned,
    /// The new value is stored where no consumer reads, and was read back.
    Staged,
    /// Every account was told to accept both values; every node has the next key.
    Added,
    /// A fresh login with the new value succeeded on every node and account.
    Verified,
    /// Consumers read the new value from now on.
    Published,
    /// The target accepts the new value alone, though consumers still run on the old one.
    Switched,
    /// Consumers restart.
    Rolling,
    /// All readers restart as one.
    Wave,
    /// Every node signs with the new key.
    Promoted,
    /// Every consumer is proven on the new value and no older session is left.
    Drained,
    /// The old value is removed and refused.
    Trial,
    /// Done: the old value is gone.
    Retired,
    /// Done, on a path on which both were never valid together.
    Settled,
    /// The new value is being taken away again; no consumer could have read it.
    Aborting,
    /// Done: all is as before.
    Aborted,
    /// The old value is being published again.
    Restoring,
    /// Done: consumers run on the old value again.
    Restored,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 17] = [
        Self::Planned,
        Self::Staged,
        Self::Added,
        Self::Verified,
        Self::Published,
        Self::Switched,
        Self::Rolling,
        Self::Wave,
        Self::Promoted,
        Self::Drained,
        Self::Trial,
        Self::Retired,
        Self::Settled,
        Self::Aborting,
        Self::Aborted,
        Self::Restoring,
        Self::Restored,
    ];

    /// Whether nothing is left to do.
    pub fn ended(self) -> bool {
        matches!(self, Self::Retired | Self::Settled | Self::Aborted | Self::Restored)
    }

    /// Whether a consumer can have read the new value.
    pub fn published(self) -> bool {
        matches!(
            self,
            Self::Published
                | Self::Switched
                | Self::Rolling
                | Self::Wave
                | Self::Promoted
                | Self::Drained
                | Self::Trial
                | Self::Retired
                | Self::Settled
                | Self::Restoring
                | Self::Restored
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Staged => "staged",
            Self::Added => "added",
            Self::Verified => "verified",
            Self::Published => "published",
            Self::Switched => "switched",
            Self::Rolling => "rolling",
            Self::Wave => "wave",
            Self::Promoted => "promoted",
            Self::Drained => "drained",
            Self::Trial => "trial",
            Self::Retired => "retired",
            Self::Settled => "settled",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
            Self::Restoring => "restoring",
            Self::Restored => "restored",
        })
    }
}
