//! No old value goes for a consumer of which nothing would show that it logs in with the new one.

use super::{Planned, PlannedCredential, PlannedRotation};
use crate::failure::{Exit, Failure};
use donjon_policies::{
    catalogue::TargetKind,
    deployment::{Deployment, Proof, Service, Setting},
    name::ServiceName,
    transition::Path,
};

/// Refuses rotations after which nothing would show whether a consumer logs in.
pub fn consumers_provable(deployment: &Deployment, rotations: &[PlannedRotation]) -> Result<(), Failure> {
    let meant = rotations.iter().filter(|rotation| needed(rotation.path, rotation.compromised));
    let causes: Vec<String> = restarting(meant).filter_map(|planned| unproven(deployment, planned)).collect();
    if causes.is_empty() {
        return Ok(());
    }
    let mut failure =
        Failure::new(Exit::Refused, "of some consumers nothing would show that they log in with the new value");
    failure.causes = causes;
    Err(failure.hint(
        "give the service a `check` that logs in, and `fed`, which is tried on a wrong value first; or `proof: start` in donjon.yaml, where its start must do",
    ))
}

/// Whether an old value waits for a proof: one that is known to others goes first, whoever logs in.
pub(super) fn needed(path: Path, compromised: bool) -> bool {
    path != Path::Keyring && !compromised
}

/// The secrets for which services restart: whoever has a repository of keys needs none.
pub(super) fn restarting<'a>(
    rotations: impl Iterator<Item = &'a PlannedRotation>,
) -> impl Iterator<Item = &'a Planned> {
    rotations.filter(|rotation| rotation.path != Path::Keyring).flat_map(|rotation| &rotation.secrets)
}

/// Services of which nothing would show whether they log in with a new value of this.
pub(super) fn unproven(deployment: &Deployment, planned: &Planned) -> Option<String> {
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
    let by_start = |service: &Service| match service.proof {
        _ if service.options.contains_key("check") => false,
        Proof::Session => is_silent,
        // Its check alone is to prove it, and there is none.
        Proof::Check => true,
        Proof::Start => false,
    };
    let consumers = deployment.consumers_of(secret).into_iter();
    let services = listed(consumers.filter(|(_, service)| by_start(service)).map(|(name, _)| name))?;
    Some(format!("nothing shows whether {services} logs in with a new `{secret}`"))
}

/// Names as they stand in a sentence; `None` where there are none.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a ServiceName>) -> Option<String> {
    let names = names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then_some(names)
}
