//! What a plan must keep, checked from the finished plan alone.

use crate::{
    deployment::Deployment,
    name::ServiceName,
    restart::{Instance, Step},
};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that a plan breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// Dependencies and orders.
    Order,
    /// One member of a quorum group at a time.
    Quorum,
    /// At most `batch` hosts of a service at a time.
    Batch,
    /// The first host alone.
    Canary,
    /// Each instance once, and no other.
    Once,
}

/// Which way a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the new value.
    Forward,
    /// Back to the previous one.
    Back,
}

/// Every rule that these steps break, as a plan for exactly these instances.
pub(super) fn broken(
    deployment: &Deployment,
    expected: &BTreeSet<Instance>,
    steps: &[Step],
    way: Way,
) -> BTreeSet<Rule> {
    let mut broken = BTreeSet::new();
    let all: Vec<_> = steps.iter().flat_map(|step| &step.instances).collect();
    if all.iter().copied().cloned().collect::<BTreeSet<_>>() != *expected
        || all.len() != expected.len()
        || steps.iter().any(|step| step.instances.is_empty())
    {
        broken.insert(Rule::Once);
    }
    let mut spans: BTreeMap<&ServiceName, (usize, usize)> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        let mut of_service: BTreeMap<&ServiceName, usize> = BTreeMap::new();
        let mut of_group: BTreeMap<&str, usize> = BTreeMap::new();
        for Instance { service, .. } in &step.instances {
            let first = spans.get(service).is_none_or(|(from, _)| *from == at);
            spans.entry(service).or_insert((at, at)).1 = at;
            let count = of_service.entry(service).or_default();
            *count += 1;
            let described = &deployment.services[service];
            if *count > described.batch as usize {
                broken.insert(Rule::Batch);
            }
            if way == Way::Forward && described.canary && first && *count > 1 {
                broken.insert(Rule::Canary);
            }
            if let Some(group) = &described.quorum_group {
                let count = of_group.entry(group).or_default();
                *count += 1;
                if *count > 1 {
                    broken.insert(Rule::Quorum);
                }
            }
        }
    }
    let mut in_order = |earlier: &ServiceName, later: &ServiceName| {
        let (first, second) = match way {
            Way::Forward => (earlier, later),
            Way::Back => (later, earlier),
        };
        if let (Some((_, end)), Some((begin, _))) = (spans.get(first), spans.get(second))
            && end >= begin
        {
            broken.insert(Rule::Order);
        }
    };
    for (name, service) in &deployment.services {
        earlier(deployment, name).into_iter().for_each(|earlier| in_order(earlier, name));
        let lower = deployment.services.iter().filter(|(_, other)| other.order < service.order);
        lower.for_each(|(other, _)| in_order(other, name));
    }
    broken
}

/// Everything that a service is after, through others too.
fn earlier<'a>(deployment: &'a Deployment, service: &ServiceName) -> BTreeSet<&'a ServiceName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<_> = deployment.services[service].after.iter().collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(&deployment.services[next].after);
        }
    }
    found
}
