//! No service is restarted whose own role does not read what changes: it would come up without it.

use crate::failure::{Exit, Failure};
use donjon_policies::{
    access::{Access, Decision},
    catalogue::Catalogue,
    deployment::Deployment,
    name::{RoleName, SecretName, ServiceName},
    restart::Step,
};
use std::collections::BTreeSet;

/// Refuses restarts of services that have a role of their name, where that does not read what changes.
pub(super) fn read_what_changes(
    catalogue: &Catalogue,
    deployment: &Deployment,
    restarts: &[Step],
    changes: &BTreeSet<SecretName>,
) -> Result<(), Failure> {
    let access =
        Access::new(deployment.roles.iter().map(|(role, reads)| (role.clone(), reads.reads.clone())), catalogue);
    let services: BTreeSet<&ServiceName> =
        restarts.iter().flat_map(|step| &step.instances).map(|instance| &instance.service).collect();
    let withheld: Vec<(&ServiceName, SecretName)> = services
        .into_iter()
        .flat_map(|service| {
            withheld(&access, deployment, service, changes).into_iter().map(move |name| (service, name))
        })
        .collect();
    if withheld.is_empty() {
        return Ok(());
    }
    let mut failure =
        Failure::new(Exit::NotAllowed, "services would be restarted whose own role may not read what changes");
    failure.causes =
        withheld.iter().map(|(service, name)| format!("the role `{service}` does not read `{name}`")).collect();
    Err(failure
        .state("no service was restarted for it")
        .hint("give the names to these roles in donjon.yaml (`roles: {SERVICE: {reads: […]}}`); a service that gets them in another way has no role of its name"))
}

/// What of these a service uses, itself or in a view, and the role of its name does not read, neither itself nor in a view.
fn withheld(
    access: &Access,
    deployment: &Deployment,
    service: &ServiceName,
    changes: &BTreeSet<SecretName>,
) -> Vec<SecretName> {
    let role = service.as_str().parse::<RoleName>().ok().filter(|role| deployment.roles.contains_key(role));
    let (Some(role), Some(described)) = (role, deployment.services.get(service)) else { return Vec::new() };
    let reads = |name: &SecretName| access.decide(&role, name) == Decision::Granted;
    let changes = |name: &&SecretName| changes.contains(*name) || !deployment.parts_of(name).is_disjoint(changes);
    let lacks = |name: &&SecretName| !reads(name) && !deployment.views_of(name).iter().any(reads);
    described.uses.iter().filter(changes).filter(lacks).cloned().collect()
}
