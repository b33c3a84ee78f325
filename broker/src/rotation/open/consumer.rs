//! One consumer of a rotation: its service on its host, and which of the secrets it uses.

use super::{Back, addresses};
use crate::rotation::{
    Instance,
    plan::PlannedRotation,
    subject::{FedBy, Proof},
};
use donjon_drivers::{
    drain::{self, registry::DRAINS},
    host::{self, Host, registry::HOSTS},
    options::Mistake,
    service::{fed::Fed, place::Place, registry::SERVICES},
    target::Target,
};
use donjon_policies::{
    deployment::{self, Deployment, Driven, LOCAL},
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
    let at = format!("services.{name}");
    let mut options = described.options.clone();
    let fed = match &described.fed {
        None => None,
        Some(fed) => {
            let check = Fed::open(place.clone(), &options, &at).map_err(|mistake| vec![mistake])?;
            // It has nothing to say where nobody feeds it.
            options.remove("check");
            Some(FedBy { name: fed.clone(), check })
        }
    };
    let driver = SERVICES.open(&described.driver, &options, &at, place)?;
    let drain = match &described.drain {
        None => None,
        Some(Driven { driver, options }) => {
            let hosts = Arc::new(hosts(deployment, control)?);
            let place = drain::registry::Place { host_name: host.to_string(), hosts };
            Some(DRAINS.open(driver, options, &format!("{at}.drain"), place)?)
        }
    };
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
        drain,
        fed,
        settle: Duration::from_secs(u64::from(described.settle)),
        proof: match described.proof {
            deployment::Proof::Session => Proof::Session,
            deployment::Proof::Check => Proof::Check,
        },
    })
}

/// Every host of the deployment, this one too.
pub(super) fn hosts(deployment: &Deployment, control: &Path) -> Result<BTreeMap<String, Arc<dyn Host>>, Vec<Mistake>> {
    let mut hosts = BTreeMap::new();
    for name in deployment.hosts.keys().map(ToString::to_string).chain([LOCAL.to_owned()]) {
        let parsed = name.parse().expect("it was a name of a host before");
        hosts.insert(name, open_host(deployment, &parsed, control)?);
    }
    Ok(hosts)
}

pub(crate) fn open_host(
    deployment: &Deployment,
    name: &HostName,
    control: &Path,
) -> Result<Arc<dyn Host>, Vec<Mistake>> {
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
