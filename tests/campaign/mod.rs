//! The campaign: random faults on real servers while a real broker rotates, and what must hold after each, seen from outside.
//!
//! ```text
//! chance (seed) ──▶ fault ──▶ inflict: rotate, strike, show that it landed
//!                                 │
//!               outside: what the store has, what logs in where, by a client of its own
//!                                 │
//!               recover: `rotate resume`, timed ──▶ outside again ──▶ tally
//! ```
//!
//! A run is a row of sites, each with servers of its own and a seed of its own: `--seed` of one site plays it again. What a
//! fault meets depends on time too, so a seed gives the same faults, not the same microseconds.

mod broker;
mod chance;
mod fault;
mod found;
mod inflict;
mod orders;
mod outside;
mod recover;
mod rotate_root;
mod run;
mod site;
mod store;
mod strike;
mod tally;

pub use fault::{Fault, Meanwhile, Point, Rotated, Struck};
pub use found::{FOUND, Found};
pub use orders::{Order, lockouts};
pub use rotate_root::loses_its_password;
pub use run::{Asked, Servers, again, run};
pub use tally::Tally;
