//! One consumer of a rotation: its service on its host, and which of the secrets it uses.

use super::{Back, addresses, hosts::Hosts};
use crate::rotation::{
    Instance,
    plan::PlannedRotation,
    subject::{FedBy, Proof},
};
use donjon_drivers::{
    drain::{self, registry::DRAINS},
    options::Mistake,
    service::{fed::Fed, place::Place, registry::SERVICES},
    target::Target,
};
use donjon_policies::{
    deployment::{self, Deployment, Driven},
    restart,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

pub(super) fn open(
    deployment: &Deployment,
    instance: &restart::Instance,
    planned: &PlannedRotation,
    targets: &[Arc<dyn Target>],
    hosts: &mut Hosts<'_>,
) -> Result<Instance, Vec<Mistake>> {
    let restart::Instance { service: name, host } = instance;
    let described = &deployment.services[name];
    let opened = hosts.one(host)?;
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
            let place = drain::registry::Place { host_name: host.to_string(), hosts: hosts.all()? };
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
            // Where sessions can be seen they are looked for, whatever its start must do for elsewhere.
            deployment::Proof::Session | deployment::Proof::Start => Proof::Session,
            deployment::Proof::Check => Proof::Check,
        },
    })
}

/// How the planner takes touched consumers back.
pub(super) fn back(deployment: &Deployment) -> Back {
    let deployment = deployment.clone();
    Arc::new(move |touched| restart::back(&deployment, touched))
}
