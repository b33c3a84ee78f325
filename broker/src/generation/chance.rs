//! Chance: random bytes, passed in so that tests can fix them.

use rand::{TryRng, rngs::SysRng};

/// Where random bytes come from.
pub trait Chance: Send + Sync {
    /// Fills all of `bytes`, or fails and leaves nothing that may be used.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError>;
}

/// The operating system's own source (`getrandom`), without a generator of ours in between: a fork repeats nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Chance for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError> {
        SysRng.try_fill_bytes(bytes).map_err(|error| ChanceError { source: Box::new(error) })
    }
}

/// There are no random bytes to be had, so nothing is made.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct ChanceError {
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
