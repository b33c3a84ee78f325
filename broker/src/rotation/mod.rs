//! Rotation: old and new stay valid until every consumer is proven on the new one, and a crash at any point loses nothing.
//!
//! ```text
//! plan ──▶ begin: preflight, journal, claims
//!                   │
//!   drive: loop { step(path, state) ──▶ event ──▶ policies::transition::next ──▶ journal (compare-and-set) }
//!                   │
//!   resume: the same loop, from the state that the journal holds; every step may be repeated
//! ```
//!
//! Secrets that go the same way rotate as one, so that each consumer restarts once for all of them. The journal is in the
//! store and moves only after an effect: a state says what is certainly done, and the step that follows it may be done in
//! part. So each step declares what shall be, looks, and only then reports its event.

pub mod accept;
pub mod begin;
pub mod checkpoint;
pub mod claim;
pub mod drive;
mod earlier;
pub mod heartbeat;
pub mod journal;
pub mod open;
pub mod others;
pub mod place;
pub mod plan;
pub mod probe;
pub mod reach;
pub mod sites;
pub mod state_transfer;
pub mod step;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod turn;
pub mod values;

pub use drive::{Means, Rotation};
pub use journal::Journal;
pub use subject::{Instance, Subject};
