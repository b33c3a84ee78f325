//! Why a database was not carried.

use super::{archive::NoSnapshot, container::ContainerError};
use crate::{
    transfer::{authority::AuthorityError, fence::FenceError, mark::Elsewhere, push::PushError},
    vault::VaultError,
};
use donjon_drivers::store::StoreError;

/// Why a database was not carried.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// This store is not the authority.
    #[error(transparent)]
    Elsewhere(Elsewhere),
    /// It is on its way by another command.
    #[error("the authority is on its way to {to} already, by `donjon export vault`")]
    OtherWay {
        /// Where to.
        to: String,
    },
    /// It cannot be taken back.
    #[error("the authority is in the cluster already, or was about to be when the last run ended")]
    Arrived,
    /// What came along with the snapshot opens this Vault still.
    #[error("the login that goes with the snapshot is good still")]
    LoginStays(#[source] VaultError),
    /// It is not to be ended yet.
    #[error("the authority is not in the cluster by this snapshot")]
    NotArrived,
    /// It was taken of the temporary Vault, which this one is not.
    #[error("this store is no temporary Vault, and may be what was carried of one")]
    Copy,
    /// Somebody changed the journal or the mark since.
    #[error("another command goes on with this snapshot, or has taken it back")]
    Overtaken,
    /// No snapshot was taken, or another one was.
    #[error("the snapshot given is not the one that was taken last")]
    OtherSnapshot,
    /// What was taken is no snapshot.
    #[error(transparent)]
    NoSnapshot(#[from] NoSnapshot),
    /// Its file cannot be made or opened.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The source cannot be fenced.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// The source, or a server of the cluster.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A server keeps its data elsewhere.
    #[error("{place} keeps its data in {found}: a snapshot goes into raft alone")]
    Storage {
        /// Which.
        place: String,
        /// In what.
        found: String,
    },
    /// A server is older than the source.
    #[error("{place} is version {found}, and the database was written by {source_version}")]
    Version {
        /// Which.
        place: String,
        /// Its version.
        found: String,
        /// The source's.
        source_version: String,
    },
    /// A server has data of its own.
    #[error("{place} was initialised by somebody else")]
    Taken {
        /// Which.
        place: String,
    },
    /// It follows another server.
    #[error("{place} follows another server: a restore is never sent to such")]
    Standby {
        /// Which.
        place: String,
    },
    /// It took the database and does not seal.
    #[error("{place} has not taken the snapshot in within two minutes; its log says why")]
    NotYet {
        /// Which.
        place: String,
    },
    /// It has sealed itself after the new shares held, which this daemon cannot open.
    #[error("{place} is sealed, and the new custodians alone can open it")]
    Sealed {
        /// Which.
        place: String,
    },
    /// Not all of them vote.
    #[error("{voters} of {servers} servers vote after two minutes")]
    Voters {
        /// How many do.
        voters: usize,
        /// How many there are.
        servers: usize,
    },
    /// Servers of the cluster keep no audit log of their own.
    #[error(
        "no audit device is in the configuration of {places}: as soon as such a server leads, the cluster has none"
    )]
    NoAudit {
        /// Which ones.
        places: String,
    },
    /// The custodians are others than those of the run that is gone on with.
    #[error("new shares were made for other custodians already")]
    OtherCustodians,
    /// A store did not do it.
    #[error("{store} did not do its part")]
    Store {
        /// Which.
        store: &'static str,
        /// Why.
        source: StoreError,
    },
    /// A key could not be read or made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Policies and credentials of the roles.
    #[error(transparent)]
    Grants(#[from] PushError),
}

pub(super) fn here(source: StoreError) -> SnapshotError {
    SnapshotError::Store { store: "this store", source }
}

/// As [`here`], of a journal or a mark that nobody else may have written since.
pub(super) fn kept(source: StoreError) -> SnapshotError {
    if matches!(source, StoreError::Conflict { .. }) { SnapshotError::Overtaken } else { here(source) }
}

pub(super) fn there(source: StoreError) -> SnapshotError {
    SnapshotError::Store { store: "the store in the cluster", source }
}
