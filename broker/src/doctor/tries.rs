//! Fresh logins, as few as tell something: each refused one counts against the account on a server that locks accounts.

use super::{Answer, Label, Try};
use donjon_drivers::{
    material::Material,
    target::{Account, Login, Node, Target, TargetError},
};
use donjon_policies::name::TargetName;
use std::collections::BTreeSet;

/// A value that could be accepted, by which accounts.
pub(super) struct Candidate<'a> {
    /// Which one.
    pub label: Label,
    /// Its bytes.
    pub value: &'a Material,
    /// The user that has it, where that is a twin.
    pub twin: Option<&'a str>,
    /// Whether it is tried in any case. The others are tried only where none of these is accepted.
    pub always: bool,
}

/// Where values are tried.
pub(super) struct Ground<'a> {
    /// The target's name.
    pub name: &'a TargetName,
    /// The target.
    pub target: &'a dyn Target,
    /// The accounts.
    pub accounts: &'a [Account],
    /// Every account that a login could match.
    pub entries: &'a [Account],
}

/// Nodes that did not answer; nobody waits for one of them twice.
pub(super) type Silent = BTreeSet<(TargetName, String)>;

/// Tries the candidates, the likeliest first, on every node and account.
pub(super) async fn tries(ground: &Ground<'_>, candidates: &[Candidate<'_>], silent: &mut Silent) -> Vec<Try> {
    let mut made = Vec::new();
    for node in ground.target.nodes() {
        for account in ground.accounts {
            let mut any = false;
            for candidate in candidates {
                if any && !candidate.always {
                    continue;
                }
                let tried = one(ground, node, account, candidate, silent).await;
                let told = matches!(tried.answer, Answer::Accepted | Answer::Refused);
                any |= tried.answer == Answer::Accepted;
                made.push(tried);
                // Where one value cannot be tried, no other can.
                if !told {
                    break;
                }
            }
        }
    }
    made
}

async fn one(ground: &Ground<'_>, node: &Node, place: &Account, candidate: &Candidate<'_>, silent: &mut Silent) -> Try {
    let user = candidate.twin.unwrap_or(&place.user);
    let account = Account { user: user.to_owned(), host: place.host.clone() };
    let key = (ground.name.clone(), node.name.clone());
    let (answer, why) = if silent.contains(&key) {
        (Answer::Unreachable, None)
    } else {
        let among: Vec<Account> = match candidate.twin {
            Some(_) => {
                ground.accounts.iter().map(|a| Account { user: user.to_owned(), host: a.host.clone() }).collect()
            }
            None => ground.entries.iter().filter(|entry| entry.user == user).cloned().collect(),
        };
        match ground.target.login(node, &account, &among, candidate.value).await {
            Ok(Login::Accepted) => (Answer::Accepted, None),
            Ok(Login::Refused) => (Answer::Refused, None),
            Ok(Login::Shadowed(by)) => (Answer::Shadowed, Some(format!("{by} answers there"))),
            Ok(Login::Unprovable(why)) => (Answer::Unprovable, Some(why)),
            Err(TargetError::Unreachable { .. }) => {
                silent.insert(key);
                (Answer::Unreachable, None)
            }
            Err(error) => (Answer::Unprovable, Some(error.to_string())),
        }
    };
    Try {
        target: ground.name.clone(),
        node: node.name.clone(),
        address: node.address.clone(),
        account,
        place: place.clone(),
        value: candidate.label,
        answer,
        why,
    }
}
