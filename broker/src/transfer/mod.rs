//! Transfer: how secrets leave the authority and arrive at a site, sealed, signed and proven.
//!
//! ```text
//! authority's store ──push──────▶ a cluster that is there: everything, and the authority with it
//! authority's Vault ──snapshot──▶ a cluster that is empty: the database itself, re-keyed, and the authority with it
//! authority's store ──export──▶ bundle file ──import──▶ a node's folder, or another store
//!        ▲                                                    │
//!        └──────────────────── receipt (file) ◀───────────────┘
//! ```

pub mod authority;
pub mod bundle;
mod by_site;
pub mod closure;
pub mod drained;
pub mod drill;
pub mod envelope;
pub mod export;
pub mod exposure;
pub mod fence;
pub mod heir;
pub mod import;
pub mod inbox;
pub(crate) mod json;
pub mod key;
pub mod ledger;
pub mod mark;
mod pending;
mod pin;
mod private;
pub mod push;
pub mod receipt;
pub mod retire;
pub mod snapshot;
pub mod standing;
mod stood;
pub mod succession;
pub mod told;

pub use private::Places;

#[cfg(test)]
mod tests;
