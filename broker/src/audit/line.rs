//! One line of the audit log. Its fields are named here one by one; none can hold a value.

use crate::reader::Key;
use donjon_policies::{
    name::{RoleName, SecretName, SiteName},
    restart::Instance,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The daemon started.
    Up,
    /// The daemon ended.
    Down,
    /// Values were read.
    Read,
    /// A value was given.
    Put,
    /// Names were listed.
    List,
    /// Versions were listed.
    History,
    /// Secrets were made.
    Generate,
    /// Values were taken over from a deployer's file.
    Adopt,
    /// An unseal share was given.
    Unseal,
    /// A deployer run began, or ended.
    Deploy,
    /// A rotation was asked for, went on or was undone.
    Rotate,
    /// What opens the temporary Vault was renewed.
    RenewBroker,
    /// Stored values were tried by fresh logins.
    Doctor,
    /// Files were searched for values.
    Scan,
    /// A bundle was written.
    Export,
    /// A bundle was read.
    Import,
    /// A receipt was taken.
    Receipt,
    /// A recipient was added or removed.
    Recipients,
    /// A host or a site left.
    Retire,
    /// A role logged in to a reader.
    Login,
    /// A token was looked up, renewed or given up at a reader.
    Token,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be done.
    Intent,
    /// It was done.
    Done,
    /// It was not allowed.
    Denied,
    /// It failed.
    Failed,
}

/// What an operator takes upon himself for a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// He has tried an account that nobody can try from here.
    Vouched {
        /// The user, a name that the policies allow.
        user: String,
        /// From where it logs in.
        host: Option<String>,
    },
    /// A consumer is neither restarted nor proven.
    Left(Instance),
    /// A site that has not answered is cut off.
    LeftSite {
        /// The site.
        site: SiteName,
    },
    /// The outage that the plan shows is accepted.
    Outage,
    /// The old value goes first.
    OldFirst,
}

/// A line. What is hashed is its JSON without `hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The version of this format.
    pub format: u32,
    /// Counts from 1.
    pub sequence: u64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The user on the other end of the socket.
    pub uid: u32,
    /// The process on the other end of the socket.
    pub pid: i32,
    /// Where on the network it was asked from, where it was another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The key that was proven to a reader in the TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The role that a reader answered, where one was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// What.
    pub act: Act,
    /// Of which secrets and views.
    pub names: Vec<SecretName>,
    /// How many were asked for at once, where the line names the first alone that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u32>,
    /// What the operator took upon himself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// How it went.
    pub outcome: Outcome,
    /// What a crash had cut short before this line, the first after a start: its SHA-256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// The hash of the line before; zeros before the first.
    pub previous: String,
}

/// A line and its hash, as they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The line.
    pub line: Line,
    /// SHA-256 over the line's JSON, in hex.
    pub hash: String,
}

impl Line {
    /// The line with its hash.
    pub fn seal(self) -> Result<Sealed, serde_json::Error> {
        let hash = hex::encode(Sha256::digest(serde_json::to_vec(&self)?));
        Ok(Sealed { line: self, hash })
    }
}

/// The hash before the first line.
pub const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The version of the line format. Those of version 1 say nothing of what was cut short before them.
pub const FORMAT: u32 = 2;
