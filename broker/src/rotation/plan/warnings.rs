//! What the deployment file says of consumers that would not survive a rotation as it says it.

use super::{Planned, PlannedCredential, PlannedRotation};
use crate::rotation::subject::Way;
use donjon_policies::{
    catalogue::TargetKind,
    deployment::{Deployment, Piece, Proof, Service, Setting, placeholders},
    name::{RoleName, SecretName, ServiceName},
    transition::Path,
};
use std::collections::BTreeSet;

/// What whoever plans or applies these should know, a line each.
pub fn warnings(deployment: &Deployment, rotations: &[PlannedRotation]) -> Vec<String> {
    let secrets = rotations.iter().flat_map(|rotation| &rotation.secrets);
    let nameless = secrets.filter_map(|planned| nameless(deployment, planned));
    // Whoever has a repository of keys needs no restart.
    let restarting = rotations.iter().filter(|rotation| rotation.path != Path::Keyring);
    let secrets: Vec<&Planned> = restarting.flat_map(|rotation| &rotation.secrets).collect();
    let unused = secrets.iter().filter_map(|planned| unused(deployment, &planned.secret));
    let unproven = secrets.iter().filter_map(|planned| unproven(deployment, planned));
    nameless.chain(unused).chain(unproven).collect()
}

/// Services of which nothing would show whether they log in with the new value.
fn unproven(deployment: &Deployment, planned: &Planned) -> Option<String> {
    let secret = &planned.secret;
    let silent = |credential: &PlannedCredential| match credential.kind {
        TargetKind::Keystone | TargetKind::Sshkeys => true,
        TargetKind::Command => {
            let options = deployment.targets.get(&credential.target).map(|target| &target.options);
            options.and_then(|options| options.get("sessions")) != Some(&Setting::Switch(true))
        }
        TargetKind::Mariadb
        | TargetKind::Proxysql
        | TargetKind::Rabbitmq
        | TargetKind::Redis
        | TargetKind::Keyring
        | TargetKind::Consumers => false,
    };
    let is_silent = !planned.credentials.is_empty() && planned.credentials.iter().all(silent);
    let tried = |service: &Service| service.fed.is_some() || service.options.contains_key("check");
    let by_start = |service: &Service| (is_silent || service.proof == Proof::Check) && !tried(service);
    let consumers = deployment.consumers_of(secret).into_iter();
    let services = listed(consumers.filter(|(_, service)| by_start(service)).map(|(name, _)| name))?;
    Some(format!(
        "nothing shows whether {services} logs in with a new `{secret}`: it counts as proven once it has started, and the old value goes then. Give it a `check` that logs in, and `fed`, which is tried on a wrong value first"
    ))
}

/// Services that use a value whose user has another name after the rotation, and do not read that name.
fn nameless(deployment: &Deployment, planned: &Planned) -> Option<String> {
    let secret = &planned.secret;
    if !planned.credentials.iter().any(|credential| credential.way == Way::Twin) {
        return None;
    }
    let names_user = |view: &SecretName| {
        let template = deployment.views.get(view).map(String::as_str).unwrap_or_default();
        let mut pieces = placeholders(template).filter_map(Result::ok);
        pieces.any(|placeholder| placeholder.secret == *secret && matches!(placeholder.piece, Piece::User(_)))
    };
    let named: BTreeSet<SecretName> = deployment.views_of(secret).into_iter().filter(names_user).collect();
    let consumers = deployment.consumers_of(secret).into_iter();
    let without = listed(consumers.filter(|(_, service)| service.uses.is_disjoint(&named)).map(|(name, _)| name))?;
    Some(format!(
        "`{secret}` rotates to another user with the same rights (`dual-user`), and {without} does not read that user's name, so it fails on the new value: a view has the name as `{{{secret}:user:NAME}}`; or `strategies: {{{secret}: cutover}}` in donjon.yaml"
    ))
}

/// Services whose own role reads what they do not say to use.
fn unused(deployment: &Deployment, secret: &SecretName) -> Option<String> {
    let either: BTreeSet<SecretName> = deployment.views_of(secret).into_iter().chain([secret.clone()]).collect();
    let reads = |service: &ServiceName| {
        let role = service.as_str().parse::<RoleName>().ok();
        role.and_then(|role| deployment.roles.get(&role)).is_some_and(|role| !role.reads.is_disjoint(&either))
    };
    let services =
        deployment.services.iter().filter(|(name, service)| service.uses.is_disjoint(&either) && reads(name));
    let services = listed(services.map(|(name, _)| name))?;
    Some(format!(
        "the role of {services} reads `{secret}`, which that service does not name under `uses`: it is neither restarted nor waited for, and is cut off once the old value goes"
    ))
}

/// Names as they stand in a sentence; `None` where there are none.
fn listed<'a>(names: impl Iterator<Item = &'a ServiceName>) -> Option<String> {
    let names = names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then_some(names)
}
