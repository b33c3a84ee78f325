//! The steps of a rotation. Each may be repeated: it declares what shall be, looks, and reports its event.

pub mod declare;
pub mod keys;
pub mod publish;
pub mod retire;
pub mod roll;
pub mod settle;
pub mod sites;
pub mod stage;
pub mod switch;
pub mod undo;
pub mod verify;
pub mod watch;
