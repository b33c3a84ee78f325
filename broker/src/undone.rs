//! What stood in the place of a file that is put back: somebody may have added to it since. So it stays beside that file, and what
//! was kept there before stays, too.

use donjon_drivers::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A name for what stood there until now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// It is free.
    Free(PathBuf),
    /// The same stands under it already.
    There(PathBuf),
}

/// The name for this content: the first of the file's `.donjon-undone`, `.donjon-undone.1`, … that is free or has it.
pub fn beside(file: &Path, content: &[u8]) -> Beside {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let first = format!(".{name}.donjon-undone");
    let mut count = 0_u32;
    let mut path = file.with_file_name(&first);
    while path.symlink_metadata().is_ok() {
        // What cannot be read, or is no file, is not the same.
        if fs::read_standing(&path).is_ok_and(|(there, _)| *Zeroizing::new(there) == content) {
            return Beside::There(path);
        }
        count += 1;
        path = file.with_file_name(format!("{first}.{count}"));
    }
    Beside::Free(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_kept_before_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let names = ["", ".1", ".2"].map(|number| folder.path().join(format!(".x.donjon-undone{number}")));
        assert_eq!(beside(&file, b"one"), Beside::Free(names[0].clone()));
        fs::replace(&names[0], b"one").unwrap();
        std::os::unix::fs::symlink("nowhere", &names[1]).unwrap();
        assert_eq!(beside(&file, b"one"), Beside::There(names[0].clone()));
        assert_eq!(beside(&file, b"two"), Beside::Free(names[2].clone()));
    }
}
