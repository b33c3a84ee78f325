//! The steps of an overlapping rotation. Each may be repeated: it declares what shall be, looks, and reports its event.

pub mod declare;
pub mod publish;
pub mod retire;
pub mod roll;
pub mod stage;
pub mod undo;
pub mod verify;
