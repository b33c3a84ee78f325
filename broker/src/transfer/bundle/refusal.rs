//! Why a bundle was refused: damaged, forged, stale, foreign, or not for these identities.

use super::manifest::{Epoch, Scope};
use crate::transfer::key::KeyId;
use donjon_drivers::store::RecordPath;
use donjon_policies::name::DeploymentName;
use std::fmt;

/// Why a bundle was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cut short or altered.
    #[error("the bundle is damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// Signed by nobody, or by someone else.
    #[error("the bundle is forged: {what}{}", signer.as_ref().map_or(String::new(), |id| format!(" (signed by {id})")))]
    Forged {
        /// What was found.
        what: &'static str,
        /// Who signed it, if anybody.
        signer: Option<KeyId>,
    },
    /// Too old.
    #[error("the bundle is stale: {0}")]
    Stale(Stale),
    /// For someone else.
    #[error("the bundle is foreign: {0}")]
    Foreign(Foreign),
    /// None of the identities can open it.
    #[error("none of the identities given can open the bundle")]
    WrongIdentity,
    /// Of a later format.
    #[error("the bundle was written by a newer donjon")]
    Newer,
}

/// In which way a bundle is too old. Not a cause of its own, so that the message is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// Its time is over.
    Expired {
        /// When it ended, in seconds since 1970.
        not_after: i64,
        /// Now.
        now: i64,
    },
    /// A newer one was accepted before, or another one of the same epoch.
    Older {
        /// Its epoch.
        found: Epoch,
        /// The epoch accepted before.
        accepted: Epoch,
    },
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { not_after, now } => write!(f, "it ended {} seconds ago", now.saturating_sub(*not_after)),
            Self::Older { found, accepted } if found == accepted => {
                write!(f, "another bundle of its epoch {found} was accepted before")
            }
            Self::Older { found, accepted } => write!(f, "its epoch is {found}, and {accepted} was accepted before"),
        }
    }
}

impl From<Stale> for OpenError {
    fn from(stale: Stale) -> Self {
        Self::Stale(stale)
    }
}

/// In which way a bundle is for someone else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// It is another deployment's.
    Deployment {
        /// Whose it is.
        found: DeploymentName,
        /// Whose was wanted.
        wanted: DeploymentName,
    },
    /// It is another site's, role's or host's, or the custodians'.
    Scope {
        /// For whom it is.
        found: Scope,
    },
    /// It holds a record that no bundle of its kind may hold.
    Record {
        /// Which one.
        path: RecordPath,
        /// For whom the bundle is.
        scope: Scope,
    },
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment { found, wanted } => write!(f, "it is of the deployment `{found}`, not of `{wanted}`"),
            Self::Scope { found } => write!(f, "it is for {found}"),
            Self::Record { path, scope } => write!(f, "it holds `{path}`, which no bundle for {scope} may hold"),
        }
    }
}

impl From<Foreign> for OpenError {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign)
    }
}
