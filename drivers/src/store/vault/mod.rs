//! A store in OpenBao or HashiCorp Vault: KV v2 behind TLS, every write with compare-and-set.
//!
//! ```text
//! Vault (the store: records, versions) ──▶ Connection (one server: address, trust, token, limits) ──▶ vaultrs
//! ```
//!
//! The request types and the middleware are vaultrs'. Its `exec_*` functions are not used: they log what the server
//! says, and servers have echoed input in errors; and they drop the body of a 404, which tells a destroyed version
//! from a missing mount.

mod call;
mod client;
mod connection;
mod kv;
mod packed;

pub use call::{Answer, Call, CallError, Method, Reason};
pub use connection::{Address, AddressError, Connection, Trust, is_encrypted};
pub use kv::Vault;
