//! The daemon's unix socket: frames, messages, both ends and who is there; and how one is opened that everybody may connect to.
//!
//! A message is one JSON header and as many material frames as it says. A value never stands inside the JSON, where a
//! parser would copy it.

pub mod client;
pub mod frame;
pub mod message;
pub mod open;
pub mod peer;
