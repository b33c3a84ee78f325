//! Recovery: what a person types, timed, until nothing is left to do.

use super::site::Site;
use std::time::{Duration, Instant};

/// How a recovery went.
#[derive(Debug, Clone, Default)]
pub(super) struct Recovery {
    /// How long the command took that ended it.
    pub(super) took: Duration,
    /// How often it was typed.
    pub(super) typed: usize,
    /// Whether consumers restarted meanwhile.
    pub(super) restarted: bool,
    /// What the last one said, where it did not end well.
    pub(super) stuck: Option<String>,
}

/// Types `donjon rotate resume` until it ends well.
pub(super) fn recover(site: &mut Site) -> Recovery {
    site.broker.ready();
    let mut recovery = Recovery::default();
    let restarts = site.restarts();
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let begun = Instant::now();
        let ran = site.broker.run(&["rotate", "resume"]);
        recovery.took = begun.elapsed();
        recovery.typed += 1;
        recovery.restarted = site.restarts() != restarts;
        // One that went back because a consumer had failed says so with 1; one that another broker was at, with 5.
        let back = ran.code == 1 && ran.err.contains("restored:");
        let aborted = ran.code == 5 && ran.err.contains("aborted:");
        if ran.code == 0 || back || aborted {
            return recovery;
        }
        if Instant::now() > end {
            recovery.stuck = Some(format!("exit {}: {}", ran.code, ran.err));
            return recovery;
        }
    }
}
