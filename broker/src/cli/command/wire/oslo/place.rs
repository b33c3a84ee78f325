//! The files beside a configuration.

use crate::failure::{Exit, Failure};
use donjon_drivers::fs::{self, FileError};
use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Holds the folder of a configuration until it is dropped. Of two that wire files of one folder at once, each would take the other's
/// mapping for none, and what it has written for its own.
pub(super) fn hold(config: &Path) -> Result<File, Failure> {
    let folder = folder(config);
    let failed = |code| Failure::new(code, format!("cannot hold {}", folder.display())).state("nothing was done");
    let held = File::open(folder).map_err(|error| failed(Exit::Usage).because(&error))?;
    match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(held),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(failed(Exit::Conflict)
            .cause("another `donjon wire oslo` is at work on a file in it")
            .hint("the same command again, once that has ended")),
        Err(error) => Err(failed(Exit::Failed).because(&io::Error::from(error))),
    }
}

/// A file that this run has made, where there was none.
#[derive(Debug)]
pub(super) struct Made {
    path: PathBuf,
    /// Its device and its number there: by its name it may be another's by now.
    identity: (u64, u64),
}

impl Made {
    /// Makes it, whole. Nothing is written over.
    pub(super) fn new(path: &Path, content: &[u8], mode: u32) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { act: "make", path: path.to_path_buf(), source };
        let whole = hidden(path, "donjon-new");
        fs::replace_with_mode(&whole, content, mode)?;
        // A second name is given to nothing that is there, as a rename would be.
        let made = std::fs::hard_link(&whole, path).and_then(|()| identity(path)).map_err(failed);
        let removed = std::fs::remove_file(&whole).map_err(failed);
        let made = Self { path: path.to_path_buf(), identity: made? };
        match removed.and_then(|()| fs::sync_folder(folder(path))) {
            Ok(()) => Ok(made),
            Err(error) => {
                // That it cannot be removed either is less than why it cannot be made.
                let _ = made.take_back();
                Err(error)
            }
        }
    }

    /// Removes it, unless something else has its name by now.
    pub(super) fn take_back(&self) -> Result<(), Failure> {
        match identity(&self.path) {
            Ok(found) if found == self.identity => remove(&self.path),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn names_of(file: &Path) -> Cow<'_, str> {
    file.file_name().unwrap_or_default().to_string_lossy()
}

/// A hidden file beside this one.
pub(super) fn hidden(file: &Path, what: &str) -> PathBuf {
    file.with_file_name(format!(".{}.{what}", names_of(file)))
}

/// A file that can be read.
pub(super) fn read_whole(file: &Path) -> Option<Zeroizing<Vec<u8>>> {
    fs::read_standing(file).ok().map(|(bytes, _)| Zeroizing::new(bytes))
}

pub(super) fn digest(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::new(Exit::Failed, format!("cannot remove {}", path.display())).because(&error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.conf");
        let held = hold(&file).unwrap();
        let refused = hold(&folder.path().join("y.conf")).unwrap_err();
        assert_eq!(refused.code, Exit::Conflict, "{refused}");
        drop(held);
        hold(&file).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left in it");
    }

    #[test]
    fn what_is_made_writes_over_nothing_and_takes_back_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let made = Made::new(&path, b"one", 0o644).unwrap();
        assert!(Made::new(&path, b"two", 0o644).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        // What another run has put there stays.
        fs::replace(&path, b"three").unwrap();
        made.take_back().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        std::fs::remove_file(&path).unwrap();
        let made = Made::new(&path, b"four", 0o600).unwrap();
        assert_eq!(fs::read_private(&path).unwrap(), b"four");
        made.take_back().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left beside it");
    }
}
