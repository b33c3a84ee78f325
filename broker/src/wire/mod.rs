//! References instead of values: what `donjon wire` writes for a deployer.
//!
//! kolla-ansible loads `passwords.yml` as extra variables, which are templates, and openstack-ansible its `user_secrets.yml`:
//! [`named`] writes either of lookups. Heat is no Ansible, and percent-encodes what it puts into URLs: [`environment`] gives it
//! [`placeholder`]s of letters, digits and `_`, and [`tree`] turns these into lookups in what config-download writes, before
//! Ansible reads it.
//!
//! ```text
//! catalogue ─▶ Reference ─▶ named: files of expressions
//!                  │
//!                  └─▶ Placeholder ─▶ heat environment ─▶ (heat) ─▶ config-download tree
//!                                                                        │ tree: by file
//!                                                                        │ document: by scalar of a YAML file
//!                                                                        ▼ weave: by place in a text
//!                                                              the same tree of expressions
//! ```
//!
//! What nova keeps in a database of its own are [`cells`].
//!
//! All of this is pure; the command reads and writes the files. No value is ever at hand here.

pub mod ansible;
pub mod assembled;
pub mod cells;
pub mod collection;
pub mod document;
pub mod environment;
pub mod lookups;
pub mod named;
pub mod oslo;
pub mod placeholder;
pub mod reference;
pub mod runtime;
pub mod tree;
pub mod weave;

pub use placeholder::Placeholders;
pub use reference::{Encoding, LOOKUP, Numbers, Piece, Reference};
