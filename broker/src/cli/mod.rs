//! The command line: arguments, one command per file, and how answers are shown.

pub mod arguments;
pub mod command;
pub mod context;
pub mod interrupt;
pub mod progress;
pub mod show;

pub use arguments::Arguments;
pub use context::Context;
