//! Looking for bytes in all files of a folder.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Every file below a folder that holds these bytes.
pub fn holding(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    holding_any(folder, &[needle.to_vec()])
}

/// Every file below a folder that holds any of these.
pub fn holding_any(folder: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let search = aho_corasick::AhoCorasick::new(needles).unwrap();
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A file or folder may go while we look: what is not there any more holds nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && search.is_match(&fs::read(entry.path()).unwrap_or_default()) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Everything below a folder, with its permissions.
pub fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let metadata = entry.metadata().expect("it is there");
        found.push((entry.path(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            found.extend(modes(&entry.path()));
        }
    }
    found
}
