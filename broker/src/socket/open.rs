//! A socket that every user of the host may connect to: who it is decides what it gets.

use std::{
    fs::Permissions,
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

/// Why such a socket was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Others could listen in its place, and make what is done to it be done to any file.
    #[error("others may write into {}", folder.display())]
    Folder {
        /// Where it was to be.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot listen at {}", path.display())]
    Io {
        /// Where it was to be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Opens one, in a folder that nobody else can write into. One that is there already is replaced in a single step, so
/// that no client finds none.
pub fn open(path: &Path) -> Result<UnixListener, OpenError> {
    let failed = |source| OpenError::Io { path: path.into(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.permissions().mode() & 0o022 != 0 || (found.uid() != own && found.uid() != 0) {
        return Err(OpenError::Folder { folder: folder.into() });
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    std::fs::set_permissions(&fresh, Permissions::from_mode(0o666)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_opened_where_nobody_else_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(open(&path).unwrap());
        // One that was left is replaced.
        drop(open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        for mode in [0o1777, 0o770, 0o702] {
            std::fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            assert!(matches!(open(&path), Err(OpenError::Folder { .. })), "{mode:o}");
        }
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(matches!(open(&link.join("s")), Err(OpenError::Folder { .. })), "nor by a link to elsewhere");
    }
}
