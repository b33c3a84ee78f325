//! The temporary Vault's folder, and what is in it.

use donjon_drivers::fs::{self, FileError};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The folder (0700); every file in it is 0600.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

impl Place {
    /// The one at a path.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_path_buf())
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// How far the bring-up got, and who brings it back.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Which process serves, and where.
    pub fn process(&self) -> PathBuf {
        self.0.join("process.json")
    }

    /// The server's configuration.
    pub fn configuration(&self) -> PathBuf {
        self.0.join("server.json")
    }

    /// The authority to trust at the server.
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    /// The server's storage.
    pub fn storage(&self) -> PathBuf {
        self.0.join("raft")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    /// The server's audit log.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    /// The one before, where that has grown long.
    pub fn earlier_audit(&self) -> PathBuf {
        self.0.join("audit.log.1")
    }

    /// The server's socket, on which the broker talks to it; others are kept out by the folder.
    pub fn socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }

    /// The unseal shares of a generation, each encrypted to one recipient.
    pub fn shares(&self, generation: u32) -> PathBuf {
        match generation {
            0 => self.0.join("shares"),
            later => self.0.join(format!("shares.{later}")),
        }
    }

    /// Every generation of shares that is on disk, a dead one that was not removed yet included.
    pub fn all_shares(&self) -> Result<Vec<PathBuf>, FileError> {
        let failed = |source| FileError::Io { act: "look into", path: self.0.clone(), source };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(|name| name == "shares" || name.starts_with("shares.")) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// The host identity: an age key in clear. Whoever can read it can open the Vault.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// The broker's AppRole credential, encrypted to the host identity.
    pub fn credential(&self) -> PathBuf {
        self.0.join("credential.age")
    }

    /// Removes everything but the logs, the identity and the state.
    pub fn clear(&self) -> Result<(), FileError> {
        for folder in self.all_shares()?.into_iter().chain([self.storage()]) {
            gone(&folder, std::fs::remove_dir_all(&folder))?;
        }
        let files = [
            self.credential(),
            self.socket(),
            self.process(),
            self.configuration(),
            self.authority(),
            self.certificate(),
        ];
        for path in files {
            gone(&path, std::fs::remove_file(&path))?;
        }
        fs::sync_folder(&self.0)
    }

    /// Removes what [`Place::clear`] spared, but the logs: the identity first, the state last.
    pub fn clear_all(&self) -> Result<(), FileError> {
        gone(&self.identity(), std::fs::remove_file(self.identity()))?;
        self.clear()?;
        gone(&self.state(), std::fs::remove_file(self.state()))?;
        fs::sync_folder(&self.0)
    }
}

/// What was not there needs no removal.
fn gone(path: &Path, removed: io::Result<()>) -> Result<(), FileError> {
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(FileError::Io { act: "remove", path: path.to_path_buf(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
