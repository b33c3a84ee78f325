//! From a deployment to a plan: forward with canaries, back without.

use super::{
    Instance, Mistake, Step,
    mistake::mistakes,
    schedule::{Lane, schedule},
    step::hosts,
};
use crate::{
    deployment::{Deployment, Service},
    name::{HostName, ServiceName},
};
use std::collections::{BTreeMap, BTreeSet};

/// The steps in which these services restart, on all their hosts.
///
/// # Errors
/// A service or a host of one that the deployment does not describe, and what makes an order impossible.
pub fn plan(deployment: &Deployment, services: &BTreeSet<ServiceName>) -> Result<Vec<Step>, Mistake> {
    plan_in_waves(deployment, &services.iter().map(|service| (service.clone(), 0)).collect())
}

/// As [`plan`]; services that the operator left equal restart by their wave, the lower ones first (see
/// [`super::waves`]).
///
/// # Errors
/// As [`plan`].
pub fn plan_in_waves(deployment: &Deployment, services: &BTreeMap<ServiceName, u8>) -> Result<Vec<Step>, Mistake> {
    if let Some(service) = services.keys().find(|service| !deployment.services.contains_key(service)) {
        return Err(Mistake::Unknown { service: service.clone() });
    }
    if let Some((service, host)) = deployment.strangers().find(|(service, _)| services.contains_key(service)) {
        return Err(Mistake::Host { service: service.clone(), host: host.clone() });
    }
    if let Some(mistake) = mistakes(deployment).into_iter().next() {
        return Err(mistake);
    }
    let waves = lifted(deployment, services);
    // Services that do not restart have no hosts here: whoever is after them is still after what they are after.
    let lanes = deployment.services.iter().map(|(name, service)| Lane {
        service: name,
        level: (i64::from(service.order), waves.get(name).copied().unwrap_or_default()),
        after: service.after.iter().collect(),
        hosts: if services.contains_key(name) { hosts(service) } else { Vec::new() },
        batch: service.batch as usize,
        canary: service.canary,
        quorum_group: service.quorum_group.as_deref(),
    });
    Ok(schedule(lanes.collect()))
}

/// The steps in which the instances that were touched return to the previous value: dependants first. Instances that
/// the deployment no longer describes come last, one by one.
pub fn back(deployment: &Deployment, touched: &[Instance]) -> Vec<Step> {
    let mut by_service: BTreeMap<&ServiceName, BTreeSet<&HostName>> = BTreeMap::new();
    for instance in touched {
        by_service.entry(&instance.service).or_default().insert(&instance.host);
    }
    let mut dependants: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
    for (name, service) in &deployment.services {
        for earlier in &service.after {
            dependants.entry(earlier).or_default().push(name);
        }
    }
    let none = BTreeSet::new();
    let lanes = deployment.services.iter().map(|(name, service)| {
        let touched = by_service.get(name).unwrap_or(&none);
        Lane {
            service: name,
            level: (-i64::from(service.order), 0),
            after: dependants.remove(name).unwrap_or_default(),
            hosts: last_first(service, touched),
            batch: service.batch as usize,
            canary: false,
            quorum_group: service.quorum_group.as_deref(),
        }
    });
    let mut steps = schedule(lanes.collect());
    let unknown = by_service.into_iter().filter(|(service, _)| !deployment.services.contains_key(service));
    steps.extend(unknown.flat_map(|(service, hosts)| {
        let alone = |host: &HostName| Instance { service: service.clone(), host: host.clone() };
        hosts.into_iter().map(move |host| Step { instances: vec![alone(host)] })
    }));
    steps
}

/// The touched hosts of a service, the last of the way there first; then those that it no longer names.
fn last_first(service: &Service, touched: &BTreeSet<&HostName>) -> Vec<HostName> {
    let known = hosts(service);
    let named: BTreeSet<_> = known.iter().collect();
    let gone: Vec<_> = touched.difference(&named).map(|host| (*host).clone()).collect();
    known.into_iter().rev().filter(|host| touched.contains(host)).chain(gone).collect()
}

/// The waves of services, none before the wave of a service of the same order that it is after.
fn lifted(deployment: &Deployment, services: &BTreeMap<ServiceName, u8>) -> BTreeMap<ServiceName, u8> {
    let mut waves: BTreeMap<ServiceName, u8> = BTreeMap::new();
    let mut dependants: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
    for (name, service) in &deployment.services {
        waves.insert(name.clone(), services.get(name).copied().unwrap_or_default());
        for earlier in service.after.iter().filter(|earlier| order(deployment, earlier) == Some(service.order)) {
            dependants.entry(earlier).or_default().push(name);
        }
    }
    // From the highest wave down, so that each service is lifted once.
    let mut by_wave: Vec<_> = waves.iter().map(|(name, wave)| (*wave, name.clone())).collect();
    by_wave.sort();
    let mut seen = BTreeSet::new();
    while let Some((wave, name)) = by_wave.pop() {
        let mut lift = vec![name];
        while let Some(name) = lift.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let waiting = dependants.get(&name).into_iter().flatten();
            lift.extend(waiting.map(|name| (*name).clone()));
            waves.insert(name, wave);
        }
    }
    waves
}

fn order(deployment: &Deployment, service: &ServiceName) -> Option<i32> {
    deployment.services.get(service).map(|service| service.order)
}
