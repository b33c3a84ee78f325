//! The values that the daemon has read, kept while it knows that no newer ones were published.
//!
//! ```text
//! lookup ──▶ Cache::find ── hit ──▶ opened from Values (AEAD, ordinary memory) into a place that nobody else reads
//!    │            ▲   Lease: the epoch, and when it was last asked for
//!    └─ miss ──▶ store ──▶ Filling::keep
//! watch  ── the epoch record, every quarter of a second while somebody asks ──▶ Cache::see
//! writes ── Announcing (around the daemon's store) ──▶ Cache::written
//! ```
//!
//! The rules:
//! - A value is answered only while the epoch that it was read at is the last one seen, and that was asked for no longer
//!   ago than the lease. So with the Vault away answers end with the lease, and after that it is the store that answers,
//!   or does not.
//! - Whatever this broker writes is forgotten before it is written and once more after, and a read that began in between
//!   keeps nothing. Its caller is told it is done only then.
//! - Before it caches anything a broker leaves a record of its lease ([`readers`]). A broker that publishes waits for the
//!   leases of the others, so that what restarts after a publication reads what was published, wherever it asks.
//! - Nobody asks, nothing is kept: the epoch is not polled for nobody, which would fill the Vault's audit log.
//! - Values are forgotten after half a minute whatever the epoch says, for what others write without publishing it.

pub mod announce;
mod lease;
mod memory;
pub mod readers;
mod values;
pub mod watch;

pub use announce::Announcing;
pub use memory::{Asking, Cache, Filling, Found};
pub use values::Read;
