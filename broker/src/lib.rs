//! What acts: the daemon and the command line.
//!
//! ```text
//! cli ── socket ──▶ daemon ──▶ lookup · generation · rotation · transfer · scan
//!                      │              │
//!                      ├─▶ vault      └─▶ records ──▶ donjon_drivers::store
//!                      └─▶ audit
//! ```

mod absence;
pub mod adopt;
pub mod audit;
pub mod cache;
pub mod callers;
pub mod cli;
pub mod config;
pub mod daemon;
mod descriptors;
pub mod doctor;
mod edition;
pub mod failure;
pub mod generation;
pub mod home;
pub mod lifecycle;
pub mod metrics;
pub mod notify;
mod printable;
pub mod reader;
pub mod records;
pub mod render;
pub mod rotation;
pub mod run;
pub mod scan;
pub mod schedule;
pub mod settings;
pub mod socket;
#[cfg(test)]
mod timing;
pub mod transfer;
pub mod undone;
pub mod vault;
pub mod views;
pub mod wire;
