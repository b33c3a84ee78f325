//! How the outside is reached: stores, sources, targets, services and hosts.
//!
//! One folder per family, one file per driver, one table per family. A driver describes its options,
//! opens, and what it opened serves. Nothing fails open: "not there" is `Ok(None)`, "cannot tell" is an error.

pub mod cells;
pub mod drain;
pub mod fs;
pub mod host;
pub mod identity;
pub mod keyring;
pub mod material;
pub mod memory;
pub mod options;
pub mod registry;
pub mod service;
pub mod source;
pub mod store;
pub mod target;
