//! The temporary Vault: a server that the broker starts, initialises, brings back and destroys. And one that is
//! already there, which the broker only uses.
//!
//! ```text
//! none ──▶ making ──▶ ready ◀──────────────────────────────────────┐
//!            │          │                                          │
//!   died on the way:    ├─ server died, host mode: start, unseal with the host's share, log in by AppRole
//!   wiped and made      ├─ server died, custodians: start, wait ─ k shares ─▶ unseal ─▶ (token still good?) ─┐
//!   again; nothing      ├─ daemon died, host mode: find the server by its mark, log in by AppRole             │
//!   was in it           └─ daemon died, custodians: find it, wait ─ k shares ─▶ root for a moment, new token ─┘
//! ```
//!
//! On disk, all of it owner-only: storage that the server encrypts, shares encrypted to one age recipient each, in
//! host mode the identity that opens them (in clear: whoever reads it opens the Vault) and the AppRole credential
//! encrypted to it, logs, certificates, and what is needed to find the process again. The server's TLS key and the
//! authority's key, the root token and the broker's token are in memory alone.

pub mod binary;
mod certificate;
mod configuration;
pub mod controller;
pub mod custody;
mod error;
pub mod existing;
mod handover;
mod launch;
mod making;
pub mod place;
pub mod process;
mod rekey;
mod renewal;
mod server;
mod setup;
pub mod shares;
pub mod state;
mod step;
mod temporary;
mod tend;

pub use configuration::Ports;
pub use custody::Custody;
pub use error::VaultError;
pub use existing::Existing;
pub use handover::{Login, Opening};
pub use renewal::Renewed;
pub use step::{Step, Watcher};
pub use temporary::{Settings, Standing, Temporary, Why};
