//! Why a bundle was not taken in.

use crate::transfer::{
    authority::AuthorityError, bundle::OpenError, key::KeyError, mark::Elsewhere, pin::PinError, push::PushError,
};
use donjon_drivers::{
    fs::FileError,
    store::{RecordPath, StoreError},
};
use std::path::PathBuf;

/// Why a bundle was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bundle was refused, before anything was changed.
    #[error(transparent)]
    Bundle(#[from] OpenError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another import or reader is changing the folder.
    #[error("{} is in use by another donjon", folder.display())]
    Busy {
        /// Which folder.
        folder: PathBuf,
    },
    /// A file of the node cannot be understood.
    #[error("{} is damaged", file.display())]
    NodeDamaged {
        /// Which file.
        file: PathBuf,
    },
    /// A file of the node is of a version that this program does not know.
    #[error("{} was written by a newer donjon", file.display())]
    NodeNewer {
        /// Which file.
        file: PathBuf,
    },
    /// The node has taken in no bundle yet.
    #[error("{} holds no bundle yet", folder.display())]
    Empty {
        /// Which folder.
        folder: PathBuf,
    },
    /// There is none to step back to.
    #[error("{} holds no bundle but the current one", folder.display())]
    NoPrevious {
        /// Which folder.
        folder: PathBuf,
    },
    /// Another bundle was accepted since.
    #[error("{} has taken in another bundle since", folder.display())]
    Overtaken {
        /// Which folder.
        folder: PathBuf,
    },
    /// The node's key cannot be made or read.
    #[error("the node's own key cannot be used")]
    Key(#[from] KeyError),
    /// The bundle is taken in, and what comes after that was not done.
    #[error("the bundle is taken in, and its receipt could not be kept, or an older bundle not be removed")]
    After {
        /// Why.
        source: FileError,
    },
    /// The store did not do it. What was written before stays, since it could not be taken back either.
    #[error("the store did not take the records ({written} of {wanted} written)")]
    Store {
        /// How many records were written.
        written: usize,
        /// How many there are.
        wanted: usize,
        /// Why.
        source: StoreError,
    },
    /// The store did not take all records, and what it had taken was taken back.
    #[error("the store did not take all of the {wanted} records")]
    TakenBack {
        /// How many there are.
        wanted: usize,
        /// Why.
        source: StoreError,
    },
    /// It is not known whose bundles this store takes in.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The store that is to become the authority holds something else already.
    #[error("the store holds another `{path}`, so this cannot be restored into it")]
    Occupied {
        /// Which record.
        path: RecordPath,
    },
    /// Another bundle has gone into it, and not to its end.
    #[error("another custodians' bundle is being restored into this store, and not all of that is there")]
    OtherBundle,
    /// This store has to do with an authority elsewhere.
    #[error(transparent)]
    Elsewhere(Elsewhere),
    /// The site's Vault did not do it.
    #[error("the Vault of the site did not do it")]
    Vault(#[from] PushError),
    /// The new authority's key could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl ImportError {
    /// For a store that failed before anything was written.
    pub(super) fn unwritten(wanted: usize) -> impl Fn(StoreError) -> Self {
        move |source| Self::Store { written: 0, wanted, source }
    }
}
