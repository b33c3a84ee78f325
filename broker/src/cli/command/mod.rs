//! The commands, one a file: arguments, help, and what is done.

pub mod audit;
pub mod completion;
pub mod down;
pub mod generate;
pub mod get;
pub mod history;
pub mod list;
pub mod put;
pub mod rotate;
pub mod scan;
pub mod status;
pub mod unseal;
pub mod up;
pub mod wire;
