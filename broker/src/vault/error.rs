//! Why the temporary Vault is not up.

use super::{binary::BinaryError, custody::CustodyError, process::ProcessError, shares::ShareError, state::StateError};
use donjon_drivers::{
    fs::FileError,
    store::vault::{AddressError, CallError},
};
use std::{path::PathBuf, time::Duration};

/// Why the temporary Vault is not up.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no server to run.
    #[error("no Vault server can be started")]
    Binary(#[from] BinaryError),
    /// The custodians cannot be custodians.
    #[error("the custodians cannot be used")]
    Custody(#[from] CustodyError),
    /// It is there, in another custody.
    #[error("the temporary Vault of this DONJON_HOME is in another custody than was asked for")]
    OtherCustody,
    /// Its state cannot be used.
    #[error("the temporary Vault's state cannot be used")]
    State(#[from] StateError),
    /// A file cannot be written or read.
    #[error("a file of the temporary Vault cannot be written or read")]
    File(#[from] FileError),
    /// Its process cannot be started, followed or ended.
    #[error("the Vault server's process cannot be managed")]
    Process(#[from] ProcessError),
    /// Its certificates could not be made.
    #[error("the Vault server's certificates cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// Its address cannot be used.
    #[error("the Vault server's address cannot be used")]
    Address(#[from] AddressError),
    /// It ended right after its start.
    #[error("the Vault server ended right after its start; {} says why", log.display())]
    Ended {
        /// Its log.
        log: PathBuf,
    },
    /// It does not answer.
    #[error("the Vault server did not answer within {} s of its start; {} may say why", within.as_secs(), log.display())]
    Silent {
        /// How long it was waited for.
        within: Duration,
        /// Its log.
        log: PathBuf,
    },
    /// It refused something.
    #[error("cannot {act}")]
    Call {
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: CallError,
    },
    /// A share or the identity cannot be used.
    #[error("the unseal shares cannot be used")]
    Share(#[from] ShareError),
    /// Its storage says one thing, what is written down another.
    #[error("the storage at {} {found}", storage.display())]
    Storage {
        /// The storage.
        storage: PathBuf,
        /// What was found.
        found: &'static str,
    },
    /// A cluster elects nobody.
    #[error("{place} has had no leader for {} s; its own log may say why", within.as_secs())]
    NoLeader {
        /// One of its servers.
        place: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// What was asked takes more custodians.
    #[error("{given} of {needed} unseal shares were given")]
    TooFewShares {
        /// How many were given.
        given: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Enough shares were given and it stayed sealed.
    #[error("the shares did not unseal the Vault")]
    StillSealed,
    /// The root token was revoked and is still taken.
    #[error("the server still takes the root token after it was revoked")]
    RootStillValid,
}

impl VaultError {
    /// For `map_err`: what was tried.
    pub(super) fn call(act: &'static str) -> impl FnOnce(CallError) -> Self {
        move |source| Self::Call { act, source }
    }
}
