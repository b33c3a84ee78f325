//! The daemon: one process that holds the store's credential and answers on the socket.

pub mod adopt;
pub mod answer;
pub mod callers;
mod cancel;
pub mod deploy;
pub mod doctor;
pub mod generation;
mod instead;
pub mod kept;
pub mod lifecycle;
pub mod lookup;
pub mod metrics;
pub mod notices;
pub(crate) mod push;
mod recipients;
pub mod renew;
pub mod rotate;
pub mod run;
pub mod scan;
pub mod schedule;
mod signing_key;
mod snapshot;
pub mod start;
pub mod state;
#[cfg(test)]
mod tests;
pub mod tick;
pub mod transfer;
pub mod translate;
pub mod views;

pub use state::Daemon;
