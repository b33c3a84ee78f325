//! Added: every account is told to accept both values.

use crate::{
    failure::{Exit, Failure},
    rotation::{
        Rotation,
        begin::{Values, values},
        checkpoint, probe,
    },
};
use donjon_drivers::{material::Material, target::Admin};
use donjon_policies::transition::Event;

/// Declares both values on every account.
pub async fn both(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    let (old, new) = (&both.old, &both.new);
    // Looked at again: accounts may have come or gone since the journal was begun.
    let survey = probe::survey(rotation.subject, &both.administrator.values(), &[old, new]).await?;
    let strangers: Vec<_> =
        survey.accounts.iter().filter(|a| !rotation.journal().accounts.contains(a)).map(ToString::to_string).collect();
    if !strangers.is_empty() {
        return Err(Failure::new(
            Exit::Conflict,
            format!("accounts of `{}` were added while it was being rotated", rotation.subject.users.join(", ")),
        )
        .cause(strangers.join(", "))
        .hint("`donjon rotate abort`, then begin anew"));
    }
    rotation.held.journal.accounts = survey.accounts;
    rotation.held.journal.entries = survey.entries;
    declare(rotation, &both, &[old, new], "rotation.declared").await?;
    Ok(Event::BothDeclared)
}

/// Declares values on every account.
pub async fn declare(rotation: &Rotation<'_>, both: &Values, values: &[&Material], point: &str) -> Result<(), Failure> {
    let subject = rotation.subject;
    let known = both.administrator.values();
    let admin = Admin { user: &subject.administrator.user, values: &known };
    for account in &rotation.journal().accounts {
        subject.target.declare(&admin, account, values).await.map_err(|error| probe::failed(subject, &error))?;
        checkpoint::reached(point);
    }
    Ok(())
}

/// Before the rotation moves on: does the target still accept both? A deployer's own run sets one password and collapses
/// the chain; it is put back and reported.
pub async fn still_both(rotation: &Rotation<'_>, both: &Values) -> Result<(), Failure> {
    let (old, new) = (&both.old, &both.new);
    let journal = rotation.journal();
    let mut collapsed = Vec::new();
    for value in [new, old] {
        let found = probe::logins(rotation.subject, &journal.accounts, &journal.entries, value)
            .await
            .map_err(|error| probe::failed(rotation.subject, &error))?;
        collapsed.extend(found.refused);
    }
    if collapsed.is_empty() {
        return Ok(());
    }
    rotation.told(format!("someone changed {} meanwhile; both values are declared again", probe::places(&collapsed)));
    declare(rotation, both, &[new, old], "rotation.declared").await
}
