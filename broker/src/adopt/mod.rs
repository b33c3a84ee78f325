//! Moving in: a deployer's file of passwords becomes secrets in the store, and a file of references.
//!
//! ```text
//! FILE ─▶ container: ansible-vault and plan exports are opened ─▶ yaml: scalars and their places
//!              │                                                       │
//!              └──────────────▶ format: whose file, which catalogue ◀──┘
//!                                          │
//!                                          ▼ given: name, value, places ──▶ (the daemon stores and reads back)
//!                         survey: unknown, reused, weak, shared            │
//!                                          replace: the same file with references in those places
//!                                          untaken: what the store does not have, and the file therefore keeps
//!                                          keep: the original is kept beside it until confirmed, then erased
//! ```
//!
//! The caller reads and writes the files, as the user who owns them. A value never leaves `Material` or wiped memory, and no
//! message holds one.

pub mod ansible_vault;
pub mod container;
pub mod format;
pub mod given;
pub mod keep;
pub mod replace;
pub mod scalar;
pub mod survey;
pub mod untaken;
pub mod yaml;

pub use ansible_vault::is_sealed;
pub use container::{Opened, Sealed, open};
pub use format::Format;
pub use given::{Given, Left, Mistake, Taken, Why, take};
pub use survey::{Survey, survey};
