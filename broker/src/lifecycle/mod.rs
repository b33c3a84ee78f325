//! Bringing the daemon's store up, and taking it down: a temporary Vault, one that is already there, or a folder.

mod backing;
mod open;
mod trouble;

pub use backing::{Backing, Sealing, Taken};
pub use open::{Wanted, open};
pub use trouble::vault_trouble;
