//! A store in a folder: every version a file of its own, encrypted to an age identity that lies beside.
//!
//! ```text
//! identity        the key, in clear (0600): whoever reads it reads the store
//! index.age       which file is which version of which record, with each file's digest; authenticated with the identity
//! objects/D.age   one version; its name is its digest, and its record and number are inside
//! lock            held while the index is read (shared) or replaced (alone)
//! ```
//!
//! A change is a new file, durably, then a new index in place of the old one: that rename is the moment it happens. So
//! a file that was exchanged, altered or put back from a copy is found [damaged](crate::store::StoreError::Damaged), and
//! so is an index that is older than one that this process has seen. What cannot be seen is a whole folder put back
//! while no process had it open. Every write replaces the index, which is good for some thousands of records.
//!
//! It refuses to keep the journal of rotations: it has not been through the fault harness.

mod index;
mod keys;
mod lock;
mod store;
#[cfg(test)]
mod tests;

pub use store::{File, OpenError};
