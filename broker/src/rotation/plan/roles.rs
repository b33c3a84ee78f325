//! No service is restarted whose own role does not read what changes: it would come up without it.

use super::PlannedRotation;
use crate::failure::{Exit, Failure};
use donjon_policies::{
    access::{Access, Decision},
    catalogue::Catalogue,
    deployment::{Deployment, Reads},
    name::{RoleName, SecretName, ServiceName},
};
use std::collections::BTreeSet;

/// Refuses rotations that would restart services which have a role of their name, where that does not read what changes.
pub fn restarts_readable(
    catalogue: &Catalogue,
    deployment: &Deployment,
    rotations: &[PlannedRotation],
) -> Result<(), Failure> {
    let access = access(catalogue, deployment);
    let mut causes = BTreeSet::new();
    for rotation in rotations {
        let changes = rotation.secrets.iter().map(|planned| planned.secret.clone()).collect();
        let services = rotation.restarts.iter().flat_map(|step| &step.instances).map(|instance| &instance.service);
        for service in services {
            let names = withheld(&access, deployment, service, &changes);
            causes.extend(names.iter().map(|name| format!("the role `{service}` does not read `{name}`")));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let what = "services would be restarted whose own role may not read what changes";
    let mut failure = Failure::new(Exit::NotAllowed, what);
    failure.causes = causes.into_iter().collect();
    Err(failure.hint(
        "give the names to these roles in donjon.yaml (`roles: {SERVICE: {reads: […]}}`); a service that gets them in another way has no role of its name with users, groups or units",
    ))
}

/// Why a secret is left alone where all are meant.
pub(super) fn unreadable(catalogue: &Catalogue, deployment: &Deployment, secret: &SecretName) -> Option<String> {
    let (access, changes) = (access(catalogue, deployment), BTreeSet::from([secret.clone()]));
    let lacks = |service: &&ServiceName| !withheld(&access, deployment, service, &changes).is_empty();
    let service = deployment.services.keys().find(lacks)?;
    Some(format!("the role of the service `{service}`, which would be restarted, does not read it"))
}

fn access(catalogue: &Catalogue, deployment: &Deployment) -> Access {
    let given = deployment.roles.iter().map(|(role, reads)| (role.clone(), reads.reads.clone()));
    Access::new(given, catalogue)
}

/// What of these a service uses, itself or in a view, and its own role does not read: neither itself, nor in a view, nor in parts.
/// Its own is the role of its name by which somebody on this host reads.
fn withheld(
    access: &Access,
    deployment: &Deployment,
    service: &ServiceName,
    changes: &BTreeSet<SecretName>,
) -> Vec<SecretName> {
    let here = |reads: &Reads| !reads.users.is_empty() || !reads.groups.is_empty() || !reads.units.is_empty();
    let role = service.as_str().parse::<RoleName>().ok().filter(|role| deployment.roles.get(role).is_some_and(here));
    let (Some(role), Some(described)) = (role, deployment.services.get(service)) else { return Vec::new() };
    let reads = |name: &SecretName| access.decide(&role, name) == Decision::Granted;
    let parts = |name: &SecretName| deployment.parts_of(name).intersection(changes).cloned().collect::<Vec<_>>();
    let changes = |name: &&SecretName| changes.contains(*name) || !parts(name).is_empty();
    let lacks = |name: &&SecretName| {
        let parts = parts(name);
        let in_parts = !parts.is_empty() && parts.iter().all(reads);
        !reads(name) && !in_parts && !deployment.views_of(name).iter().any(reads)
    };
    described.uses.iter().filter(changes).filter(lacks).cloned().collect()
}
