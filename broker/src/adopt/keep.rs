//! The original file: kept beside the new one until the operator confirms, then overwritten and unlinked.

use crate::undone::{self, Beside};
use donjon_drivers::fs::{self, FileError, Standing};
use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Where the original of a file is kept.
pub fn kept(file: &Path) -> PathBuf {
    beside(file, "donjon-adopted")
}

/// Where it stands while it is erased: half of it may be zeros by then, and nobody is to take it for an original.
fn erasing(file: &Path) -> PathBuf {
    beside(file, "donjon-erasing")
}

/// The mode that the original had, where it is kept with less of it.
fn mode_of_the_original(file: &Path) -> PathBuf {
    beside(file, "donjon-adopted-mode")
}

fn beside(file: &Path, what: &str) -> PathBuf {
    file.with_file_name(format!(".{}.{what}", file.file_name().unwrap_or_default().to_string_lossy()))
}

/// The original of a file in whose place something else stands. A second name of the file itself is none: a run that was ended
/// in between has left it.
pub fn original(file: &Path) -> Option<PathBuf> {
    Some(kept(file)).filter(|kept| std::fs::symlink_metadata(kept).is_ok() && !same(file, kept))
}

/// What an erasing that was cut off has left of the original of a file.
pub fn half_erased(file: &Path) -> Option<PathBuf> {
    Some(erasing(file)).filter(|erasing| std::fs::symlink_metadata(erasing).is_ok())
}

/// Puts a new content in the place of a file; the original is kept beside it, for those of its owner and group who could read
/// it, and nobody else.
///
/// At no moment is either name without a whole file: the original gets its second name first, which goes again where the file
/// is not replaced.
pub fn replace(file: &Path, content: &[u8]) -> Result<(), FileError> {
    let kept = kept(file);
    match std::fs::hard_link(file, &kept) {
        // Any other is not ours to overwrite.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && same(file, &kept) => {}
        linked => linked.map_err(io_error("keep the original as", &kept))?,
    }
    let replaced = replace_kept(file, &kept, content);
    if replaced.is_err() && same(file, &kept) {
        // What cannot be removed is no original, either.
        let _ = std::fs::remove_file(&kept);
    }
    replaced
}

fn replace_kept(file: &Path, kept: &Path, content: &[u8]) -> Result<(), FileError> {
    let original = opened(kept)?;
    let standing = Standing::of(&original, kept)?;
    let noted = mode_of_the_original(file);
    match standing.mode & OTHERS {
        0 => gone(&noted)?,
        _ => fs::replace(&noted, format!("{:o}\n", standing.mode).as_bytes())?,
    }
    fs::replace_as(file, content, &standing)?;
    // Not before: until then it is the file that the deployer reads, by this name and by its own.
    narrow(&original, kept)
}

/// For its owner and group, where a run was cut off before it came to that. What cannot be opened is open as it was.
pub fn keep_close(kept: &Path) {
    let _ = opened(kept).and_then(|original| narrow(&original, kept));
}

fn narrow(original: &File, kept: &Path) -> Result<(), FileError> {
    let mode = original.metadata().map_err(io_error("look at", kept))?.permissions().mode();
    original.set_permissions(Permissions::from_mode(mode & 0o770)).map_err(io_error("set the mode of", kept))
}

/// Puts the original back, with the mode that it had: whoever has opened the file of references to others since did not mean
/// its values. What stood in its place, which somebody may have added to since, is kept beside it: where. Nothing may stand there.
pub fn put_back(file: &Path) -> Result<Option<PathBuf>, FileError> {
    let (kept, noted) = (kept(file), mode_of_the_original(file));
    let original = opened(&kept)?;
    let others = noted_mode(&noted)? & OTHERS;
    let stood = set_aside(file)?;
    let mode = original.metadata().map_err(io_error("look at", &kept))?.permissions().mode() & 0o777;
    if others != 0 {
        original.set_permissions(Permissions::from_mode(mode | others)).map_err(io_error("set the mode of", &kept))?;
    }
    std::fs::rename(&kept, file).map_err(io_error("put back", file))?;
    fs::sync_folder(folder(file))?;
    gone(&noted)?;
    Ok(stood)
}

/// What was noted of the mode of the original; nothing where it is kept with all of it.
fn noted_mode(noted: &Path) -> Result<u32, FileError> {
    if noted.symlink_metadata().is_err() {
        return Ok(0);
    }
    let text = fs::read_private(noted)?;
    let mode = std::str::from_utf8(&text).ok().and_then(|text| u32::from_str_radix(text.trim_end(), 8).ok());
    mode.ok_or_else(|| io_error("understand", noted)(io::ErrorKind::InvalidData.into()))
}

/// Gives what stands there a second name, unless nothing does, or the same was kept before.
fn set_aside(file: &Path) -> Result<Option<PathBuf>, FileError> {
    if file.symlink_metadata().is_err() {
        return Ok(None);
    }
    let content = Zeroizing::new(fs::read_standing(file)?.0);
    loop {
        let path = match undone::beside(file, &content) {
            Beside::There(path) => return Ok(Some(path)),
            Beside::Free(path) => path,
        };
        match std::fs::hard_link(file, &path) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => return linked.map(|()| Some(path.clone())).map_err(io_error("keep what stands there as", &path)),
        }
    }
}

fn gone(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is left of a file that was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// How many other names the file has; they show what it was overwritten with.
    pub other_names: u64,
}

/// Erases the original of a file, wherever it is: under a name that says so, before the first byte of it goes.
pub fn erase(file: &Path, original: &Path) -> Result<Erased, FileError> {
    opened(original)?;
    let erasing = erasing(file);
    if half_erased(file).is_some() {
        return Err(io_error("erase the original as", &erasing)(io::ErrorKind::AlreadyExists.into()));
    }
    std::fs::rename(original, &erasing).map_err(io_error("erase the original as", &erasing))?;
    fs::sync_folder(folder(file))?;
    end_erasing(file)
}

/// Overwrites what is being erased in its place, makes that durable, and removes its name.
pub fn end_erasing(file: &Path) -> Result<Erased, FileError> {
    let path = erasing(file);
    let mut open = opened(&path)?;
    let found = open.metadata().map_err(io_error("look at", &path))?;
    overwrite(&mut open, found.len()).map_err(io_error("overwrite", &path))?;
    std::fs::remove_file(&path).map_err(io_error("remove", &path))?;
    gone(&mode_of_the_original(file))?;
    fs::sync_folder(folder(file))?;
    Ok(Erased { other_names: found.nlink().saturating_sub(1) })
}

/// The file itself, also in a folder whose owner may make the name a link to another at any moment.
fn opened(path: &Path) -> Result<File, FileError> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path).map_err(io_error("open", path))?;
    match file.metadata().map_err(io_error("look at", path))?.is_file() {
        true => Ok(file),
        false => Err(io_error("open", path)(io::ErrorKind::InvalidInput.into())),
    }
}

fn overwrite(file: &mut File, length: u64) -> io::Result<()> {
    let zeros = [0; 4096];
    // To the end of its last block, where a file system keeps the rest of what was longer once.
    let mut left = length.next_multiple_of(zeros.len() as u64);
    while left > 0 {
        file.write_all(&zeros)?;
        left -= zeros.len() as u64;
    }
    file.sync_all()
}

fn same(one: &Path, other: &Path) -> bool {
    let identity = |path| std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn io_error(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_path_buf();
    move |source| FileError::Io { act, path, source }
}

/// What of a mode is for neither owner nor group.
const OTHERS: u32 = 0o007;

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords.yml");
        fs::replace_with_mode(&path, b"original", 0o640).unwrap();
        (folder, path)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_original_is_kept_for_its_own_and_can_be_put_back() {
        let (folder, path) = file();
        replace(&path, b"references").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"references".to_vec(), 0o640));
        assert_eq!((fs::read(&kept(&path)).unwrap(), mode(&kept(&path))), (b"original".to_vec(), 0o640));
        assert!(replace(&path, b"again").is_err(), "an original that is kept is never overwritten");
        put_back(&path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"original".to_vec(), 0o640));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        replace(&path, b"references, and more").unwrap();
        assert_eq!(
            fs::read(&put_back(&path).unwrap().unwrap()).unwrap(),
            b"references, and more",
            "what was added is not lost"
        );
    }

    #[test]
    fn a_file_that_was_not_replaced_has_no_original() {
        let (_folder, path) = file();
        assert_eq!(original(&path), None);
        std::fs::hard_link(&path, kept(&path)).unwrap();
        assert_eq!(original(&path), None, "a run was ended in between");
        replace(&path, b"references").unwrap();
        assert_eq!(original(&path), Some(kept(&path)));
    }

    #[test]
    fn what_is_put_back_is_for_nobody_who_could_not_read_it() {
        let (_folder, path) = file();
        replace(&path, b"references").unwrap();
        // References are for everybody to read.
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        put_back(&path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"original".to_vec(), 0o640));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"references").unwrap();
        assert_eq!((mode(&path), mode(&kept(&path))), (0o644, 0o640), "not for everybody under another name");
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        put_back(&path).unwrap();
        assert_eq!(mode(&path), 0o644, "the original's own");
        // One for nobody else is that, whatever was noted of an earlier one.
        for (last, before) in [(0o600, 0o644), (0o600, 0o600)] {
            std::fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            replace(&path, b"references").unwrap();
            std::fs::rename(kept(&path), &path).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(last)).unwrap();
            replace(&path, b"references").unwrap();
            put_back(&path).unwrap();
            assert_eq!(mode(&path), last);
        }
    }

    #[test]
    fn a_file_that_could_not_be_replaced_is_open_to_whom_it_was() {
        let (folder, path) = file();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        // As a kill leaves it before the new file has its name.
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        std::fs::hard_link(&path, kept(&path)).unwrap();
        fs::replace(&mode_of_the_original(&path), b"644\n").unwrap();
        replace(&path, b"references").unwrap();
        assert_eq!((mode(&path), mode(&kept(&path))), (0o644, 0o640));
        // And behind that.
        std::fs::set_permissions(kept(&path), Permissions::from_mode(0o644)).unwrap();
        keep_close(&kept(&path));
        assert_eq!(mode(&kept(&path)), 0o640);
        put_back(&path).unwrap();
        assert_eq!((mode(&path), names()), (0o644, 2));
        replace(&path, b"references").unwrap();
        erase(&path, &kept(&path)).unwrap();
        assert_eq!(names(), 2, "nothing is left of the original but what was undone");
    }

    #[test]
    fn what_was_undone_before_is_not_lost() {
        let (folder, path) = file();
        let undone = |content: &[u8]| {
            replace(&path, b"references").unwrap();
            fs::replace(&path, content).unwrap();
            put_back(&path).unwrap().unwrap()
        };
        let (first, second) = (undone(b"one"), undone(b"two"));
        assert_eq!(undone(b"one"), first, "the same is kept once");
        assert_eq!((fs::read(&first).unwrap(), fs::read(&second).unwrap()), (b"one".to_vec(), b"two".to_vec()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_original_comes_back_where_nothing_stands_any_more() {
        let (folder, path) = file();
        replace(&path, b"references").unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(original(&path), Some(kept(&path)));
        assert_eq!(put_back(&path).unwrap(), None);
        assert_eq!(fs::read(&path).unwrap(), b"original");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_that_was_ended_in_between_can_be_repeated() {
        let (_folder, path) = file();
        std::fs::hard_link(&path, kept(&path)).unwrap();
        replace(&path, b"references").unwrap();
        assert_eq!(fs::read(&kept(&path)).unwrap(), b"original");
    }

    #[test]
    fn a_name_that_has_become_a_link_changes_nothing_elsewhere() {
        let (folder, path) = file();
        let other = folder.path().join("another's");
        fs::replace_with_mode(&other, b"another's", 0o604).unwrap();
        replace(&path, b"references").unwrap();
        std::fs::remove_file(kept(&path)).unwrap();
        std::os::unix::fs::symlink(&other, kept(&path)).unwrap();
        assert!(put_back(&path).is_err());
        assert!(replace(&path, b"again").is_err());
        assert_eq!((fs::read(&other).unwrap(), mode(&other)), (b"another's".to_vec(), 0o604));
    }

    #[test]
    fn what_is_erased_is_overwritten_first() {
        let (_folder, path) = file();
        let witness = path.with_file_name("witness");
        std::fs::hard_link(&path, &witness).unwrap();
        assert_eq!(erase(&path, &path).unwrap(), Erased { other_names: 1 });
        assert!(!path.exists() && half_erased(&path).is_none());
        assert_eq!(fs::read(&witness).unwrap(), vec![0; 4096]);
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink(&witness, &link).unwrap();
        assert!(erase(&path, &link).is_err() && link.is_symlink(), "a link is not followed");
    }

    #[test]
    fn what_is_half_erased_is_no_original() {
        let (_folder, path) = file();
        replace(&path, b"references").unwrap();
        // What cannot be written over stays whole: here a folder has the name that it is to have meanwhile.
        std::fs::create_dir(erasing(&path)).unwrap();
        assert!(erase(&path, &kept(&path)).is_err());
        assert_eq!(fs::read(&kept(&path)).unwrap(), b"original");
        std::fs::remove_dir(erasing(&path)).unwrap();
        // As a kill leaves it in the middle.
        std::fs::rename(kept(&path), erasing(&path)).unwrap();
        assert_eq!((original(&path), half_erased(&path)), (None, Some(erasing(&path))));
        assert!(put_back(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"references");
        assert_eq!(end_erasing(&path).unwrap(), Erased { other_names: 0 });
        assert!(half_erased(&path).is_none());
    }
}
