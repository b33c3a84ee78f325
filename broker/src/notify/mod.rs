//! Notifications: a webhook or a command is told how rotations go, in JSON without values.

mod notice;
mod send;

pub use notice::Notice;
pub use send::{NotifyError, send};
