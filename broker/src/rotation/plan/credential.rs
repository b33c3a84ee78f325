//! One credential of a plan: the target of this deployment that accepts the value, and how a new one gets there.

use crate::rotation::subject::Way;
use donjon_policies::{
    catalogue::{Credential, Entry, Standing, TargetKind},
    deployment::Deployment,
    name::{SecretName, TargetName},
    recipe::Recipe,
    strategy::Strategy,
    transition::Path,
};
use serde::Serialize;

/// The accounts of one target that have the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedCredential {
    /// The target.
    pub target: TargetName,
    /// What sort of server it is.
    pub kind: TargetKind,
    /// How the value changes there.
    pub strategy: Strategy,
    /// What that means for an account.
    pub way: Way,
    /// The users whose accounts have the value.
    pub users: Vec<String>,
}

/// Why a secret is not in a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// Its strategy refuses a change.
    #[error("{0}")]
    Refused(&'static str),
    /// It is accepted on import alone.
    #[error("the deployer knows it no longer")]
    Older,
    /// There is no code for it.
    #[error("this version does not rotate by {0} yet")]
    NotYet(String),
    /// The deployment file lacks the server.
    #[error("the deployment file has no target with the driver `{0}`")]
    NoTarget(TargetKind),
    /// The deployment file lacks the nodes of the repository.
    #[error("the deployment file has no `keyrings.{0}`")]
    NoKeyring(SecretName),
    /// `--compromised` has no path here.
    #[error("it has no path on which the old value goes first")]
    NotFirst,
}

/// The path of a secret and its credentials in this deployment.
pub(super) fn credentials(
    deployment: &Deployment,
    entry: &Entry,
) -> Result<(Path, Vec<PlannedCredential>), Unplannable> {
    if entry.standing == Standing::Older {
        return Err(Unplannable::Older);
    }
    if let Some(why) = entry.credentials.iter().find_map(|c| c.strategy.refusal()) {
        return Err(Unplannable::Refused(why));
    }
    let (mut worst, mut planned) = (Path::Overlap, Vec::new());
    for credential in &entry.credentials {
        // What the catalogue refuses was refused above; what it allows may be done in another way here.
        let strategy = deployment.strategies.get(&entry.name).copied().unwrap_or(credential.strategy);
        if let Some(why) = strategy.refusal() {
            return Err(Unplannable::Refused(why));
        }
        let repository = matches!(entry.recipe, Recipe::FernetRepository { .. });
        if repository && (credential.target, strategy) == (TargetKind::Keyring, Strategy::Keyring) {
            if !deployment.keyrings.contains_key(&entry.name) {
                return Err(Unplannable::NoKeyring(entry.name.clone()));
            }
            worst = worst.max(Path::Keyring);
            continue;
        }
        let (path, found) = one(deployment, &Credential { strategy, ..credential.clone() })?;
        worst = worst.max(path);
        planned.extend(found);
    }
    Ok((worst, planned))
}

fn one(deployment: &Deployment, credential: &Credential) -> Result<(Path, Vec<PlannedCredential>), Unplannable> {
    let not_yet =
        |what: &str| Err(Unplannable::NotYet(format!("{} on {}{what}", credential.strategy, credential.target)));
    let (path, way, strategy) = match (credential.target, credential.strategy) {
        // Nobody holds the value but those who share it: they restart, and that is all there is to do.
        (TargetKind::Consumers, Strategy::Together | Strategy::Cutover) => return Ok((Path::Together, Vec::new())),
        (TargetKind::Keyring, _) | (TargetKind::Consumers, _) | (_, Strategy::Together) => return not_yet(""),
        // One key beside the other in `authorized_keys` is two values of one account.
        (TargetKind::Sshkeys, Strategy::Keyring) => (Path::Overlap, Way::Both, Strategy::Keyring),
        (_, Strategy::Keyring) => return not_yet(""),
        // A proxy that holds one password for each user never shows its clients a second one of the server.
        (TargetKind::Mariadb, Strategy::DualPassword) if !proxies(deployment, credential).is_empty() => {
            (Path::Overlap, Way::Twin, Strategy::DualUser)
        }
        (_, Strategy::DualPassword) => (Path::Overlap, Way::Both, Strategy::DualPassword),
        (_, Strategy::DualUser) => (Path::Overlap, Way::Twin, Strategy::DualUser),
        (_, Strategy::Cutover) => (Path::Cutover, Way::Switch, Strategy::Cutover),
        (_, Strategy::Operator | Strategy::Never) => return not_yet(""),
    };
    let mut users: Vec<String> = credential.accounts.iter().map(|account| account.user.clone()).collect();
    users.dedup();
    if way == Way::Twin && users.len() != 1 {
        return not_yet(" for several users at once");
    }
    let mut kinds = vec![credential.target];
    kinds.extend(proxies(deployment, credential));
    let mut planned = Vec::new();
    for kind in kinds {
        let target = target(deployment, kind).ok_or(Unplannable::NoTarget(kind))?;
        planned.push(PlannedCredential { target: target.clone(), kind, strategy, way, users: users.clone() });
    }
    Ok((path, planned))
}

/// The proxies between the consumers and the target that this deployment has.
fn proxies(deployment: &Deployment, credential: &Credential) -> Vec<TargetKind> {
    credential.through.iter().copied().filter(|kind| target(deployment, *kind).is_some()).collect()
}

fn target(deployment: &Deployment, kind: TargetKind) -> Option<&TargetName> {
    deployment.targets.iter().find(|(_, driven)| driven.driver == kind.word()).map(|(name, _)| name)
}
