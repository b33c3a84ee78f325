//! The lock between processes, and between the tasks of one.

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};
use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

/// How the store is to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// With other readers.
    Shared,
    /// Alone.
    Alone,
}

/// The store is held until this is dropped.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "the lock lives as long as this descriptor")] OwnedFd);

/// Waits for the lock, within a bound: a process that was stopped while it held it must not stop all others for ever.
pub(super) async fn hold(path: &Path, hold: Hold) -> io::Result<Held> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Each holder opens the file anew: a lock belongs to what was opened, so tasks of one process exclude each other.
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
    let operation = match hold {
        Hold::Shared => FlockOperation::NonBlockingLockShared,
        Hold::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    let end = Instant::now() + WITHIN;
    loop {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => return Ok(Held(file)),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
            Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

const WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);
