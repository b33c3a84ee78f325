//! What Donjon keeps in a store, and where: the layout, secrets and their labels, the epoch.

pub mod epoch;
pub mod expire;
pub mod labels;
pub mod layout;
pub mod secrets;

pub use layout::Layout;
