//! Snapshot: a temporary Vault's own encrypted database goes into a cluster that is empty, and the authority with it.
//!
//! ```text
//! fence here ──▶ take, seal to recipients, sign: a file
//!                  │
//! first server: initialise like the source ──▶ restore ──▶ it seals itself ──▶ open with the source's shares
//!                                                                                      │
//! key there, signed by the old one ◀── what came along goes ◀── new shares, barrier key ◀── others join, all vote
//!         │
//! here there ──▶ credentials to the operator ──▶ moved here, login destroyed, file destroyed
//! ```
//!
//! The journal of it lies in the source's store, which is fenced and goes on until the end: the same command again finds
//! what is done, and does the rest. No server has to be restarted: one that was initialised with as many shares as the
//! source, and as many of them to open it, takes the source's shares as soon as it has sealed itself.
//!
//! **An old copy of the database opens with the old shares for ever.** New shares and a new barrier key protect what is
//! written from now on; they change nothing in a copy that somebody has kept.

mod archive;
mod cancel;
mod carry;
mod clean;
mod container;
mod error;
mod journal;
mod take;

pub use archive::{NoSnapshot, Snapshot};
pub use cancel::{OfCluster, cancel};
pub use carry::{Arrived, Carrying, POINTS, Stand, carry, finish, stand};
pub use container::{ContainerError, open};
pub use error::SnapshotError;
pub use journal::Step;
pub use take::{BY_SNAPSHOT, Taken, Taking, take};
