//! What is rotated and with what: the secret, the target that must accept it, and the consumers to restart.

use donjon_drivers::{service::Service, target::Target};
use donjon_policies::name::{HostName, SecretName, ServiceName, TargetName};
use std::{sync::Arc, time::Duration};

/// One secret with everything that its rotation touches.
#[derive(Clone)]
pub struct Subject {
    /// The secret.
    pub secret: SecretName,
    /// The target's name in the deployment file.
    pub target_name: TargetName,
    /// The target.
    pub target: Arc<dyn Target>,
    /// The users whose accounts have the value. One that the target does not know is passed over.
    pub users: Vec<String>,
    /// Who changes the accounts there.
    pub administrator: Administrator,
    /// The views that the secret is part of, with their templates.
    pub views: Vec<(SecretName, String)>,
    /// The consumers, in the order in which they restart.
    pub instances: Vec<Instance>,
    /// For how long the previous value is kept.
    pub keep_previous: Duration,
    /// For how long sessions from before the restarts may stay before the rotation says that it waits.
    pub drain: Duration,
}

/// Who changes accounts on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// Its account name.
    pub user: String,
    /// The secret that holds its value; it may be the one that is rotated.
    pub secret: SecretName,
}

/// One consumer on one host.
#[derive(Clone)]
pub struct Instance {
    /// The service.
    pub service: ServiceName,
    /// Its host.
    pub host: HostName,
    /// What restarts it.
    pub driver: Arc<dyn Service>,
    /// How long it may take to be proven after a restart.
    pub settle: Duration,
    /// What proves it.
    pub proof: Proof,
}

/// What proves that a consumer runs on the new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A session at the target that began after its restart, and its health check.
    Session,
    /// Its health check alone, which logs in by itself.
    Check,
}
