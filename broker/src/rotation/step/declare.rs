//! Added: every account is told to accept both values, or has a twin that accepts the new one.

use crate::{
    failure::{Exit, Failure},
    rotation::{
        Rotation, accept,
        journal::Credential,
        probe,
        values::{Side, Values, values},
    },
};
use donjon_policies::{name::SecretName, transition::Event};

/// Declares both values on every account.
pub async fn declare(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    look_again(rotation, &values, Strangers::Refused).await?;
    accept::both(rotation, &values, Side::Old, "rotation.declared").await?;
    Ok(Event::BothDeclared)
}

/// What becomes of accounts that came while a secret was being rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// The rotation goes no further.
    Refused,
    /// They are changed with the others.
    Taken,
}

/// Looks at the accounts again: some may have come or gone since the journal was begun.
pub async fn look_again(rotation: &mut Rotation<'_>, values: &Values, strangers: Strangers) -> Result<(), Failure> {
    let mut looked: Vec<(SecretName, Credential)> = Vec::new();
    for (item, credential) in accept::credentials(rotation) {
        // Of two twins one may be gone already, and the other is known.
        if credential.twin.is_some() && strangers == Strangers::Taken {
            continue;
        }
        let pair = values.of(&item.secret);
        let known = [pair.side(Side::Old), pair.side(Side::New)];
        let (target, users) = (&credential.target, &credential.users);
        let login = values.administrator(target);
        let survey = probe::survey(rotation.subject, &item.secret, target, users, login, &known).await?;
        let came = survey.accounts.iter().filter(|account| !credential.accounts.contains(account));
        let came: Vec<_> = came.map(ToString::to_string).collect();
        if strangers == Strangers::Refused && !came.is_empty() {
            let what = format!("accounts of `{}` were added while it was being rotated", users.join(", "));
            return Err(Failure::new(Exit::Conflict, what)
                .cause(came.join(", "))
                .hint("`donjon rotate abort`, then begin anew"));
        }
        for gone in credential.accounts.iter().filter(|account| !survey.accounts.contains(account)) {
            rotation.told(format!("{gone} on {target} is no longer there, and is left out"));
        }
        let again = Credential { accounts: survey.accounts, entries: survey.entries, ..credential.clone() };
        looked.push((item.secret.clone(), again));
    }
    for item in rotation.items_mut() {
        for credential in &mut item.credentials {
            let same = |(secret, again): &&(SecretName, Credential)| {
                *secret == item.secret && again.target == credential.target && again.users == credential.users
            };
            if let Some((_, again)) = looked.iter().find(same) {
                *credential = again.clone();
            }
        }
    }
    Ok(())
}
