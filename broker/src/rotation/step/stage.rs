//! Staged: the new values are stored where no consumer can read them, and read back, before anything outside is told of them.

use super::{keys, publish};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::secrets,
    rotation::{
        Rotation, checkpoint,
        journal::Item,
        values::{Both, Side, values},
    },
};
use donjon_drivers::store::{
    Expected, StoreError, Which,
    secret::{Origin, SecretRecord},
};
use donjon_policies::transition::Event;
use futures_util::future::{join_all, try_join};

/// Stores the new values, or finds those that an interrupted run of this rotation has stored.
pub async fn stage(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let items = rotation.items();
    for some in items.chunks(publish::AT_ONCE) {
        // All of them come to an end, also where one does not work.
        let stored = join_all(some.iter().map(|item| store(rotation, item))).await;
        let stored = stored.into_iter().collect::<Result<Vec<_>, Failure>>()?;
        if let Some(why) = stored.into_iter().flatten().next() {
            rotation.held.journal.undone = Some(why);
            return Ok(Event::AbortAsked);
        }
    }
    let values = values(rotation).await?;
    for item in rotation.items() {
        let pair = values.of(&item.secret);
        if pair.side(Side::Old).matches(pair.side(Side::New)) {
            return Err(Failure::new(Exit::Bug, format!("the new value of `{}` is the old one", item.secret)));
        }
    }
    Ok(Event::Stored)
}

/// Stores one; says why there is no point in it, where there is none.
async fn store(rotation: &Rotation<'_>, item: &Item) -> Result<Option<String>, Failure> {
    let secret = &item.secret;
    let path = rotation.layout.pending(&rotation.journal().id, secret);
    let failed = |error: StoreError| translate::store(format!("cannot store the new value of `{secret}`"), &error);
    // Between the first look and the claim, another rotation or a person may have given it another value.
    let newest = secrets::read(rotation.store, rotation.layout, secret, Which::Latest);
    let pending = secrets::read_at(rotation.store, &path, secret, Which::Latest);
    let (newest, pending) = try_join(newest, pending).await.map_err(failed)?;
    let Some(held) = newest.filter(|held| held.version == item.old) else {
        return Ok(Some(format!("`{secret}` was changed in the store before it was rotated")));
    };
    let new = if let Some(pending) = pending {
        pending.record
    } else {
        let fresh = (rotation.make)(secret)?;
        let value = match rotation.subject.keyrings.get(secret) {
            None => fresh,
            Some(keyring) => keys::next(&**keyring, secret, held.record.value.material(), fresh.material())?,
        };
        let record = SecretRecord {
            name: secret.clone(),
            value,
            created: (rotation.clock)() / 1_000_000,
            origin: Origin::Rotated,
            user: item.credentials.iter().find_map(|credential| credential.twin.clone()),
        };
        secrets::write_at(rotation.store, &path, &record, Expected::Absent).await.map_err(failed)?;
        checkpoint::reached("rotation.pending-written");
        record
    };
    rotation.seen.keep(secret, Both { old: held.record, new });
    Ok(None)
}
