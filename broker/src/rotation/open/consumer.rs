//! One consumer of a rotation: its service on its host, and which of the secrets it uses.

use super::{Back, addresses};
use crate::rotation::{Instance, plan::PlannedRotation, subject::Proof};
use donjon_drivers::{
    host::{self, Host, registry::HOSTS},
    options::Mistake,
    service::{place::Place, registry::SERVICES},
    target::Target,
};
use donjon_policies::{
    deployment::{self, Deployment, LOCAL},
    name::HostName,
    restart,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

pub(super) fn open(
    deployment: &Deployment,
    instance: &restart::Instance,
    planned: &PlannedRotation,
    targets: &[Arc<dyn Target>],
    control: &Path,
) -> Result<Instance, Vec<Mistake>> {
    let restart::Instance { service: name, host } = instance;
    let described = &deployment.services[name];
    let opened = open_host(deployment, host, control)?;
    let place = Place { service: name.to_string(), host_name: host.to_string(), host: opened };
    let driver = SERVICES.open(&described.driver, &described.options, &format!("services.{name}"), place)?;
    let mut uses = BTreeSet::new();
    for planned in &planned.secrets {
        let secret = &planned.secret;
        let through = |view| described.uses.contains(view);
        if described.uses.contains(secret) || deployment.views_of(secret).iter().any(through) {
            uses.insert(secret.clone());
        }
    }
    Ok(Instance {
        service: name.clone(),
        host: host.clone(),
        uses,
        addresses: addresses::of(deployment, host, targets),
        driver,
        settle: Duration::from_secs(u64::from(described.settle)),
        proof: match described.proof {
            deployment::Proof::Session => Proof::Session,
            deployment::Proof::Check => Proof::Check,
        },
    })
}

fn open_host(deployment: &Deployment, name: &HostName, control: &Path) -> Result<Arc<dyn Host>, Vec<Mistake>> {
    let place = host::registry::Place { name: name.to_string(), control: control.to_path_buf() };
    match deployment.hosts.get(name) {
        Some(described) => HOSTS.open(&described.driver, &described.options, &format!("hosts.{name}"), place),
        // A name that is not described is the deployment host: the deployment file was checked for others.
        None => HOSTS.open(LOCAL, &BTreeMap::new(), "hosts.local", place),
    }
}

/// How the planner takes touched consumers back.
pub(super) fn back(deployment: &Deployment) -> Back {
    let deployment = deployment.clone();
    Arc::new(move |touched| restart::back(&deployment, touched))
}
