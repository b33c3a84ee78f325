//! One credential of a plan: the target of this deployment that accepts the value, and how a new one gets there.

use crate::rotation::subject::Way;
use donjon_policies::{
    catalogue::{Credential, Entry, Standing, TargetKind},
    deployment::{Deployment, Setting},
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
    /// Why it changes in another way than the catalogue says, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
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
    /// The deployment file asks for two passwords of one user, and the path to the server holds one.
    #[error("{}, so that clients never get to use a second one; `dual-user` goes through it", one_password(.0))]
    OnePassword(TargetName),
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
        let said = deployment.strategies.get(&entry.name).copied();
        if let (Some(Strategy::DualPassword), Some(proxy)) = (said, holding_one(deployment, credential)) {
            return Err(Unplannable::OnePassword(proxy.clone()));
        }
        let strategy = said.unwrap_or(credential.strategy);
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
        (TargetKind::Mariadb, Strategy::DualPassword) if holding_one(deployment, credential).is_some() => {
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
    kinds.extend(proxies(deployment, credential).map(|(kind, _)| kind));
    let because = holding_one(deployment, credential).filter(|_| strategy != credential.strategy).map(one_password);
    let mut planned = Vec::new();
    for kind in kinds {
        let target = target(deployment, kind).ok_or(Unplannable::NoTarget(kind))?;
        planned.push(PlannedCredential {
            target: target.clone(),
            kind,
            strategy,
            way,
            users: users.clone(),
            because: because.clone(),
        });
    }
    Ok((path, planned))
}

/// The proxies between the consumers and the target that this deployment has.
fn proxies<'a>(
    deployment: &'a Deployment,
    credential: &'a Credential,
) -> impl Iterator<Item = (TargetKind, &'a TargetName)> {
    credential.through.iter().filter_map(|kind| Some((*kind, target(deployment, *kind)?)))
}

/// The first of them that holds one password for each user: each one that is not said to hold an additional one.
fn holding_one<'a>(deployment: &'a Deployment, credential: &'a Credential) -> Option<&'a TargetName> {
    let holds_two = |name: &TargetName| {
        let options = deployment.targets.get(name).map(|driven| &driven.options);
        matches!(options.and_then(|options| options.get(ADDITIONAL)), Some(Setting::Switch(true)))
    };
    proxies(deployment, credential).map(|(_, name)| name).find(|name| !holds_two(name))
}

/// The option by which the deployment file says so.
const ADDITIONAL: &str = "additional_password";

fn one_password(proxy: &TargetName) -> String {
    format!("the proxy `{proxy}` holds one password for each user")
}

fn target(deployment: &Deployment, kind: TargetKind) -> Option<&TargetName> {
    deployment.targets.iter().find(|(_, driven)| driven.driver == kind.word()).map(|(name, _)| name)
}
