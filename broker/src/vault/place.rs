//! The temporary Vault's folder, and what is in it.

use std::path::{Path, PathBuf};

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

    /// The server's socket for custodians.
    pub fn socket(&self) -> PathBuf {
        self.0.join("custodians.sock")
    }

    /// The unseal shares, each encrypted to one recipient.
    pub fn shares(&self) -> PathBuf {
        self.0.join("shares")
    }

    /// The host identity: an age key in clear. Whoever can read it can open the Vault.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// The broker's AppRole credential, encrypted to the host identity.
    pub fn credential(&self) -> PathBuf {
        self.0.join("credential.age")
    }
}
