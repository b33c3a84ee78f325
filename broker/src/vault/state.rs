//! What is written down of a temporary Vault: how far its bring-up got, who brings it back, and which process serves.
//!
//! A Vault is *ready* once: when its storage, shares, policies and credential are durable and the root token is refused.
//! Before that nothing was stored in it, so a bring-up that ended half-way is wiped and made again.

use super::{
    binary::Flavour,
    configuration::{Ports, Reach},
    custody::{Custody, CustodyError, Mode},
    place::Place,
    process::Mark,
};
use donjon_drivers::fs::{self, FileError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{io::ErrorKind, path::Path};

/// How far the bring-up got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is being made: nothing in it counts yet.
    Making,
    /// It holds secrets.
    Ready,
}

/// The state of a temporary Vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The version of this format.
    pub format: u32,
    /// How far the bring-up got.
    pub phase: Phase,
    /// Who brings it back.
    pub mode: Mode,
    /// On which way the broker talks to it.
    #[serde(default)]
    pub reach: Reach,
    /// How many shares unseal.
    pub threshold: usize,
    /// Which generation of shares it is that opens the Vault.
    #[serde(default)]
    pub generation: u32,
    /// Each share's digest, so that a share of another Vault is told from one of this. The digest of 33 random bytes
    /// helps nobody to find them.
    pub shares: Vec<String>,
    /// The digests of the next generation, from when it is on disk until it is known which of the two opens the Vault.
    #[serde(default)]
    pub next: Option<Vec<String>>,
    /// The custodians' keys, in the order of their shares.
    pub custodians: Vec<String>,
}

/// Which process serves, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The process; `None` before it was started.
    pub process: Option<Mark>,
    /// Its ports.
    pub ports: Ports,
    /// Whose program it is.
    pub flavour: Flavour,
}

/// What is written down cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("the state of the temporary Vault cannot be read or written")]
    File(#[from] FileError),
    /// It is none.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
    },
    /// A later Donjon wrote it.
    #[error("{} was written by a newer Donjon (format {format})", path.display())]
    Newer {
        /// The file.
        path: std::path::PathBuf,
        /// Its format.
        format: u32,
    },
}

impl State {
    /// The state of a Vault that is about to be made.
    pub fn making(custody: &Custody, reach: Reach) -> Self {
        let (_, threshold) = custody.shares();
        Self {
            format: FORMAT,
            phase: Phase::Making,
            mode: custody.mode(),
            reach,
            threshold,
            generation: 0,
            shares: Vec::new(),
            next: None,
            custodians: custody.keys(),
        }
    }

    /// Reads it; `None` where there is no Vault.
    pub fn read(place: &Place) -> Result<Option<Self>, StateError> {
        let Some(state) = read::<Self>(&place.state())? else {
            return Ok(None);
        };
        if state.format > FORMAT {
            return Err(StateError::Newer { path: place.state(), format: state.format });
        }
        Ok(Some(state))
    }

    /// Writes it, durably.
    pub fn write(&self, place: &Place) -> Result<(), StateError> {
        write(&place.state(), self)
    }

    /// Which shares may open the Vault, the newest first.
    pub fn generations(&self) -> Vec<u32> {
        match &self.next {
            Some(_) => vec![self.generation + 1, self.generation],
            None => vec![self.generation],
        }
    }

    /// The digests of the shares of a generation.
    pub fn digests(&self, generation: u32) -> &[String] {
        match &self.next {
            Some(next) if generation == self.generation + 1 => next,
            _ if generation == self.generation => &self.shares,
            _ => &[],
        }
    }

    /// Who brings it back, with the keys that were checked when they were written down.
    pub fn custody(&self) -> Result<Custody, CustodyError> {
        match self.mode {
            Mode::Host => Ok(Custody::Host),
            Mode::Custodians => {
                let threshold = u32::try_from(self.threshold).ok();
                Custody::custodians(self.custodians.iter().map(String::as_str), threshold)
            }
        }
    }

    /// Whether a Vault in this custody was asked for.
    pub fn fits(&self, custody: &Custody) -> bool {
        let (_, threshold) = custody.shares();
        self.mode == custody.mode() && self.threshold == threshold && self.custodians == custody.keys()
    }
}

impl Serving {
    /// Reads it; `None` where no process was ever started.
    pub fn read(place: &Place) -> Result<Option<Self>, StateError> {
        read(&place.process())
    }

    /// Writes it, durably.
    pub fn write(&self, place: &Place) -> Result<(), StateError> {
        write(&place.process(), self)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    match fs::read_private(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|_| StateError::Damaged { path: path.to_path_buf() })
        }
        Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|_| StateError::Damaged { path: path.to_path_buf() })?;
    Ok(fs::replace(path, &bytes)?)
}

const FORMAT: u32 = 1;
