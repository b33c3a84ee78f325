//! The name under which a file is written before it has its own. A writer that is killed leaves it, whole and in clear perhaps; the
//! next one that writes the same file removes it.
//!
//! Whoever writes holds a lock on what he writes, which the kernel drops at his death. So what is not locked is nobody's.

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::retry_on_intr,
};
use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Opens a new file beside that of this name, owner-only, and removes what others have left.
pub(super) fn create(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let mut own = None;
    for slot in 0..SLOTS {
        let path = folder.join(format!(".{name}.donjon-{slot}.new"));
        remove_left(&path);
        if own.is_none() {
            own = claimed(&path)?.map(|file| (file, path));
        }
    }
    match own {
        Some(own) => Ok(own),
        None => {
            let path = folder.join(format!(".{name}.{:016x}.new", rand::random::<u64>()));
            Ok((new(&path)?, path))
        }
    }
}

/// A new file of this name, locked; `None` where the name is taken, or was taken away before there was a lock.
fn claimed(path: &Path) -> io::Result<Option<File>> {
    let file = match new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        opened => opened?,
    };
    // Where a file system has no locks, nobody gets one, and so nobody removes anything.
    let _ = retry_on_intr(|| flock(&file, FlockOperation::LockExclusive));
    Ok(is_at(&file, path).then_some(file))
}

fn new(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?))
}

/// Removes a file of this user's that nobody writes any more. What cannot be looked at is left.
fn remove_left(path: &Path) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()).map(File::from) else { return };
    let own = rustix::process::geteuid().as_raw();
    let is_own = file.metadata().is_ok_and(|found| found.is_file() && found.uid() == own);
    // Its writer may have ended well meanwhile, and the name be another's: so it is looked at once more under the lock.
    if is_own && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_at(&file, path) {
        let _ = std::fs::remove_file(path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        (_, _) => false,
    }
}

/// So many write the same file at once; a further one takes a name by chance, which nobody looks for.
const SLOTS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_what_is_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let create = || create(folder.path(), "x").unwrap();
        let (first, mut second, third) = (create(), create(), create());
        assert_eq!(names(folder.path()), [".x.donjon-0.new", ".x.donjon-1.new", ".x.donjon-2.new"]);
        // The kernel closes what the dead had open.
        drop((first, third));
        let last = create();
        assert_eq!(names(folder.path()), [".x.donjon-0.new", ".x.donjon-1.new"]);
        second.0.write_all(b"whole").unwrap();
        assert_eq!(
            (std::fs::read(&second.1).unwrap(), std::fs::read(&last.1).unwrap()),
            (b"whole".to_vec(), Vec::new())
        );
        // What is no file, and what leads to one.
        let others = folder.path().join("others");
        std::fs::create_dir(&others).unwrap();
        std::os::unix::fs::symlink(&others, folder.path().join(".x.donjon-2.new")).unwrap();
        std::fs::create_dir(folder.path().join(".x.donjon-3.new")).unwrap();
        assert!(create().1.ends_with(".x.donjon-4.new") && folder.path().join(".x.donjon-3.new").is_dir());
    }

    #[test]
    fn many_who_write_at_once_do_not_take_each_others_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::thread::scope(|scope| {
            for writer in 0..12_u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..60 {
                        crate::fs::replace(path, &[writer; 64]).unwrap();
                    }
                });
            }
        });
        let left = std::fs::read(&path).unwrap();
        assert!(left.len() == 64 && left.iter().all(|byte| *byte == left[0]));
        assert!(names(folder.path()).iter().filter(|name| name.starts_with(".x.donjon-")).count() == 0);
    }
}
