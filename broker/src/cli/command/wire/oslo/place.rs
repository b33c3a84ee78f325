//! The files beside a configuration.

use crate::failure::{Exit, Failure};
use donjon_drivers::fs;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

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
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(Exit::Failed, format!("cannot remove {}", path.display())).because(&error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
