//! Import: a bundle is checked whole, its plan shown, and only then taken in: by a node's folder or by another store.
//!
//! ```text
//! file ──▶ Verified ──▶ plan (names and versions) ──▶ Opened ──▶ node::Node::accept     a node's folder
//!                                                          ├──▶ store::apply            another Donjon
//!                                                          ├──▶ vault::apply            a site's Vault, with who may read there
//!                                                          └──▶ restore::restore        the new authority
//! ```

mod back;
mod error;
pub mod node;
pub mod own_key;
pub mod restore;
pub mod store;
mod taken;
pub mod vault;

pub use error::ImportError;
