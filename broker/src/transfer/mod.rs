//! Transfer: how secrets leave the authority and arrive at a site, sealed, signed and proven.
//!
//! ```text
//! authority store ──export──▶ bundle file ──import──▶ a node's folder, or another store
//!        ▲                                                  │
//!        └───────────────── receipt (file) ◀────────────────┘
//! ```

pub mod bundle;
pub mod envelope;
pub mod key;
pub mod succession;
