//! What is happening while a Vault is brought up; told to a watcher, never printed here.

use std::{fmt, sync::Arc};

/// A step of a bring-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A bring-up that had not come to its end is wiped; nothing was stored in it.
    Clearing,
    /// The server is started.
    Starting,
    /// The server of an earlier daemon was found running.
    Found,
    /// The storage is made, and the unseal shares with it.
    Initialising,
    /// The shares are encrypted to their recipients and on disk.
    SharesKept,
    /// The server is unsealed.
    Unsealing,
    /// The mount, the policy and the broker's credential are made.
    Preparing,
    /// The root token is revoked.
    RevokingRoot,
    /// The broker logs in.
    LoggingIn,
    /// Shares are waited for.
    Waiting,
    /// It serves.
    Ready,
    /// The server has died.
    Died,
    /// It could not be brought back at once; it is tried again.
    Retrying,
}

/// Who is told.
pub type Watcher = Arc<dyn Fn(Step) + Send + Sync>;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clearing => "wiping a bring-up that had not come to its end; nothing was stored in it",
            Self::Starting => "starting the Vault server",
            Self::Found => "found the Vault server running",
            Self::Initialising => "making its storage",
            Self::SharesKept => "unseal shares encrypted to their recipients",
            Self::Unsealing => "unsealing",
            Self::Preparing => "making the mount, the policy and the broker's credential",
            Self::RevokingRoot => "revoking the root token",
            Self::LoggingIn => "the broker logs in",
            Self::Waiting => "waiting for unseal shares",
            Self::Ready => "the Vault is ready",
            Self::Died => "the Vault server has died",
            Self::Retrying => "the Vault server could not be brought back; trying again",
        })
    }
}
