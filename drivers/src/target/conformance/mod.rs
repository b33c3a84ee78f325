//! What every target must do, whichever driver opened it, measured by what it says it can: probe, add, verify, remove,
//! restore, count old sessions, take any text; and where users have twins, give one the same rights and take it away again.

mod kit;
mod twins;

pub use kit::{Scene, TEXTS, Violation, check, check_texts};
pub use twins::check_rights;
