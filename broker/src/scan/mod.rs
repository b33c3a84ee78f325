//! Looking for stored values in files, folders, archives, git histories, processes, the journal and containers.
//!
//! ```text
//! stored values ──encoding──▶ Needles (one automaton) ─┐
//! paths ──walk──▶ files ───────────────────────────────┼─▶ stream::search ──▶ Finding: name, encoding, place, offset
//!            ├──▶ archives ──▶ their members ──────────┤
//!            └──▶ git folders ──history──▶ objects ────┤
//! elsewhere: processes, journal, podman ───────────────┘
//!
//! stored values ──encoding──▶ Sieve ──▶ memory of every process ──┐
//!                             Needles ─▶ files ───────────────────┴─▶ witness of a teardown: before and after
//! ```
//!
//! A finding never holds the value. What could not be looked at is told, and so is each secret that was not looked for.
//!
//! Needles are secrets. They are built in memory that is wiped and dropped once the automaton has them. The automaton
//! itself is made of their bytes: `aho-corasick` copies each needle into its states, builds one automaton from another,
//! and wipes neither. Those copies live as long as one scan, and the zeroing allocator wipes them when they are freed.

pub mod archive;
pub mod elsewhere;
pub mod encoding;
pub mod finding;
pub mod history;
pub mod memory;
pub mod needles;
mod quoting;
pub mod search;
pub mod sieve;
pub mod stream;
pub mod walk;
mod window;
pub mod witness;

pub use elsewhere::Elsewhere;
pub use encoding::Encoding;
pub use finding::{Finding, Place, Report, Unsearched};
pub use needles::{Needles, NotLookedFor, Standing, TooMany, Wanted, Why};
pub use search::{Progress, search};
pub use sieve::Sieve;

#[cfg(test)]
mod tests;
