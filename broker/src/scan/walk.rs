//! Walking folders: every file once, links not followed, what is no file skipped, what cannot be read told.

use super::{finding::Report, history};
use rustix::fs::OFlags;
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How many files and git objects there are in these folders; none where it would take long to know.
pub(super) fn count(roots: &[PathBuf]) -> Option<u64> {
    let (mut count, mut files) = (0_u64, 0);
    for root in roots {
        let mut walk = Walk::new(root);
        while let Some(found) = walk.next(&mut Report::default()) {
            count += match found {
                Found::File(_) => 1,
                Found::Repository(repository) => history::count(&repository)?,
            };
            files += 1;
            if files > MOST_COUNTED {
                return None;
            }
        }
    }
    Some(count)
}

/// What a walk comes across.
pub(super) enum Found {
    /// A file, still to be opened.
    File(PathBuf),
    /// The folder in which git keeps a history. Its objects are packed, so its files alone would hide what they hold.
    Repository(PathBuf),
}

/// A walk that is under way. What is still to be visited is held, so that depth costs no stack.
pub(super) struct Walk {
    root: PathBuf,
    waiting: Vec<Waiting>,
}

enum Waiting {
    /// A path that was named or listed, and the device of the folder above it.
    Path(PathBuf, Option<u64>),
    Repository(PathBuf),
}

impl Walk {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), waiting: vec![Waiting::Path(root.to_owned(), None)] }
    }

    pub(super) fn next(&mut self, report: &mut Report) -> Option<Found> {
        while let Some(waiting) = self.waiting.pop() {
            let found = match waiting {
                Waiting::Repository(path) => Some(Found::Repository(path)),
                Waiting::Path(path, above) => self.visit(path, above, report),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn visit(&mut self, path: PathBuf, above: Option<u64>, report: &mut Report) -> Option<Found> {
        let seen = match fs::symlink_metadata(&path) {
            Ok(seen) => seen,
            Err(error) => {
                report.unsearched(&path, error.to_string());
                return None;
            }
        };
        if seen.is_symlink() {
            match above {
                Some(_) => report.links += 1,
                None => report.unsearched(&path, "it is a symbolic link; name what it points to"),
            }
            None
        } else if seen.is_dir() {
            self.enter(&path, &seen, above, report);
            None
        } else if seen.is_file() {
            Some(Found::File(path))
        } else {
            match above {
                Some(_) => report.special += 1,
                None => report.unsearched(&path, "it is neither a file nor a folder"),
            }
            None
        }
    }

    fn enter(&mut self, path: &Path, seen: &Metadata, above: Option<u64>, report: &mut Report) {
        if above != Some(seen.dev()) && is_of_the_kernel(path) {
            match above {
                Some(_) => report.special += 1,
                None => report.unsearched(path, "it is a folder of the kernel's own and holds no files"),
            }
            return;
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return report.unsearched(path, error.to_string()),
        };
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => report.unsearched(path, format!("it could not be listed to the end: {error}")),
            }
        }
        let repository = ["HEAD", "objects", "refs"].iter().all(|name| names.iter().any(|other| other == name));
        // From the end of the stack, so that findings come in the order of names.
        names.sort_unstable();
        for name in names.into_iter().rev() {
            if name == ".git" {
                self.elsewhere(&path.join(&name), report);
            }
            if !(repository && name == "objects") {
                self.waiting.push(Waiting::Path(path.join(name), Some(seen.dev())));
            }
        }
        if repository {
            self.waiting.push(Waiting::Repository(path.to_owned()));
        } else if path.file_name().is_some_and(|name| name == ".git") {
            report.unsearched(path, "it is no whole git repository, so packed objects in it hide what they hold");
        }
    }

    /// A `.git` that is a file says that the history lies in another folder, as for linked work trees and submodules.
    fn elsewhere(&self, git: &Path, report: &mut Report) {
        if !fs::symlink_metadata(git).is_ok_and(|seen| seen.is_file() && seen.len() <= LONGEST_LINK) {
            return;
        }
        let Ok(bytes) = donjon_drivers::fs::read(git) else { return };
        let Some(text) = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().strip_prefix("gitdir: ")) else {
            return;
        };
        let folder = git.parent().unwrap_or(Path::new("/")).join(text);
        let below = |root: &PathBuf| fs::canonicalize(&folder).is_ok_and(|folder| folder.starts_with(root));
        if !fs::canonicalize(&self.root).as_ref().is_ok_and(below) {
            report.unsearched(git, format!("the git history lies outside, in {}", folder.display()));
        }
    }
}

/// Opens a file that a walk came across. What is none any more is no failure; what cannot be opened is told.
pub(super) fn open(path: &Path, report: &mut Report) -> Option<File> {
    // A pipe that took the file's place since would be waited on for ever, and a link be followed.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) if file.metadata().is_ok_and(|seen| seen.is_file()) => Some(file),
        Ok(_) => {
            report.special += 1;
            None
        }
        // Gone since it was listed: there is nothing to look at.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            report.unsearched(path, error.to_string());
            None
        }
    }
}

/// Whether a folder shows the kernel's own state: its files have no size, and some no end.
fn is_of_the_kernel(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| KERNEL_FILE_SYSTEMS.contains(&(found.f_type as u64)))
}

/// So many files are counted in a fraction of a second.
const MOST_COUNTED: u64 = 100_000;
/// A `.git` file holds one path.
const LONGEST_LINK: u64 = 8192;
/// proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, devpts, bpf, pstore, configfs, efivarfs, selinuxfs.
const KERNEL_FILE_SYSTEMS: [u64; 13] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x1cd1,
    0xcafe_4a11,
    0x6165_676c,
    0x6265_6570,
    0xde5e_81e4,
    0xf97c_ff8c,
];
