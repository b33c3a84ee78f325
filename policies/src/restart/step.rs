//! What a plan is made of: instances, and steps of instances that may restart at the same time.

use crate::{
    deployment::{LOCAL, Service},
    name::{HostName, ServiceName},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A service on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The service.
    pub service: ServiceName,
    /// The host.
    pub host: HostName,
}

/// The instances that may restart at the same time. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The instances.
    pub instances: Vec<Instance>,
}

/// The hosts of a service, each once, in the order of the deployment file; the deployment host where none is named.
pub(super) fn hosts(service: &Service) -> Vec<HostName> {
    let mut once = BTreeSet::new();
    let hosts: Vec<_> = service.hosts.iter().filter(|host| once.insert(*host)).cloned().collect();
    match hosts.is_empty() {
        true => vec![LOCAL.parse().expect("a fixed good name")],
        false => hosts,
    }
}
