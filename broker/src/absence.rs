//! A file that need not be there. Only the kernel's word that there is none counts as that: a file that cannot be looked at
//! may say anything, and is an error.

use donjon_drivers::fs::{self, FileError};
use std::{io, path::Path};

/// Reads a private file; `None` where there is none.
pub(crate) fn read_private(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    unless_absent(fs::read_private(path))
}

/// Reads a file that is obeyed; `None` where there is none.
pub(crate) fn read_trusted(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    unless_absent(fs::read_trusted(path))
}

fn unless_absent(read: Result<Vec<u8>, FileError>) -> Result<Option<Vec<u8>>, FileError> {
    match read {
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(read_private(&at("none")).unwrap(), None);
        fs::replace(&at("file"), b"x").unwrap();
        assert_eq!(read_private(&at("file")).unwrap().as_deref(), Some(&b"x"[..]));
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        std::os::unix::fs::symlink(at("none"), at("dangling")).unwrap();
        for unknown in [at("loop"), at("dangling"), at("file/below"), at("loop/below")] {
            assert!(!unknown.exists(), "the control: `exists` says no");
            assert!(read_private(&unknown).is_err(), "{}", unknown.display());
        }
    }
}
