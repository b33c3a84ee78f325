//! Keyrings: repositories of numbered keys, one on each node, whose keys come and go without any node ever lacking one.
//!
//! Which files change, in which order, and what is refused is [`donjon_policies::keyring`]; here is how a node is read and
//! written. The caller does one act on every node before it begins the next one, and asks [`acts::added`] before it
//! promotes.

pub mod acts;
pub mod document;
mod listing;
pub mod registry;
pub mod repository;
mod script;

use crate::host::HostError;
use async_trait::async_trait;
use document::Repository;
use donjon_policies::keyring::{Act, Fingerprint, Refusal, Ring};
use std::{collections::BTreeMap, time::Duration};

/// Repositories of keys on several nodes that must agree.
#[async_trait]
pub trait Keyring: Send + Sync {
    /// The nodes, in the order of the deployment file.
    fn nodes(&self) -> &[Node];

    /// How long what a key signed lives: no key goes sooner.
    fn life(&self) -> Duration;

    /// How many keys a repository keeps, the staged one among them.
    fn most(&self) -> usize;

    /// What a node holds.
    async fn read(&self, node: &Node) -> Result<Reading, KeyringError>;

    /// Does one act on a node and answers what it holds then; doing it again changes nothing. `known` is every other
    /// repository that the store has: a node that holds a key of none of them was changed by someone else, and is left
    /// as it is.
    async fn write(
        &self,
        node: &Node,
        act: Act,
        haste: Haste,
        wanted: &Repository,
        known: &[&Repository],
    ) -> Result<Reading, KeyringError>;
}

/// Whether what old keys signed may run out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Old keys stay until it has.
    Outlived,
    /// They go at once: someone else may have them.
    Compromised,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in the deployment file.
    pub name: String,
    /// The host's name and the folder there, for messages.
    pub place: String,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its keys.
    pub ring: Ring,
    /// Since when each is there, in seconds since 1970 by the node's clock.
    pub since: BTreeMap<u32, i64>,
    /// The node's clock then.
    pub now: i64,
}

impl Reading {
    /// The key that an index holds.
    pub fn at(&self, index: u32) -> Option<Fingerprint> {
        self.ring.0.get(&index).copied()
    }
}

/// Why a node was not read or written. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Its host did not do its part. Whether a change took effect is unknown: read again.
    #[error("node {node} ({place})")]
    Host {
        /// The node.
        node: String,
        /// Where its keys are.
        place: String,
        /// Why.
        source: HostError,
    },
    /// The change is not made.
    #[error("node {node} is left as it is")]
    Refused {
        /// The node.
        node: String,
        /// Why.
        source: Refusal,
    },
    /// It was changed by someone else while it was being written.
    #[error("node {node} was changed by someone else just now ({place})")]
    Changed {
        /// The node.
        node: String,
        /// Where its keys are.
        place: String,
    },
    /// It could not be read or written.
    #[error("node {node} ({place}): {what}")]
    Failed {
        /// The node.
        node: String,
        /// Where its keys are.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// There is no such node.
    #[error("there is no node {node}")]
    Unknown {
        /// The node.
        node: String,
    },
}
