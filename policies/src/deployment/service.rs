//! A service as the deployment file describes it: where it runs, when it restarts, what it reads.

use super::driven::{Driven, Setting};
use crate::name::{HostName, SecretName, ServiceName};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A service: something that restarts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Service {
    /// `systemd`, `container` or `command`.
    pub driver: String,
    /// The hosts it runs on; the deployment host where none is named.
    #[serde(default)]
    pub hosts: Vec<HostName>,
    /// Lower ones restart first.
    #[serde(default)]
    pub order: i32,
    /// The services that are restarted everywhere before this one begins, beside those of a lower order.
    #[serde(default)]
    pub after: BTreeSet<ServiceName>,
    /// How many hosts restart at once.
    #[serde(default = "default_batch")]
    pub batch: u32,
    /// Whether its first host restarts alone, before any batch.
    #[serde(default = "default_canary")]
    pub canary: bool,
    /// Services of one group are never restarted two at once.
    #[serde(default)]
    pub quorum_group: Option<String>,
    /// The secrets and views it reads.
    #[serde(default)]
    pub uses: BTreeSet<SecretName>,
    /// How long it may take to be well again after a restart, in seconds.
    #[serde(default = "default_settle")]
    pub settle: u32,
    /// What proves that it runs on a new value.
    #[serde(default)]
    pub proof: Proof,
    /// The secret or view whose value its check reads on standard input, to try a login with it: such a check is fed a
    /// wrong value first, and is not believed where it passes then.
    #[serde(default)]
    pub fed: Option<SecretName>,
    /// How clients are led away from an instance before it restarts.
    #[serde(default)]
    pub drain: Option<Driven>,
    /// The driver's options, as they stand.
    #[serde(flatten)]
    pub options: BTreeMap<String, Setting>,
}

/// What proves that a service runs on a new value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A session at the target that began after its restart, beside its health check. A target that does not tell of sessions
    /// has no such proof, and is rotated only for services that have a check.
    #[default]
    Session,
    /// Its health check alone, which must log in by itself: for services that keep no session open.
    Check,
    /// As [`Self::Session`]; and where the target does not tell of sessions, that it has started must do.
    Start,
}

fn default_batch() -> u32 {
    1
}

fn default_canary() -> bool {
    true
}

fn default_settle() -> u32 {
    60
}
