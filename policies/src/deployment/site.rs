//! Who may read what, and the sites that receive bundles.

use crate::name::{RoleName, SecretName};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What a role may read: secrets and views by name. And who has it on this host, where anybody has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reads {
    /// The secrets and views.
    pub reads: BTreeSet<SecretName>,
    /// The users of this host who read them at the daemon's lookup socket.
    #[serde(default)]
    pub users: BTreeSet<Account>,
    /// The groups whose processes read them there.
    #[serde(default)]
    pub groups: BTreeSet<Account>,
    /// Where there are any, only from these systemd units or container scopes.
    #[serde(default)]
    pub units: BTreeSet<String>,
}

/// A user or a group of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a user or group, in quotes where YAML reads it as a truth value, or its number"
)]
pub enum Account {
    /// By number, as those of containers.
    Number(u32),
    /// By name.
    Name(String),
}

/// A site that receives bundles.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The roles whose secrets it gets.
    pub roles: BTreeSet<RoleName>,
    /// The age recipients of its nodes.
    pub recipients: Vec<String>,
}
