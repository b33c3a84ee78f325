//! That a reader serves a node's folder, for as long as it does, and which revocations it obeys.
//!
//! ```text
//! reader.lock    held by the reader for its life; made once and never replaced, so that whoever looks finds the same file
//! obeyed.json    the epoch of each role that the reader serves: tokens of earlier ones it refuses
//! ```

use crate::{
    absence,
    cli::command::up::pause,
    failure::{Exit, Failure},
    reader::Reader,
};
use donjon_drivers::fs::{self, FileError};
use donjon_policies::name::RoleName;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A folder that this process alone serves.
pub(super) struct Held {
    _lock: File,
    obeyed: PathBuf,
}

/// The epoch of each role.
type Epochs = BTreeMap<RoleName, u64>;

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
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Failure::new(Exit::Conflict, "another reader serves this folder")
                    .cause(format!("{} is locked", path.display()))
                    .state("that one serves on; nothing was changed")
                    .hint("end it by SIGTERM (`systemctl stop donjon-reader`), or give this one a folder of its own: --node FOLDER"));
            }
            Err(error) => return Err(failed(&error.into())),
        }
        let obeyed = folder.join(OBEYED);
        // What another reader obeyed says nothing of this one.
        match std::fs::remove_file(&obeyed) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error)),
            Ok(()) | Err(_) => Ok(Self { _lock: file, obeyed }),
        }
    }

    /// Tells whoever revokes what the reader obeys now.
    pub(super) fn tell(&self, reader: &Reader) -> Result<(), FileError> {
        let epochs: Epochs = reader.epochs().collect();
        let json = serde_json::to_vec(&epochs).expect("names and numbers always have a JSON text");
        fs::replace(&self.obeyed, &json)
    }
}

/// Waits until the reader that serves a folder obeys these revocations. Where none runs, there is nothing to wait for: the next
/// one reads them.
pub(super) fn obeyed(folder: &Path, revoked: &Epochs, patience: Duration) -> Result<(), Failure> {
    if revoked.is_empty() {
        return Ok(());
    }
    let end = Instant::now() + patience;
    let unseen = || {
        Failure::new(Exit::Unavailable, "it cannot be seen that the running reader obeys the revocation")
            .state("it is written, and what was revoked is good until the reader reads it")
            .hint("the reader's log says why; `systemctl restart donjon-reader` makes it sure")
    };
    loop {
        match runs(folder) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(unseen().because(&error)),
        }
        if obeys(folder, revoked) {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(unseen().cause(format!("it has not said so for {} s", patience.as_secs())));
        }
        pause();
    }
}

/// What cannot be read is no yes. A role that the reader does not serve has no token that is good.
fn obeys(folder: &Path, revoked: &Epochs) -> bool {
    let Ok(Some(text)) = absence::read_private(&folder.join(OBEYED)) else { return false };
    let Ok(obeyed) = serde_json::from_slice::<Epochs>(&text) else { return false };
    revoked.iter().all(|(role, epoch)| obeyed.get(role).is_none_or(|obeyed| obeyed >= epoch))
}

fn runs(folder: &Path) -> io::Result<bool> {
    let file = match File::open(folder.join(LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// How long a reader has that runs: it looks four times a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const LOCK: &str = "reader.lock";
const OBEYED: &str = "obeyed.json";
const DYING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reader_serves_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!runs(folder.path()).unwrap());
        let first = Held::take(folder.path()).unwrap();
        assert!(runs(folder.path()).unwrap());
        let second = Held::take(folder.path()).map(drop).unwrap_err();
        assert_eq!(second.code, Exit::Conflict);
        drop(first);
        assert!(!runs(folder.path()).unwrap());
        drop(Held::take(folder.path()).unwrap());
    }

    #[test]
    fn a_revocation_is_done_once_the_reader_says_that_it_obeys_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let revoked = Epochs::from([("a".parse().unwrap(), 2)]);
        let ask = || obeyed(folder, &revoked, Duration::ZERO).map_err(|failure| failure.code);
        let say = |text: &str| fs::replace(&folder.join(OBEYED), text.as_bytes()).unwrap();
        assert_eq!(ask(), Ok(()), "none runs");
        say(r#"{"a":7}"#);
        let _held = Held::take(folder).unwrap();
        assert_eq!(ask(), Err(Exit::Unavailable), "the one before said that");
        for (said, done) in [(r#"{"a":1}"#, false), (r#"{"a":2}"#, true), ("{", false), (r#"{"b":0}"#, true)] {
            say(said);
            assert_eq!(ask().is_ok(), done, "{said}");
        }
    }
}
