//! Running a command that gets values: by sealed memory or its environment, its output masked.

pub mod child;
pub mod mask;
pub mod memory;
