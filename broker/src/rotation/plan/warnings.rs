//! What the deployment file says of consumers that would not survive a rotation as it says it.

use super::{
    Planned, PlannedRotation,
    proof::{listed, restarting, unproven},
};
use crate::rotation::subject::Way;
use donjon_policies::{
    deployment::{Deployment, Piece, placeholders},
    name::{RoleName, SecretName, ServiceName},
};
use std::collections::BTreeSet;

/// What whoever plans or applies these should know, a line each.
pub fn warnings(deployment: &Deployment, rotations: &[PlannedRotation]) -> Vec<String> {
    let secrets = rotations.iter().flat_map(|rotation| &rotation.secrets);
    let nameless = secrets.filter_map(|planned| nameless(deployment, planned));
    let unused = restarting(rotations.iter()).filter_map(|planned| unused(deployment, &planned.secret));
    let unproven = restarting(rotations.iter()).filter_map(|planned| unproven(deployment, planned));
    nameless.chain(unused).chain(unproven).collect()
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
