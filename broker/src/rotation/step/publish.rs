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
    views::{self, RefreshError, Refreshed, View},
};
use donjon_drivers::store::{
    Expected, StoreError, Version, Which,
    secret::{Origin, SecretRecord},
};
use donjon_policies::{
    name::SecretName,
    transition::{Event, Path},
};
use futures_util::future::{join, join_all, try_join_all, try_join3};
use std::collections::BTreeSet;

/// Publishes the new values.
pub async fn publish(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    let before = if rotation.journal().path == Path::Overlap {
        // Publishing a value that the target does not accept is the fault this project is for.
        let (before, refused) = join(look(rotation), accept::refused(rotation, &values)).await;
        accept::both_again(rotation, &values, refused?).await?;
        before?
    } else {
        look(rotation).await?
    };
    records_over(rotation, &values, before).await?;
    Ok(Event::RecordsWritten)
}

/// What is published before something else is.
struct Before {
    standing: Vec<Option<secrets::Held>>,
    views: Vec<views::Before>,
    epoch: epoch::Seen,
}

async fn look(rotation: &Rotation<'_>) -> Result<Before, Failure> {
    let (store, layout) = (rotation.store, rotation.layout);
    let items = rotation.items();
    let standing = try_join_all(items.iter().map(|item| newest(rotation, &item.secret)));
    let views = try_join_all(
        described(rotation)
            .map(async |view| view.look().await.map_err(|error| unassembled(view.name, &RefreshError::Store(error)))),
    );
    let epoch = async { epoch::look(store, layout).await.map_err(|error| unbumped(&error)) };
    let (standing, views, epoch) = try_join3(standing, views, epoch).await?;
    Ok(Before { standing, views, epoch })
}

/// Makes the new values what consumers read.
pub async fn records(rotation: &mut Rotation<'_>, values: &Values) -> Result<(), Failure> {
    let before = look(rotation).await?;
    records_over(rotation, values, before).await
}

async fn records_over(rotation: &mut Rotation<'_>, values: &Values, before: Before) -> Result<(), Failure> {
    // All are looked at before any is written: one that was changed meanwhile must not leave others published.
    let items = rotation.items();
    for (item, held) in items.iter().zip(&before.standing) {
        let new = &values.of(&item.secret).new;
        let known =
            |held: &secrets::Held| held.version == item.old || same(&held.record, &new.value, new.user.as_deref());
        if !held.as_ref().is_some_and(known) {
            return Err(changed(&item.secret));
        }
    }
    let (mut published, mut written) = (Vec::new(), BTreeSet::new());
    for (item, standing) in items.iter().zip(before.standing) {
        let (version, by) = over(rotation, values, item, Side::New, Origin::Rotated, (item.old, standing)).await?;
        published.push((item.secret.clone(), version));
        written.extend((by == By::This).then_some(&item.secret));
    }
    // What this one has just written is the newest. What it found may have been overtaken since the views were looked at.
    let at_hand = |name: &SecretName| written.contains(name).then(|| &values.of(name).new);
    // Read back while the views are written: readers are told of neither before both are well.
    let seen = published.iter().map(async |(secret, version)| see(rotation, &values.of(secret).new, *version).await);
    let (seen, views) = join(join_all(seen), assemble_over(rotation, before.views, at_hand)).await;
    seen.into_iter().collect::<Result<(), Failure>>()?;
    views?;
    for item in rotation.items_mut() {
        item.new = published.iter().find(|(secret, _)| *secret == item.secret).map(|(_, version)| *version);
    }
    let bumped = epoch::bump_from(rotation.store, rotation.layout, before.epoch).await;
    let epoch = bumped.map_err(|error| unbumped(&error))?;
    checkpoint::reached("rotation.epoch-bumped");
    rotation.held.journal.epoch = Some(epoch);
    Ok(())
}

/// Brings every view up to date that was looked at before, several at once, with the values that are at hand.
async fn assemble_over<'a>(
    rotation: &Rotation<'_>,
    before: Vec<views::Before>,
    at_hand: impl Fn(&SecretName) -> Option<&'a SecretRecord> + Copy,
) -> Result<(), Failure> {
    let mut views = described(rotation).zip(before);
    while views.len() > 0 {
        let some = views
            .by_ref()
            .take(AT_ONCE)
            .map(async |(view, before)| told(view.name, view.refresh_from(before, at_hand, now(rotation)).await));
        join_all(some).await.into_iter().collect::<Result<(), Failure>>()?;
    }
    Ok(())
}

/// Bumps the epoch.
pub async fn tell_readers(rotation: &Rotation<'_>) -> Result<(), Failure> {
    epoch::bump(rotation.store, rotation.layout).await.map_err(|error| unbumped(&error))?;
    checkpoint::reached("rotation.epoch-bumped");
    Ok(())
}

fn unbumped(error: &StoreError) -> Failure {
    translate::store("cannot bump the epoch", error)
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
    let (version, _) = over(rotation, values, item, side, origin, (expected, standing)).await?;
    see(rotation, values.of(&item.secret).record(side), version).await?;
    Ok(version)
}

/// As [`record`], over the newest version as it was just read.
async fn over(
    rotation: &Rotation<'_>,
    values: &Values,
    item: &Item,
    side: Side,
    origin: Origin,
    (expected, standing): (Version, Option<secrets::Held>),
) -> Result<(Version, By), Failure> {
    let secret = &item.secret;
    let wanted = values.of(secret).record(side);
    let published = match standing {
        Some(held) if same(&held.record, &wanted.value, wanted.user.as_deref()) => (held.version, By::Earlier),
        Some(held) if held.version == expected => (write_unseen(rotation, wanted, origin, expected).await?, By::This),
        Some(_) | None => {
            return Err(changed(secret));
        }
    };
    checkpoint::reached("rotation.record-written");
    Ok(published)
}

/// Who has written a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// This call, a moment ago.
    This,
    /// An earlier run of the rotation.
    Earlier,
}

/// Brings every view up to date, several at once: none depends on another.
pub async fn assemble(rotation: &Rotation<'_>) -> Result<(), Failure> {
    let mut views = described(rotation);
    while views.len() > 0 {
        let some = views.by_ref().take(AT_ONCE);
        // All of them come to an end, also where one does not work.
        let done = join_all(some.map(async |view| told(view.name, view.refresh(now(rotation)).await))).await;
        done.into_iter().collect::<Result<(), Failure>>()?;
    }
    Ok(())
}

fn described<'a>(rotation: &'a Rotation<'_>) -> impl ExactSizeIterator<Item = View<'a>> {
    let (store, layout) = (rotation.store, rotation.layout);
    rotation.subject.views.iter().map(move |(name, template)| View { store, layout, name, template })
}

/// In seconds since 1970.
fn now(rotation: &Rotation<'_>) -> i64 {
    (rotation.clock)() / 1_000_000
}

fn told(view: &SecretName, refreshed: Result<Refreshed, RefreshError>) -> Result<(), Failure> {
    refreshed.map_err(|error| unassembled(view, &error))?;
    checkpoint::reached("rotation.view-written");
    Ok(())
}

/// How many records that do not depend on each other are written at once.
pub(super) const AT_ONCE: usize = 8;

/// Publishes a record over a version, and reads it back.
pub async fn write(
    rotation: &Rotation<'_>,
    wanted: &SecretRecord,
    origin: Origin,
    expected: Version,
) -> Result<(), Failure> {
    let version = write_unseen(rotation, wanted, origin, expected).await?;
    see(rotation, wanted, version).await
}

async fn write_unseen(
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
    let path = rotation.layout.secret(secret);
    let written = secrets::write_unseen(rotation.store, &path, &record, Expected::Newest(expected)).await;
    written.map_err(|error| unpublished(secret, &error))
}

/// Reads back what was published.
async fn see(rotation: &Rotation<'_>, wanted: &SecretRecord, version: Version) -> Result<(), Failure> {
    let path = rotation.layout.secret(&wanted.name);
    let seen = secrets::see(rotation.store, &path, wanted, version).await;
    seen.map_err(|error| unpublished(&wanted.name, &error))
}

fn unpublished(secret: &SecretName, error: &StoreError) -> Failure {
    translate::store(format!("cannot publish `{secret}`"), error)
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
