//! Who may read what, and the sites that receive bundles.

use crate::name::{RoleName, SecretName};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What a role may read: secrets and views by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reads {
    /// The secrets and views.
    pub reads: BTreeSet<SecretName>,
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
