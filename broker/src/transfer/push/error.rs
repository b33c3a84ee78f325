//! Why a push did not go through.

use crate::transfer::{authority::AuthorityError, export::Paths, fence::FenceError, mark::Elsewhere};
use donjon_drivers::store::{
    RecordPath, StoreError,
    vault::{AddressError, CallError},
};
use donjon_policies::{access::OwnFolder, name::RoleName};
use std::fmt;

/// Why a push did not go through.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No address was given.
    #[error("no address of a Vault was given")]
    NoAddress,
    /// The address cannot be used.
    #[error("the Vault's address cannot be used")]
    Address(#[from] AddressError),
    /// It refused or did not answer.
    #[error("cannot {doing}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: CallError,
    },
    /// It is sealed, and its operators unseal it.
    #[error("the Vault at {url} is sealed")]
    Sealed {
        /// Its address.
        url: String,
    },
    /// The mount is of another kind.
    #[error("the mount `{mount}` there is no KV v2")]
    OtherMount {
        /// Which.
        mount: RecordPath,
    },
    /// Records there differ from what was ever here.
    #[error("there are other records at {paths}")]
    Differs {
        /// Which, all of them.
        paths: Paths,
    },
    /// The authority is at the other end already, or comes from elsewhere.
    #[error("that store is the authority of this deployment already, or receives it from another")]
    Taken,
    /// It is this very store.
    #[error("that store is this one, or a copy of it: it has the key that signs here, which never travels")]
    Itself,
    /// It was begun with another destination.
    #[error("that store is not the one that the authority is on its way to")]
    OtherDestination,
    /// It was begun with this destination, of which nothing is left, or in another mount, or with another destination.
    #[error("nothing of this deployment is in the mount `{mount}` of {place}; the authority is on its way to {to}")]
    NothingThere {
        /// The address.
        place: String,
        /// The address of then.
        to: String,
        /// The mount.
        mount: RecordPath,
    },
    /// The token is answered as if nothing were there.
    #[error(
        "the token may not look into the mount `{mount}` of {place}, so whether the authority has arrived is not known"
    )]
    Blind {
        /// The address.
        place: String,
        /// The mount.
        mount: RecordPath,
    },
    /// Somebody changed a mark since.
    #[error("another command goes on with this move, or has taken it back")]
    Overtaken,
    /// It cannot be taken back.
    #[error("the authority is there already, and signs with a key of its own")]
    Arrived,
    /// This store is not the authority.
    #[error(transparent)]
    Elsewhere(Elsewhere),
    /// Rotations are under way.
    #[error("rotations have not ended: {names}")]
    Unfinished {
        /// Of which secrets.
        names: String,
    },
    /// A deployer run has begun under another broker: it reads its secrets here.
    #[error("a deployer runs under another broker of this store, {under}")]
    Deployer {
        /// Which process, and on which host.
        under: String,
    },
    /// What was written cannot be read back.
    #[error("{paths} read back otherwise than they were written")]
    ReadBack {
        /// Which, all of them.
        paths: Paths,
    },
    /// A store did not do it.
    #[error("{side} did not do its part")]
    Store {
        /// Which.
        side: Side,
        /// Why.
        source: StoreError,
    },
    /// A key could not be read or made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// What a role's policy would be called is another deployment's there.
    #[error("the policy `{name}` there is for `{whose}`, and readers of that one would be cut off")]
    Foreign {
        /// The policy.
        name: String,
        /// Its mount and deployment.
        whose: String,
    },
    /// A role can be given nothing here.
    #[error("cannot write the policy of the role `{role}`")]
    Policy {
        /// Which.
        role: RoleName,
        /// Why.
        source: OwnFolder,
    },
}

/// One of the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The old authority's.
    Here,
    /// The new one's.
    There,
}

impl Side {
    pub(super) fn failed(self) -> impl Fn(StoreError) -> PushError {
        move |source| PushError::Store { side: self, source }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "this store",
            Self::There => "the store that is pushed to",
        })
    }
}

/// As [`Side::failed`], of a mark that nobody else may have written since.
pub(super) fn marking(side: Side) -> impl Fn(StoreError) -> PushError {
    move |source| match matches!(source, StoreError::Conflict { .. }) {
        true => PushError::Overtaken,
        false => PushError::Store { side, source },
    }
}

impl From<FenceError> for PushError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Unfinished { names } => Self::Unfinished { names },
            FenceError::Deployer { under } => Self::Deployer { under },
            FenceError::Overtaken => Self::Overtaken,
            FenceError::Store(source) => Self::Store { side: Side::Here, source },
        }
    }
}

impl PushError {
    pub(super) fn call(doing: &'static str) -> impl Fn(CallError) -> Self {
        move |source| Self::Call { doing, source }
    }
}
