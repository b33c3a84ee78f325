//! Published: the records that consumers read hold the new values, the views are assembled from them, and the epoch says so.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{epoch, secrets},
    rotation::{
        Rotation, accept, checkpoint,
        journal::Item,
        values::{Side, Values, same, values},
    },
    views::{self, RefreshError},
};
use donjon_drivers::store::{
    Expected, StoreError, Version, Which,
    secret::{Origin, SecretRecord},
};
use donjon_policies::{
    name::SecretName,
    transition::{Event, Path},
};
use futures_util::future::{join_all, try_join_all};

/// Publishes the new values.
pub async fn publish(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    if rotation.journal().path == Path::Overlap {
        // Publishing a value that the target does not accept is the fault this project is for.
        accept::still_both(rotation, &values).await?;
    }
    records(rotation, &values).await?;
    Ok(Event::RecordsWritten)
}

/// Makes the new values what consumers read.
pub async fn records(rotation: &mut Rotation<'_>, values: &Values) -> Result<(), Failure> {
    // All are looked at before any is written: one that was changed meanwhile must not leave others published.
    let items = rotation.items();
    let standing = try_join_all(items.iter().map(|item| newest(rotation, &item.secret))).await?;
    for (item, held) in items.iter().zip(&standing) {
        let new = &values.of(&item.secret).new;
        let known =
            |held: &secrets::Held| held.version == item.old || same(&held.record, &new.value, new.user.as_deref());
        if !held.as_ref().is_some_and(known) {
            return Err(changed(&item.secret));
        }
    }
    let mut published = Vec::new();
    for (item, standing) in items.iter().zip(standing) {
        let version = over(rotation, values, item, Side::New, Origin::Rotated, (item.old, standing)).await?;
        published.push((item.secret.clone(), version));
    }
    assemble(rotation).await?;
    for item in rotation.items_mut() {
        item.new = published.iter().find(|(secret, _)| *secret == item.secret).map(|(_, version)| *version);
    }
    rotation.held.journal.epoch = Some(tell_readers(rotation).await?);
    Ok(())
}

/// Bumps the epoch.
pub async fn tell_readers(rotation: &Rotation<'_>) -> Result<u64, Failure> {
    let epoch = epoch::bump(rotation.store, rotation.layout)
        .await
        .map_err(|error| translate::store("cannot bump the epoch", &error))?;
    checkpoint::reached("rotation.epoch-bumped");
    Ok(epoch)
}

/// Whether any new value is what consumers read, though the journal does not say so yet.
pub async fn begun(rotation: &Rotation<'_>) -> Result<bool, Failure> {
    let values = values(rotation).await?;
    for item in rotation.items() {
        let new = &values.of(&item.secret).new;
        if newest(rotation, &item.secret).await?.is_some_and(|held| same(&held.record, &new.value, new.user.as_deref()))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The newest version of a secret.
pub async fn newest(rotation: &Rotation<'_>, secret: &SecretName) -> Result<Option<secrets::Held>, Failure> {
    let newest = secrets::read(rotation.store, rotation.layout, secret, Which::Latest).await;
    newest.map_err(|error| translate::store(format!("cannot read `{secret}`"), &error))
}

/// Makes a value the newest version of its secret, and says which version that is. `expected` is the version it replaces;
/// where the value is the newest already, nothing is written.
pub async fn record(
    rotation: &Rotation<'_>,
    values: &Values,
    item: &Item,
    side: Side,
    origin: Origin,
    expected: Version,
) -> Result<Version, Failure> {
    let standing = newest(rotation, &item.secret).await?;
    over(rotation, values, item, side, origin, (expected, standing)).await
}

/// As [`record`], over the newest version as it was just read.
async fn over(
    rotation: &Rotation<'_>,
    values: &Values,
    item: &Item,
    side: Side,
    origin: Origin,
    (expected, standing): (Version, Option<secrets::Held>),
) -> Result<Version, Failure> {
    let (secret, pair) = (&item.secret, values.of(&item.secret));
    let wanted = if side == Side::New { &pair.new } else { &pair.old };
    let version = match standing {
        Some(held) if same(&held.record, &wanted.value, wanted.user.as_deref()) => held.version,
        Some(held) if held.version == expected => write(rotation, wanted, origin, expected).await?,
        Some(_) | None => {
            return Err(changed(secret));
        }
    };
    checkpoint::reached("rotation.record-written");
    Ok(version)
}

/// Brings every view up to date, several at once: none depends on another.
pub async fn assemble(rotation: &Rotation<'_>) -> Result<(), Failure> {
    for some in rotation.subject.views.chunks(AT_ONCE) {
        // All of them come to an end, also where one does not work.
        for done in join_all(some.iter().map(|(view, template)| one(rotation, view, template))).await {
            done?;
        }
    }
    Ok(())
}

async fn one(rotation: &Rotation<'_>, view: &SecretName, template: &str) -> Result<(), Failure> {
    let now = (rotation.clock)() / 1_000_000;
    let refreshed = views::refresh(rotation.store, rotation.layout, view, template, now).await;
    refreshed.map_err(|error| unassembled(view, &error))?;
    checkpoint::reached("rotation.view-written");
    Ok(())
}

/// How many records that do not depend on each other are written at once.
pub(super) const AT_ONCE: usize = 8;

/// Writes a value once more, as the version after `expected`.
pub async fn write(
    rotation: &Rotation<'_>,
    wanted: &SecretRecord,
    origin: Origin,
    expected: Version,
) -> Result<Version, Failure> {
    let secret = &wanted.name;
    let record = SecretRecord {
        name: secret.clone(),
        value: wanted.value.duplicate(),
        created: (rotation.clock)() / 1_000_000,
        origin,
        user: wanted.user.clone(),
    };
    secrets::write_at(rotation.store, &rotation.layout.secret(secret), &record, Expected::Newest(expected))
        .await
        .map_err(|error: StoreError| translate::store(format!("cannot publish `{secret}`"), &error))
}

fn changed(secret: &SecretName) -> Failure {
    Failure::new(Exit::Conflict, format!("`{secret}` was changed in the store while it was being rotated"))
        .cause("its newest version is neither the old nor the new value")
        .hint("`donjon history` shows the versions; `donjon rotate abort` goes back where that is still possible")
}

fn unassembled(view: &SecretName, error: &RefreshError) -> Failure {
    match error {
        RefreshError::Store(error) => translate::store(format!("cannot publish the view `{view}`"), error),
        RefreshError::View(_) => Failure::new(Exit::Usage, format!("cannot publish the view `{view}`")).because(error),
    }
}
