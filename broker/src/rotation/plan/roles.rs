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
    let own = OwnRoles::new(catalogue, deployment);
    let mut causes = BTreeSet::new();
    for rotation in rotations {
        let changes = rotation.secrets.iter().map(|planned| planned.secret.clone()).collect();
        let services = rotation.restarts.iter().flat_map(|step| &step.instances).map(|instance| &instance.service);
        for service in services {
            let names = own.withheld(service, &changes);
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

/// What services read by their own roles: those of their names by which somebody on this host reads.
pub(super) struct OwnRoles<'a> {
    access: Access,
    deployment: &'a Deployment,
}

impl<'a> OwnRoles<'a> {
    pub(super) fn new(catalogue: &Catalogue, deployment: &'a Deployment) -> Self {
        let given = deployment.roles.iter().map(|(role, reads)| (role.clone(), reads.reads.clone()));
        Self { access: Access::new(given, catalogue), deployment }
    }

    /// Why a secret is left alone where all are meant.
    pub(super) fn unreadable(&self, secret: &SecretName) -> Option<String> {
        let changes = BTreeSet::from([secret.clone()]);
        let service = self.deployment.services.keys().find(|service| !self.withheld(service, &changes).is_empty())?;
        Some(format!("the role of the service `{service}`, which would be restarted, does not read it"))
    }

    /// What of these a service uses, itself or in a view, and its own role does not read: neither itself, nor in a view, nor
    /// in parts.
    fn withheld(&self, service: &ServiceName, changes: &BTreeSet<SecretName>) -> Vec<SecretName> {
        let Self { access, deployment } = self;
        let here = |reads: &Reads| !reads.users.is_empty() || !reads.groups.is_empty() || !reads.units.is_empty();
        let own = |role: &RoleName| deployment.roles.get(role).is_some_and(here);
        let role = service.as_str().parse::<RoleName>().ok().filter(own);
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
}
