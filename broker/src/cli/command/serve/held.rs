//! That a reader serves a node's folder, for as long as it does.
//!
//! ```text
//! reader.lock    held by the reader for its life; made once and never replaced, so that whoever looks finds the same file
//! ```

use crate::{
    cli::command::up::pause,
    failure::{Exit, Failure},
};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

/// A folder that this process alone serves.
pub(super) struct Held {
    _lock: File,
}

impl Held {
    /// Takes a node's folder. Of two readers each would write over the tokens and the audit log of the other.
    pub(super) fn take(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(LOCK);
        let failed = |error: &io::Error| {
            Failure::new(Exit::Failed, format!("cannot lock {}", path.display()))
                .because(error)
                .state("nothing is served")
        };
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|error| failed(&error))?;
        let end = Instant::now() + DYING;
        let mut locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        // One that has just been killed holds it for a moment, and so does whoever looks whether it is held.
        while locked == Err(Errno::WOULDBLOCK) && Instant::now() < end {
            pause();
            locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        }
        match locked {
            Ok(()) => Ok(Self { _lock: file }),
            Err(Errno::WOULDBLOCK) => {
                Err(Failure::new(Exit::Conflict, "another reader serves this folder")
                    .cause(format!("{} is locked", path.display()))
                    .state("that one serves on; nothing was changed")
                    .hint("end it by SIGTERM (`systemctl stop donjon-reader`), or give this one a folder of its own: --node FOLDER"))
            }
            Err(error) => Err(failed(&error.into())),
        }
    }
}

const LOCK: &str = "reader.lock";
const DYING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reader_serves_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Held::take(folder.path()).unwrap();
        let second = Held::take(folder.path()).map(drop).unwrap_err();
        assert_eq!(second.code, Exit::Conflict);
        drop(first);
        drop(Held::take(folder.path()).unwrap());
    }
}
