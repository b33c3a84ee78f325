//! Where each record lies in the store.
//!
//! ```text
//! <deployment>/<secret>                         the record that consumers read
//! donjon-public/<deployment>/epoch              the epoch; every reader may read it
//! donjon-private/<deployment>/pending/<rotation>/<secret>  a value that no consumer can read yet
//! donjon-private/<deployment>/labels/<secret>   current, previous, and which rotation holds the secret
//! donjon-private/<deployment>/journal/<rotation>  a rotation's journal
//! donjon-private/<deployment>/ended/<rotation>  the journal of one that has ended, laid aside
//! donjon-private/<deployment>/adoption          which file was taken over last, and how far
//! donjon-private/<deployment>/heartbeat/<broker>  that a broker which drives a rotation lives
//! donjon-private/<deployment>/deployers/<run>   that a deployer runs under a broker, and lives
//! donjon-private/<deployment>/readers/<broker>  for how long a broker may answer out of its cache
//! donjon-private/<deployment>/authority         which store rotates and signs
//! ```

use donjon_drivers::store::RecordPath;
use donjon_policies::name::{DeploymentName, SecretName};

/// The paths of one deployment.
#[derive(Debug, Clone)]
pub struct Layout {
    deployment: DeploymentName,
}

impl Layout {
    /// The paths of a deployment. A name that begins with `donjon-` is refused: those folders are Donjon's own.
    pub fn new(deployment: DeploymentName) -> Result<Self, Reserved> {
        if deployment.as_str().starts_with("donjon-") { Err(Reserved) } else { Ok(Self { deployment }) }
    }

    /// Whose paths these are.
    pub fn deployment(&self) -> &DeploymentName {
        &self.deployment
    }

    /// The folder that consumers read from.
    pub fn folder(&self) -> RecordPath {
        path(self.deployment.as_str())
    }

    /// The record that consumers read.
    pub fn secret(&self, name: &SecretName) -> RecordPath {
        path(&format!("{}/{name}", self.deployment))
    }

    /// The value that a rotation has not published yet.
    pub fn pending(&self, rotation: &str, name: &SecretName) -> RecordPath {
        self.private(&format!("pending/{rotation}/{name}"))
    }

    /// The labels of a secret.
    pub fn labels(&self, name: &SecretName) -> RecordPath {
        self.private(&format!("labels/{name}"))
    }

    /// The folder of journals.
    pub fn journals(&self) -> RecordPath {
        self.private("journal")
    }

    /// A rotation's journal.
    pub fn journal(&self, id: &str) -> RecordPath {
        self.private(&format!("journal/{id}"))
    }

    /// The folder of journals that are laid aside.
    pub fn journals_aside(&self) -> RecordPath {
        self.private("ended")
    }

    /// The journal of a rotation that has ended, laid aside.
    pub fn journal_aside(&self, id: &str) -> RecordPath {
        self.private(&format!("ended/{id}"))
    }

    /// Where a broker says that it lives.
    pub fn heartbeat(&self, broker: u64) -> RecordPath {
        self.private(&format!("heartbeat/{broker:016x}"))
    }

    /// The folder that has a folder of each deployment that ever published something.
    pub fn published() -> RecordPath {
        path("donjon-public")
    }

    /// The epoch.
    pub fn epoch(&self) -> RecordPath {
        path(&format!("{}/{}/epoch", Self::published(), self.deployment))
    }

    /// A record of Donjon's own that no consumer may read.
    pub fn private(&self, name: &str) -> RecordPath {
        path(&format!("donjon-private/{}/{name}", self.deployment))
    }
}

fn path(text: &str) -> RecordPath {
    text.parse().expect("made of checked names and of literals that fit the same rules")
}

/// Deployment names that begin with `donjon-` are Donjon's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deployment names that begin with `donjon-` are reserved")]
pub struct Reserved;
