//! Trial and Retired: the old value is removed and refused; then it is kept for a while, and destroyed.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::labels::{self, Labels},
    rotation::{Rotation, begin::values, checkpoint, probe, step::declare::declare},
};
use donjon_drivers::{material::Material, store::StoreError};
use donjon_policies::transition::Event;

/// Removes the old value and sees it refused everywhere.
pub async fn remove_old(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    let survey = probe::survey(rotation.subject, &both.administrator.values(), &[&both.new, &both.old]).await?;
    // An account that was added meanwhile with the old value must not keep it, and one that was dropped cannot be told.
    rotation.held.journal.accounts = survey.accounts;
    rotation.held.journal.entries = survey.entries;
    declare(rotation, &both, &[&both.new], "rotation.old-removed").await?;
    alone(rotation, &both.new, &both.old).await?;
    checkpoint::reached("rotation.old-refused");
    Ok(Event::OldRefused)
}

/// One value is accepted everywhere and the other refused everywhere.
pub async fn alone(rotation: &Rotation<'_>, valid: &Material, gone: &Material) -> Result<(), Failure> {
    let (subject, journal) = (rotation.subject, rotation.journal());
    let told = |error| probe::failed(subject, &error);
    let kept = probe::logins(subject, &journal.accounts, &journal.entries, valid).await.map_err(told)?;
    let removed = probe::logins(subject, &journal.accounts, &journal.entries, gone).await.map_err(told)?;
    let failed =
        |cause: String| Err(Failure::new(Exit::Failed, format!("cannot rotate `{}`", subject.secret)).cause(cause));
    match (kept.refused.as_slice(), removed.accepted.as_slice()) {
        ([], []) => Ok(()),
        ([], still) => failed(format!("a removed value is still accepted: {}", probe::places(still))),
        (lost, _) => failed(format!("the value that is to stay is refused: {}", probe::places(lost))),
    }
}

/// Labels the versions, removes what is pending, and lets the secret go.
pub async fn retire(rotation: &Rotation<'_>) -> Result<Event, Failure> {
    let journal = rotation.journal();
    let until = (rotation.clock)() / 1_000_000
        + i64::try_from(rotation.subject.keep_previous.as_secs()).unwrap_or(i64::MAX / 2);
    release(rotation, |labels| Labels {
        current: journal.new,
        previous: Some(journal.old),
        previous_until: Some(until),
        ..labels
    })
    .await?;
    Ok(Event::TrialPassed)
}

/// Lets the secret go for other rotations, and removes what is pending.
pub async fn release(rotation: &Rotation<'_>, change: impl FnOnce(Labels) -> Labels) -> Result<(), Failure> {
    let (secret, journal) = (&rotation.subject.secret, rotation.journal());
    let failed = |error: StoreError| translate::store(format!("cannot end the rotation of `{secret}`"), &error);
    let held = labels::read(rotation.store, rotation.layout, secret).await.map_err(failed)?;
    if held.labels.rotation.as_deref() == Some(journal.id.as_str()) {
        // The pending value goes first: once the secret is free, the next rotation's own may be there.
        rotation.store.remove(&rotation.layout.pending(secret)).await.map_err(failed)?;
        checkpoint::reached("rotation.pending-removed");
        let labels = Labels { rotation: None, ..change(held.labels.clone()) };
        labels::write(rotation.store, rotation.layout, secret, &held, &labels).await.map_err(failed)?;
        checkpoint::reached("rotation.labels-written");
    }
    Ok(())
}
