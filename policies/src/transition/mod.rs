//! How a rotation moves from state to state: one function for live work and for recovery, every pair written out.
//!
//! Each [`Path`] is a file with a table of its own. On all of them a person can go back before a consumer can have read
//! anything new (Aborting → Aborted), and on those that can, a consumer that fails takes everybody back (Restoring →
//! Restored). Both are states of their own, so that a crash in the middle of going back goes on going back.

mod compromised;
mod cutover;
mod event;
mod keyring;
mod overlap;
mod path;
mod state;
#[cfg(test)]
mod tests;
mod together;

pub use event::Event;
pub use path::{Impossible, Path, next};
pub use state::State;
