//! Where Donjon keeps its files: one folder, and fixed names in it.

use crate::failure::{Exit, Failure};
use donjon_policies::deployment::LOOKUP_SOCKET;
use std::{env, path::PathBuf};

/// The folder named by `DONJON_HOME`; else `/var/lib/donjon` for root, else the XDG state folder.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self, Failure> {
        if let Some(home) = env::var_os("DONJON_HOME").filter(|h| !h.is_empty()) {
            let home = PathBuf::from(home);
            return match home.is_absolute() {
                true => Ok(Self(home)),
                false => Err(Failure::new(
                    Exit::Usage,
                    format!("DONJON_HOME is `{}`, which is not an absolute path", home.display()),
                )),
            };
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Self("/var/lib/donjon".into()));
        }
        let state = env::var_os("XDG_STATE_HOME").filter(|s| !s.is_empty()).map(PathBuf::from);
        let user = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let missing = || Failure::new(Exit::Usage, "neither DONJON_HOME, XDG_STATE_HOME nor HOME is set");
        Ok(Self(state.or_else(user).ok_or_else(missing)?.join("donjon")))
    }

    /// A folder given outright.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder itself.
    pub fn folder(&self) -> &std::path::Path {
        &self.0
    }

    /// The folder of the socket; 0700, because that is what keeps others out.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        env::var_os("DONJON_SOCKET")
            .filter(|s| !s.is_empty())
            .map_or_else(|| self.run().join("donjon.sock"), PathBuf::from)
    }

    /// The socket to ask at: the daemon's own, or the lookup socket for a user who has no daemon.
    pub fn socket_to_ask(&self) -> PathBuf {
        let own = self.socket();
        let named = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let lookup = PathBuf::from(LOOKUP_SOCKET);
        let stranger = !named("DONJON_HOME") && !named("DONJON_SOCKET") && !own.exists();
        if stranger && lookup.exists() { lookup } else { own }
    }

    /// The folder of the sockets of connections to other hosts.
    pub fn connections(&self) -> PathBuf {
        self.run().join("ssh")
    }

    /// The lock that one daemon holds.
    pub fn lock(&self) -> PathBuf {
        self.0.join("daemon.lock")
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.0.join("daemon.log")
    }

    /// The figures for Prometheus, where the deployment file names no other file.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.prom")
    }

    /// The audit log.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    /// The name by which other brokers know the one of this home.
    pub fn reader(&self) -> PathBuf {
        self.0.join("reader")
    }

    /// The temporary Vault's folder.
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// What is on its way to the overcloud: the file of the Vault's snapshot, and the new shares.
    pub fn overcloud(&self) -> PathBuf {
        self.0.join("overcloud")
    }

    /// The file store's folder.
    pub fn file_store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The deployment file: `DONJON_CONFIG`, else `donjon.yaml` here.
    pub fn deployment_file(&self) -> PathBuf {
        env::var_os("DONJON_CONFIG").filter(|c| !c.is_empty()).map_or_else(|| self.0.join("donjon.yaml"), PathBuf::from)
    }
}
