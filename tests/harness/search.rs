//! Looking for bytes in all files of a folder.

use donjon::scan::encoding;
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

/// Every file below a folder that holds any of these texts, in any form in which programs write them: statements, JSON, YAML, URLs,
/// shells, base64, hexadecimal, lists of bytes. The search is shown to see each form.
#[track_caller]
pub fn in_any_form(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let decimal = |text: &str| text.as_bytes().iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let statement = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"");
    let of = |text: &&str| {
        let forms = encoding::written(text.as_bytes()).map(|form| form.to_vec());
        forms.chain([decimal(text).into_bytes(), statement(text).into_bytes()]).collect::<Vec<_>>()
    };
    let needles: Vec<Vec<u8>> = texts.iter().flat_map(of).collect();
    // In memory: there are many forms.
    let control = tempfile::tempdir_in("/dev/shm").expect("there is a tmpfs");
    for (number, needle) in needles.iter().enumerate() {
        let path = control.path().join(number.to_string());
        donjon_drivers::fs::replace(&path, &[b"x", &needle[..], b"x"].concat()).expect("the folder is ours");
    }
    assert_eq!(holding_any(control.path(), &needles).len(), needles.len(), "the control: the search sees each form");
    holding_any(folder, &needles)
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
