//! Trial and Retired: the old values are removed and refused; then they are kept for a while, and destroyed.

use super::declare::{Strangers, look_again};
use crate::{
    failure::Failure,
    records::labels::Labels,
    rotation::{
        Rotation, accept, checkpoint, claim,
        journal::Item,
        values::{Side, values},
    },
};
use donjon_policies::transition::Event;

/// Removes the old values and sees them refused everywhere.
pub async fn remove_old(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    // An account that was added meanwhile with the old value must not keep it, and one that was dropped cannot be told.
    look_again(rotation, &values, Strangers::Taken).await?;
    accept::only(rotation, &values, Side::New, "rotation.old-removed").await?;
    accept::alone(rotation, &values, Side::New).await?;
    checkpoint::reached("rotation.old-refused");
    Ok(Event::OldRefused)
}

/// Labels the versions, removes what is pending, and lets the secrets go.
pub async fn retire(rotation: &Rotation<'_>) -> Result<Event, Failure> {
    let until = kept_until(rotation);
    release(rotation, |item, labels| Labels { current: item.new, ..labels.keep(item.old, until) }).await?;
    Ok(Event::TrialPassed)
}

/// Until when the previous value is kept, in seconds since 1970.
pub fn kept_until(rotation: &Rotation<'_>) -> i64 {
    let kept = i64::try_from(rotation.subject.keep_previous.as_secs()).unwrap_or(i64::MAX / 2);
    (rotation.clock)() / 1_000_000 + kept
}

/// Lets the secrets go for other rotations, and removes what is pending.
pub async fn release(rotation: &Rotation<'_>, change: impl Fn(&Item, Labels) -> Labels) -> Result<(), Failure> {
    for item in rotation.items() {
        let change = |labels| change(item, labels);
        claim::release(rotation.store, rotation.layout, rotation.journal(), &item.secret, change).await?;
    }
    Ok(())
}
