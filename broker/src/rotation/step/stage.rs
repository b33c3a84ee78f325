//! Staged: the new value is stored where no consumer can read it, and read back, before anything outside is told of it.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::secrets,
    rotation::{Rotation, checkpoint},
};
use donjon_drivers::store::{
    Expected, StoreError, Which,
    secret::{Origin, SecretRecord},
};
use donjon_policies::transition::Event;

/// Stores the new value, or finds the one that an interrupted run of this rotation has stored.
pub async fn stage(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let secret = rotation.subject.secret.clone();
    let secret = &secret;
    let path = rotation.layout.pending(secret);
    let failed = |error: StoreError| translate::store(format!("cannot store the new value of `{secret}`"), &error);
    // Between the first look and the claim, another rotation or a person may have given it another value.
    let newest = secrets::read(rotation.store, rotation.layout, secret, Which::Latest).await.map_err(failed)?;
    if newest.is_none_or(|held| held.version != rotation.journal().old) {
        rotation.held.journal.undone = Some(format!("`{secret}` was changed in the store before it was rotated"));
        return Ok(Event::AbortAsked);
    }
    let there = secrets::read_at(rotation.store, &path, secret, Which::Latest).await.map_err(failed)?;
    if there.is_none() {
        let record = SecretRecord {
            name: secret.clone(),
            value: (rotation.make)()?,
            created: (rotation.clock)() / 1_000_000,
            origin: Origin::Rotated,
        };
        secrets::write_at(rotation.store, &path, &record, Expected::Absent).await.map_err(failed)?;
        checkpoint::reached("rotation.pending-written");
    }
    let values = crate::rotation::begin::values(rotation).await?;
    if values.old.matches(&values.new) {
        return Err(Failure::new(Exit::Bug, format!("the new value of `{secret}` is the old one")));
    }
    Ok(Event::Stored)
}
