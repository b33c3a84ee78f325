//! What logs in where: fresh logins on every node and account. What a server said of itself is not believed.

use super::Subject;
use crate::failure::{Exit, Failure};
use donjon_drivers::{
    material::Material,
    target::{Account, Admin, Hazard, Login, Node, Survey, TargetError},
};

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

/// Tries a value on every node and account.
pub async fn logins(
    subject: &Subject,
    accounts: &[Account],
    entries: &[Account],
    value: &Material,
) -> Result<Found, TargetError> {
    let mut found = Found::default();
    for node in subject.target.nodes() {
        for account in accounts {
            let among: Vec<Account> = entries.iter().filter(|entry| entry.user == account.user).cloned().collect();
            match subject.target.login(node, account, &among, value).await? {
                Login::Accepted => found.accepted.push((node.clone(), account.clone())),
                Login::Refused => found.refused.push((node.clone(), account.clone())),
                // No consumer can get in there either, so there is nothing to prove.
                Login::Shadowed(_) => {}
                Login::Unprovable(why) => found.unprovable.push((node.clone(), account.clone(), why)),
            }
        }
    }
    Ok(found)
}

/// Every account of the users, refusing to go on where a change would not be safe.
pub async fn survey(subject: &Subject, admin: &[&Material], known: &[&Material]) -> Result<Survey, Failure> {
    let admin = Admin { user: &subject.administrator.user, values: admin };
    let mut survey = Survey { accounts: Vec::new(), entries: Vec::new(), hazards: Vec::new() };
    for user in &subject.users {
        let found = subject.target.survey(&admin, user, known).await.map_err(|error| failed(subject, &error))?;
        // The catalogue names users that only some deployments have.
        if found.entries.is_empty() && subject.users.len() > 1 {
            continue;
        }
        survey.accounts.extend(found.accounts);
        survey.entries.extend(found.entries);
        survey
            .hazards
            .extend(found.hazards.into_iter().filter(|hazard| !survey.hazards.contains(hazard)).collect::<Vec<_>>());
    }
    if survey.accounts.is_empty() {
        return Err(Failure::new(
            Exit::NotThere,
            format!(
                "`{}` has no account of {} that authenticates by a password",
                subject.target_name,
                subject.users.join(", ")
            ),
        ));
    }
    if survey.hazards.is_empty() {
        return Ok(survey);
    }
    let mut failure = Failure::new(
        Exit::Quorum,
        format!("`{}` is in no state in which `{}` can be changed safely", subject.target_name, subject.secret),
    );
    failure.causes = survey.hazards.iter().map(Hazard::to_string).collect();
    Err(failure.hint("mend what is listed, then the same command again"))
}

/// A target's error, as a person is told it.
pub fn failed(subject: &Subject, error: &TargetError) -> Failure {
    let code = match error {
        TargetError::Unreachable { .. } => Exit::Unavailable,
        TargetError::AdminRefused { .. } => Exit::Ambiguous,
        TargetError::Refused { .. } | TargetError::Unable { .. } => Exit::Failed,
    };
    let failure = Failure::new(code, format!("cannot rotate `{}`", subject.secret)).because(error);
    match error {
        TargetError::AdminRefused { .. } => failure.hint("the server's password was changed by someone else: put it back there, or store the one that works with `donjon put`"),
        TargetError::Unreachable { .. } => failure.hint("`donjon rotate resume` goes on when the node is back"),
        TargetError::Refused { .. } | TargetError::Unable { .. } => failure,
    }
}

/// `root@localhost on db1, root@% on db1`.
pub fn places(places: &[(Node, Account)]) -> String {
    places
        .iter()
        .map(|(node, account)| format!("{account} on {} ({})", node.name, node.address))
        .collect::<Vec<_>>()
        .join(", ")
}
