//! Files written whole: owner-only before the first byte, synced, renamed, and the folder synced.

mod attributes;
mod temporary;

pub use attributes::Attributes;

use rustix::fs::{Mode, OFlags, StatVfs};
use std::{
    fs::{File, Metadata},
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
};

/// What went wrong with a file, and which file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// What was tried: "write", "read", …
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new file cannot have what the old one has.
    #[error("cannot keep the extended attribute {name} of {}", path.display())]
    Attribute {
        /// Where.
        path: PathBuf,
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner could read or change it.
    #[error("{} has mode {mode:o}; only its owner may have access (0600, or 0700 for a folder)", path.display())]
    TooOpen {
        /// Where.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
    },
    /// Others than its owner and root could change it.
    #[error("{} can be changed by others: it belongs to uid {owner} and has mode {mode:o}", path.display())]
    Changeable {
        /// Where.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// The permission bits found.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("{} belongs to uid {owner}, not to uid {expected}", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        expected: u32,
    },
}

/// Writes a file whole with mode 0600: readers see the old content or the new, never a part, also after power loss.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    Replacement::begin(path)?.with(content)
}

/// As [`replace`], for a file that is no secret and that others may read. One of this user's that is there hands its extended
/// attributes on.
pub fn replace_with_mode(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let own = match path.symlink_metadata() {
        Ok(found) if found.uid() == rustix::process::geteuid().as_raw() => standing(path)?,
        Ok(_) | Err(_) => None,
    };
    let new = Replacement::begin(path)?;
    if let Some(own) = own {
        set_attributes(&new.file, path, &own.attributes, mode)?;
    }
    set_mode(&new.file, path, mode)?;
    new.with(content)
}

/// Whose a file is, and who may do what with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its access list, labels and notes.
    pub attributes: Attributes,
}

impl Standing {
    /// That of an open file; the path is for errors.
    pub fn of(file: &File, path: &Path) -> Result<Self, FileError> {
        let found = file.metadata().map_err(io_error("look at", path))?;
        let attributes = Attributes::of(file).map_err(io_error("read the extended attributes of", path))?;
        Ok(Self { mode: found.permissions().mode() & 0o777, uid: found.uid(), gid: found.gid(), attributes })
    }
}

/// As [`replace_with_mode`], for a file of another user. It is given away before it has its name, and as the open file that
/// it is: in a folder of that user, a name may be a link to anything a moment later.
pub fn replace_as(path: &Path, content: &[u8], standing: &Standing) -> Result<(), FileError> {
    let Standing { mode, uid, gid, attributes } = standing;
    let new = Replacement::begin(path)?;
    fchown(&new.file, Some(*uid), Some(*gid)).map_err(io_error("give to its owner", path))?;
    set_attributes(&new.file, path, attributes, *mode)?;
    set_mode(&new.file, path, *mode)?;
    new.with(content)
}

/// A file that is being written, owner-only: nobody sees it under its name before it is whole, and what was there before stays
/// until then. Dropped earlier, it leaves nothing.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    folder: File,
    temporary: PathBuf,
    path: PathBuf,
    unfinished: bool,
}

impl Replacement {
    /// Begins one that is to be at this path. What would stand in its way at the end is told now.
    pub fn begin(path: &Path) -> Result<Self, FileError> {
        let unwritten = io_error("write", path);
        let names_a_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if names_a_folder || path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Err(unwritten(io::ErrorKind::IsADirectory.into()));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(parent).map_err(&unwritten)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (file, temporary) = temporary::create(parent, &name).map_err(&unwritten)?;
        Ok(Self { file, folder, temporary, path: path.to_path_buf(), unfinished: true })
    }

    fn with(mut self, content: &[u8]) -> Result<(), FileError> {
        self.write_all(content).map_err(|error| self.failed(error))?;
        self.finish()
    }

    /// Makes it durable, and puts it in its place.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.file.sync_all().map_err(|error| self.failed(error))?;
        std::fs::rename(&self.temporary, &self.path).map_err(io_error("rename into place", &self.path))?;
        self.unfinished = false;
        self.folder.sync_all().map_err(io_error("sync the folder of", &self.path))
    }

    /// That it could not be written.
    pub fn failed(&self, error: io::Error) -> FileError {
        io_error("write", &self.path)(error)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.unfinished {
            // The name is this one's while it is open, so nothing else is removed.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn set_attributes(file: &File, path: &Path, attributes: &Attributes, mode: u32) -> Result<(), FileError> {
    let unset = |(name, source)| FileError::Attribute { path: path.into(), name, source };
    attributes.give(file, mode).map_err(unset)
}

fn set_mode(file: &File, path: &Path, mode: u32) -> Result<(), FileError> {
    match mode {
        // As it was created.
        0o600 => Ok(()),
        _ => file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(io_error("set the mode of", path)),
    }
}

/// Makes a folder, and those above it, that only the owner may enter.
pub fn private_folder(path: &Path) -> Result<(), FileError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("create", path))?;
    require_private(path)
}

/// Refuses a file or folder that others than this user could read or change.
pub fn require_private(path: &Path) -> Result<(), FileError> {
    private(path, &std::fs::symlink_metadata(path).map_err(io_error("look at", path))?)
}

fn private(path: &Path, found: &Metadata) -> Result<(), FileError> {
    let expected = rustix::process::geteuid().as_raw();
    if found.uid() != expected {
        return Err(FileError::Foreign { path: path.into(), owner: found.uid(), expected });
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::TooOpen { path: path.into(), mode });
    }
    Ok(())
}

/// Reads a private file, refusing one that others could read or change, and a link.
pub fn read_private(path: &Path) -> Result<Vec<u8>, FileError> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let file = File::from(opened.map_err(|e| io_error("read", path)(e.into()))?);
    // Of what was opened, whatever the path leads to by now.
    private(path, &file.metadata().map_err(io_error("look at", path))?)?;
    whole(file, path)
}

/// Reads a file that is obeyed: refused where others than root and this user could change it. A link to it is followed. In a
/// folder that nobody else can enter, its own mode does not matter.
pub fn read_trusted(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    // Of what was opened, whatever the path leads to by now.
    let found = file.metadata().map_err(io_error("look at", path))?;
    let (owner, mode) = (found.uid(), found.permissions().mode() & 0o777);
    let ours = owner == 0 || owner == rustix::process::geteuid().as_raw();
    let apart = || {
        let folder = std::fs::canonicalize(path).ok()?.parent()?.to_owned();
        private(&folder, &folder.metadata().ok()?).ok()
    };
    if !ours || (mode & 0o022 != 0 && apart().is_none()) {
        return Err(FileError::Changeable { path: path.into(), owner, mode });
    }
    whole(file, path)
}

fn whole(mut file: File, path: &Path) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(io_error("read", path))?;
    Ok(content)
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(io_error("read", path))
}

/// Reads a file of whoever it may be, with its standing, both of what was opened: a link, and what is no file, is refused.
pub fn read_standing(path: &Path) -> Result<(Vec<u8>, Standing), FileError> {
    let file = open_any(path).map_err(io_error("read", path))?;
    if !file.metadata().map_err(io_error("look at", path))?.is_file() {
        return Err(io_error("read", path)(io::ErrorKind::InvalidInput.into()));
    }
    let standing = Standing::of(&file, path)?;
    Ok((whole(file, path)?, standing))
}

/// The standing of the file that is there; a link, and what is no file, has none.
pub fn standing(path: &Path) -> Result<Option<Standing>, FileError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        // What else is wrong with it is told by whoever writes it.
        Ok(_) | Err(_) => return Ok(None),
    }
    let file = open_any(path).map_err(io_error("read", path))?;
    Standing::of(&file, path).map(Some)
}

fn open_any(path: &Path) -> io::Result<File> {
    // Whoever owns the folder could put a pipe there, which would be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Makes renames and removals in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(io_error("sync", folder))
}

/// How many bytes the disk of an open file still takes from this user.
pub fn room(of: impl AsFd) -> io::Result<u64> {
    Ok(available(&rustix::fs::fstatvfs(of)?))
}

/// As [`room`], for the disk of a folder.
pub fn room_in(folder: &Path) -> io::Result<u64> {
    Ok(available(&rustix::fs::statvfs(folder)?))
}

fn available(disk: &StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

fn io_error(act: &'static str, path: &Path) -> impl Fn(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError::Io { act, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_owner_only_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read_private(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace_with_mode(&path, b"one", 0o644).unwrap();
        assert!(matches!(read_private(&path), Err(FileError::TooOpen { mode: 0o644, .. })));
    }

    #[test]
    fn a_link_is_no_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("x"), folder.path().join("link"));
        replace(&path, b"one").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read_private(&link).is_err());
    }

    #[test]
    fn a_file_is_read_with_its_standing_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("x"), folder.path().join("link"));
        replace_with_mode(&path, b"one", 0o640).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let expected = Standing { mode: 0o640, uid, gid, attributes: Attributes::default() };
        assert_eq!(read_standing(&path).unwrap(), (b"one".to_vec(), expected));
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        for wrong in [&link, &pipe, &folder.path().to_path_buf()] {
            assert!(read_standing(wrong).is_err(), "{}", wrong.display());
        }
    }

    #[test]
    fn a_file_has_its_owner_before_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, b"old").unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let standing = |uid| Standing { mode: 0o640, uid, gid, attributes: Attributes::default() };
        replace_as(&path, b"new", &standing(uid)).unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (read(&path).unwrap(), found.permissions().mode() & 0o777, found.uid()),
            (b"new".to_vec(), 0o640, uid)
        );
        if uid != 0 {
            assert!(replace_as(&path, b"newer", &standing(uid + 1)).is_err());
            assert_eq!(read(&path).unwrap(), b"new", "what cannot be given is not put in place");
        }
    }

    #[test]
    fn a_file_in_pieces_is_seen_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, b"old").unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut new = Replacement::begin(&path).unwrap();
        new.write_all(b"on").unwrap();
        assert_eq!((read(&path).unwrap(), names()), (b"old".to_vec(), 2));
        drop(new);
        assert_eq!((read(&path).unwrap(), names()), (b"old".to_vec(), 1), "what was given up leaves nothing");
        let mut new = Replacement::begin(&path).unwrap();
        new.write_all(b"on").unwrap();
        new.write_all(b"e").unwrap();
        new.finish().unwrap();
        assert_eq!((read_private(&path).unwrap(), names()), (b"one".to_vec(), 1));
        // As one that is killed leaves it.
        let mut killed = Replacement::begin(&path).unwrap();
        killed.write_all(b"two").unwrap();
        killed.unfinished = false;
        drop(killed);
        assert_eq!(names(), 2);
        replace(&path, b"one").unwrap();
        assert_eq!(names(), 1, "the next writer removes it");
        for nowhere in ["gone/x", "x/y", "gone/"] {
            let refused = Replacement::begin(&folder.path().join(nowhere)).unwrap_err().to_string();
            assert!(refused.ends_with(nowhere), "{refused} names the file that was asked for");
        }
        assert_eq!(names(), 1);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, b"one").unwrap();
        let (folder_in_the_way, link) = (folder.path().join("y"), folder.path().join("z"));
        std::fs::create_dir(&folder_in_the_way).unwrap();
        assert!(replace(&folder_in_the_way, b"two").is_err());
        assert_eq!(read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        std::os::unix::fs::symlink(&folder_in_the_way, &link).unwrap();
        replace(&link, b"three").unwrap();
        assert_eq!(read_private(&link).unwrap(), b"three", "a link is replaced, and not what it leads to");
    }
}
