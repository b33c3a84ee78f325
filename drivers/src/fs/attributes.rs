//! What a file has besides its bytes, owner and mode: access lists, labels, notes of its users. A new file in its place gets them,
//! or whoever an access list lets in would be out, and its mask, which `stat` shows as the group's bits, would let the group in.

use rustix::{
    buffer::spare_capacity,
    fs::{XattrFlags, fgetxattr, flistxattr, flistxattr_query, fremovexattr, fsetxattr},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs::File, io};

/// The extended attributes of a file, but for those that stand for its content: a signature, or what a program may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, Value>);

/// As hexadecimal digits where it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Value(Vec<u8>);

impl Attributes {
    /// Those of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        for name in names(file)?.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = std::str::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData)?;
            if OF_THE_CONTENT.contains(&name) {
                continue;
            }
            // One that has gone since is none.
            if let Some(value) = value(file, name)? {
                all.insert(name.to_owned(), Value(value));
            }
        }
        Ok(Self(all))
    }

    /// Gives them to a new file that is to have this mode; or tells which it cannot have.
    ///
    /// The access list comes with the mode in it. So at no moment anybody is let in whom the two together do not let in.
    pub(super) fn give(&self, file: &File, mode: u32) -> Result<(), (String, io::Error)> {
        let there = Self::of(file).map_err(|error| ("of any name".to_owned(), error))?;
        // A folder's own list for what is made in it: what is replaced had none of it.
        if there.0.contains_key(ACCESS_LIST) && !self.0.contains_key(ACCESS_LIST) {
            fremovexattr(file, ACCESS_LIST).map_err(named(ACCESS_LIST))?;
        }
        for (name, Value(value)) in &self.0 {
            let value = if name == ACCESS_LIST { with_mode(value, mode) } else { value.clone() };
            if there.0.get(name).is_none_or(|there| there.0 != value) {
                fsetxattr(file, name.as_str(), &value, XattrFlags::empty()).map_err(named(name))?;
            }
        }
        Ok(())
    }
}

fn named(name: &str) -> impl FnOnce(Errno) -> (String, io::Error) + use<> {
    let name = name.to_owned();
    move |error| (name, error.into())
}

fn names(file: &File) -> io::Result<Vec<u8>> {
    loop {
        let length = match flistxattr_query(file) {
            // A file system that has none.
            Err(Errno::OPNOTSUPP) | Ok(0) => return Ok(Vec::new()),
            queried => queried?,
        };
        let mut names = Vec::with_capacity(length);
        match flistxattr(file, spare_capacity(&mut names)) {
            Err(Errno::RANGE) => {}
            listed => return Ok(listed.map(|_| names)?),
        }
    }
}

fn value(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(LONGEST);
    match fgetxattr(file, name, spare_capacity(&mut value)) {
        Err(Errno::NODATA) => Ok(None),
        read => Ok(read.map(|_| Some(value))?),
    }
}

/// An access list as `chmod` makes it: the group's bits are its mask's.
fn with_mode(list: &[u8], mode: u32) -> Vec<u8> {
    let mut list = list.to_vec();
    let entries = list.get_mut(VERSION..).unwrap_or_default();
    let masked = entries.chunks_exact(ENTRY).any(|entry| entry[0] == MASK);
    for entry in entries.chunks_exact_mut(ENTRY) {
        let shift = match entry[0] {
            OWNER => 6,
            MASK => 3,
            GROUP if !masked => 3,
            OTHERS => 0,
            _ => continue,
        };
        entry[2] = (mode >> shift & 0o7) as u8;
    }
    list
}

impl TryFrom<String> for Value {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl From<Value> for String {
    fn from(value: Value) -> Self {
        hex::encode(value.0)
    }
}

const ACCESS_LIST: &str = "system.posix_acl_access";
const OF_THE_CONTENT: [&str; 3] = ["security.capability", "security.evm", "security.ima"];
/// The kernel takes no longer value.
const LONGEST: usize = 64 << 10;
/// The bytes of an access list: a version, then of each entry its kind, its bits, and whom it is for.
const VERSION: usize = 4;
const ENTRY: usize = 8;
const OWNER: u8 = 0x01;
const GROUP: u8 = 0x04;
const MASK: u8 = 0x10;
const OTHERS: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{FileError, Standing, read_standing, replace, replace_as, replace_with_mode};
    use std::{
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
    };

    /// `user::rw-,user:42425:r--,group::---,mask::r--,other::---`
    fn list() -> Vec<u8> {
        let entry = |kind: u8, bits: u8, whose: u32| [&[kind, 0, bits, 0][..], &whose.to_le_bytes()].concat();
        let nobody = u32::MAX;
        let of_a_user = entry(0x02, 4, 42_425);
        let parts = [entry(OWNER, 6, nobody), of_a_user, entry(GROUP, 0, nobody), entry(MASK, 4, nobody)];
        [&2_u32.to_le_bytes()[..], &parts.concat(), &entry(OTHERS, 0, nobody)].concat()
    }

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, b"old").unwrap();
        let open = File::open(&path).unwrap();
        fsetxattr(&open, ACCESS_LIST, &list(), XattrFlags::empty()).unwrap();
        fsetxattr(&open, "user.note", b"of the operator", XattrFlags::empty()).unwrap();
        (folder, path)
    }

    fn found(path: &Path) -> (u32, Option<Vec<u8>>, Option<Vec<u8>>) {
        let open = File::open(path).unwrap();
        let mode = open.metadata().unwrap().permissions().mode() & 0o777;
        (mode, value(&open, ACCESS_LIST).unwrap(), value(&open, "user.note").unwrap())
    }

    #[test]
    fn who_could_read_a_file_can_read_the_new_one_and_nobody_else() {
        let (_folder, path) = file();
        let before = found(&path);
        assert_eq!((before.0, before.1.as_deref()), (0o640, Some(&list()[..])), "the mask stands in the group's bits");
        let (_, standing) = read_standing(&path).unwrap();
        replace_as(&path, b"new", &standing).unwrap();
        assert_eq!(found(&path), before);
        replace_with_mode(&path, b"newer", 0o640).unwrap();
        assert_eq!(found(&path), before);
        // Where its mode lets nobody in, its list does not, either; and the owning group's own bits stay.
        replace_with_mode(&path, b"newest", 0o600).unwrap();
        assert_eq!(found(&path), (0o600, Some(with_mode(&list(), 0o600)), before.2.clone()));
        // As it was kept, over a file without any.
        let kept: Attributes = serde_json::from_str(&serde_json::to_string(&standing.attributes).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        replace_as(&path, b"back", &Standing { attributes: kept, ..standing }).unwrap();
        assert_eq!(found(&path), before);
        // One that is for its owner alone is for nobody on a list.
        replace(&path, b"own").unwrap();
        assert_eq!(found(&path), (0o600, None, None));
    }

    #[test]
    fn what_a_folder_gives_to_new_files_is_not_given_to_one_that_had_it_not() {
        let (folder, path) = (tempfile::tempdir().unwrap(), "x");
        let path = folder.path().join(path);
        replace(&path, b"old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = File::open(folder.path()).unwrap();
        fsetxattr(&open, "system.posix_acl_default", &list(), XattrFlags::empty()).unwrap();
        let (_, standing) = read_standing(&path).unwrap();
        replace_as(&path, b"new", &standing).unwrap();
        assert_eq!(found(&path), (0o640, None, None));
    }

    #[test]
    fn a_file_that_cannot_keep_them_is_left_as_it_was() {
        let (folder, path) = file();
        let (_, mut standing) = read_standing(&path).unwrap();
        standing.attributes.0.insert("nowhere.label".to_owned(), Value(b"x".to_vec()));
        let refused = replace_as(&path, b"new", &standing).unwrap_err();
        assert!(matches!(&refused, FileError::Attribute { name, .. } if name == "nowhere.label"), "{refused:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
