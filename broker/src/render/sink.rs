//! Where a rendered file lies, and the declaration of it, so that a scan knows that it is meant to be there.

use crate::home::Home;
use donjon_drivers::fs::{self, FileError};
use donjon_policies::{catalogue::Medium, name::SecretName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its path, absolute, links followed.
    pub path: PathBuf,
    /// Where its bytes will lie.
    pub medium: Medium,
}

impl Place {
    /// Looks where a file would lie. Its folder must be there.
    pub fn of(file: &Path) -> io::Result<Self> {
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let folder = std::fs::canonicalize(folder)?;
        let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let in_memory = IN_MEMORY.contains(&(rustix::fs::statfs(&folder)?.f_type as u64));
        Ok(Self { path: folder.join(name), medium: if in_memory { Medium::Tmpfs } else { Medium::Disk } })
    }
}

/// A sink: which file holds which secrets, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The version of this format.
    pub format: u32,
    /// The file.
    pub path: PathBuf,
    /// The template that it is made of.
    pub template: PathBuf,
    /// What it holds.
    pub secrets: BTreeSet<SecretName>,
    /// When it was written, in seconds since 1970.
    pub written: i64,
}

impl Declared {
    /// Declares a sink, before it is written.
    pub fn declare(&self, home: &Home) -> Result<(), FileError> {
        let folder = folder(home);
        fs::private_folder(&folder)?;
        let digest = hex::encode(Sha256::digest(self.path.as_os_str().as_encoded_bytes()));
        let text = serde_json::to_vec(self).unwrap_or_default();
        fs::replace(&folder.join(format!("{}.json", &digest[..32])), &text)
    }

    /// Every sink that was declared: the path and its secrets. One that cannot be read declares nothing.
    pub fn all(home: &Home) -> BTreeMap<String, BTreeSet<SecretName>> {
        let entries = std::fs::read_dir(folder(home)).into_iter().flatten().filter_map(Result::ok);
        let read = entries.filter_map(|entry| fs::read_private(&entry.path()).ok());
        let sinks = read.filter_map(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        sinks.filter(|sink| sink.format == FORMAT).map(|sink| (sink.path.display().to_string(), sink.secrets)).collect()
    }
}

fn folder(home: &Home) -> PathBuf {
    home.folder().join("sinks")
}

/// The format of a declaration.
pub const FORMAT: u32 = 1;
/// tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_declared_once_for_each_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        assert!(Declared::all(&home).is_empty());
        let mut sink = Declared {
            format: FORMAT,
            path: "/run/x/my.cnf".into(),
            template: "/etc/x/my.cnf.j2".into(),
            secrets: BTreeSet::from(["a".parse().unwrap()]),
            written: 1,
        };
        sink.declare(&home).unwrap();
        sink.secrets.insert("b".parse().unwrap());
        sink.declare(&home).unwrap();
        let all = Declared::all(&home);
        assert_eq!(all.len(), 1);
        assert_eq!(all["/run/x/my.cnf"].len(), 2);
    }

    #[test]
    fn memory_is_told_from_a_disk() {
        assert_eq!(Place::of(Path::new("/dev/shm/x")).unwrap().medium, Medium::Tmpfs);
        assert_eq!(Place::of(Path::new("/usr/x")).unwrap().medium, Medium::Disk);
        assert!(Place::of(Path::new("/nowhere/at/all")).is_err());
    }
}
