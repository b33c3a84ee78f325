//! The audit log: a line before every answer and act, chained by hashes, made of an allow-list of fields.

pub mod following;
pub mod head;
pub mod line;
pub mod log;
mod tail;
pub mod verify;

pub use line::{Act, Outcome, Override};
pub use log::{About, Actor, AuditError, LITTLE_ROOM, Log};
