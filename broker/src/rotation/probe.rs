//! What logs in where: fresh logins on every node and account. What a server said of itself is not believed.

use super::{Subject, journal::Credential, state_transfer, values::Login};
use crate::failure::{Exit, Failure};
use donjon_drivers::{
    material::Material,
    target::{Account, Hazard, Login as Answer, Node, Survey, Target, TargetError, fence::Fenced},
};
use donjon_policies::name::{SecretName, TargetName};
use futures_util::future::join_all;

/// What one round of logins found.
#[derive(Debug, Default)]
pub struct Found {
    /// Where the value was accepted.
    pub accepted: Vec<(Node, Account)>,
    /// Where it was refused.
    pub refused: Vec<(Node, Account)>,
    /// Where nobody can try from here, and why.
    pub unprovable: Vec<(Node, Account, String)>,
}

/// Tries a value on every node and account, several at once, and adds what came of it in their order.
pub async fn logins(
    target: &dyn Target,
    accounts: &[Account],
    entries: &[Account],
    value: &Material,
    found: &mut Found,
) -> Result<(), TargetError> {
    let at = |node| accounts.iter().map(move |account| (node, account));
    let places: Vec<(&Node, &Account)> = target.nodes().iter().flat_map(at).collect();
    for some in places.chunks(AT_ONCE) {
        let tries = some.iter().map(|(node, account)| login(target, node, account, entries, value));
        for ((node, account), answer) in some.iter().copied().zip(join_all(tries).await) {
            match answer? {
                Answer::Accepted => found.accepted.push((node.clone(), account.clone())),
                Answer::Refused => found.refused.push((node.clone(), account.clone())),
                // No consumer can get in there either, so there is nothing to prove.
                Answer::Shadowed(_) => {}
                Answer::Unprovable(why) => found.unprovable.push((node.clone(), account.clone(), why)),
            }
        }
    }
    Ok(())
}

async fn login(
    target: &dyn Target,
    node: &Node,
    account: &Account,
    entries: &[Account],
    value: &Material,
) -> Result<Answer, TargetError> {
    let among: Vec<Account> = entries.iter().filter(|entry| entry.user == account.user).cloned().collect();
    target.login(node, account, &among, value).await
}

/// How many logins are under way at once: servers limit how many may be.
const AT_ONCE: usize = 8;

/// Every account of the users of a credential, refusing to go on where a change would not be safe.
pub async fn survey(
    subject: &Subject,
    secret: &SecretName,
    target: &TargetName,
    users: &[String],
    login: &Login,
    known: &[&Material],
) -> Result<Survey, Failure> {
    let values = login.values();
    let admin = login.admin(&values, None);
    let mut survey = Survey { accounts: Vec::new(), entries: Vec::new(), by_socket: Vec::new(), hazards: Vec::new() };
    let reached = &subject.targets[target].target;
    let mut looks = Vec::new();
    for some in users.chunks(AT_ONCE) {
        looks.extend(join_all(some.iter().map(|user| reached.survey(&admin, user, known))).await);
    }
    for found in looks {
        let found = found.map_err(|error| failed(subject, target, &error))?;
        // The catalogue names users that only some deployments have.
        if found.entries.is_empty() && users.len() > 1 {
            continue;
        }
        survey.accounts.extend(found.accounts);
        survey.entries.extend(found.entries);
        survey.by_socket.extend(found.by_socket);
        survey
            .hazards
            .extend(found.hazards.into_iter().filter(|hazard| !survey.hazards.contains(hazard)).collect::<Vec<_>>());
    }
    if survey.accounts.is_empty() && !survey.by_socket.is_empty() {
        return Err(Failure::new(Exit::NotThere, state_transfer::nothing_to_rotate(target, &survey.by_socket))
            .hint("leave it out: there is nothing to do"));
    }
    if survey.accounts.is_empty() {
        return Err(Failure::new(
            Exit::NotThere,
            format!("`{target}` has no account of {} that authenticates by a password", users.join(", ")),
        )
        .hint("leave it out where its service is not deployed; else `donjon doctor NAME` shows what there is"));
    }
    if survey.hazards.is_empty() {
        return Ok(survey);
    }
    let mut failure =
        Failure::new(Exit::Quorum, format!("`{target}` is in no state in which `{secret}` can be changed safely"));
    failure.causes = survey.hazards.iter().map(Hazard::to_string).collect();
    Err(failure.hint("`donjon doctor` tells which stored value works where; mend what is listed, then the same command again, or `donjon rotate resume` where it had begun"))
}

/// Accounts that nobody can try from here and that nobody vouched for.
pub fn unvouched(found: &Found, credentials: &[&Credential]) -> Vec<String> {
    found
        .unprovable
        .iter()
        .filter(|(_, account, _)| !credentials.iter().any(|c| c.vouched.contains(account)))
        .map(|(node, account, why)| format!("{account} on {}: {why}", node.name))
        .collect()
}

/// A target's error, as a person is told it.
pub fn failed(subject: &Subject, target: &TargetName, error: &TargetError) -> Failure {
    let code = match error {
        TargetError::Unreachable { .. } => Exit::Unavailable,
        TargetError::AdminRefused { .. } => Exit::Ambiguous,
        TargetError::Fenced { source: Fenced::Lost, .. } => return taken_over(&subject.names()),
        TargetError::Fenced { source: Fenced::Unknown(_), .. } => Exit::Unavailable,
        TargetError::Refused { .. } | TargetError::Unable { .. } => Exit::Failed,
    };
    let failure = Failure::new(code, format!("cannot rotate {} on `{target}`", subject.names())).because(error);
    match error {
        TargetError::AdminRefused { .. } => failure.hint("the server's password was changed by someone else: put it back there, or store the one that works with `donjon put`"),
        TargetError::Unreachable { .. } => failure.hint("`donjon rotate resume` goes on when the node is back"),
        TargetError::Refused { .. } | TargetError::Unable { .. } | TargetError::Fenced { .. } => failure,
    }
}

/// This broker is no longer the one that drives the rotation.
pub fn taken_over(names: &str) -> Failure {
    Failure::new(Exit::Conflict, format!("another broker has taken over the rotation of {names}"))
        .state("this one has stopped")
        .hint("`donjon rotate status` shows how it stands")
}

/// `root@localhost on db1, root@% on db1`.
pub fn places(places: &[(Node, Account)]) -> String {
    places
        .iter()
        .map(|(node, account)| format!("{account} on {} ({})", node.name, node.address))
        .collect::<Vec<_>>()
        .join(", ")
}
