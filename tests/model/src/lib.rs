//! The protocol of a rotation as a model: every order in which two brokers, their messages and their ends can fall is tried.
//!
//! The states and their moves are the real ones (`donjon_policies::transition`, the overlapping path); what follows each
//! state is written as `broker/src/rotation` does it, one effect or one decisive look at a time. What is searched:
//!
//! ```text
//! store      journals, labels, records with versions, pending values: written by compare-and-set
//! server     accounts that accept one or two values, changed under a lock by the rotation's name
//! readers    a cache that lags behind the store until a publication has waited for it; consumers that start when they like
//! brokers    two, each at any point of begin, take-over, drive, abort; stalled at will, killed at will, driving one or
//!            two rotations, the same one too
//! messages   done with the answer lost, late, or twice
//! ```
//!
//! [`properties`] are the invariants of the design that such a search can refute; [`mistake`] lists mistakes, each of which
//! the search must find. One secret, one target: what several of them add is in the simulation of `broker/src/rotation/tests`.

pub mod action;
pub mod broker;
pub mod drive;
pub mod effect;
pub mod mistake;
pub mod properties;
pub mod search;
pub mod world;

#[cfg(test)]
mod tests;
