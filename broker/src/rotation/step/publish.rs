//! Published: the records that consumers read hold the new value, the views are assembled from it, and the epoch says so.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{epoch, secrets},
    rotation::{Rotation, begin::values, checkpoint, step::declare},
    views::{self, RefreshError},
};
use donjon_drivers::{
    material::Material,
    store::{
        Expected, StoreError, Version, Which,
        secret::{Origin, SecretRecord, SecretValue},
    },
};
use donjon_policies::{name::SecretName, transition::Event};

/// Publishes the new value.
pub async fn publish(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    // Publishing a value that the target does not accept is the fault this project is for.
    declare::still_both(rotation, &both).await?;
    let version = record(rotation, &both.new, Origin::Rotated, rotation.journal().old).await?;
    rotation.held.journal.new = Some(version);
    rotation.held.journal.epoch = Some(
        epoch::bump(rotation.store, rotation.layout)
            .await
            .map_err(|error| translate::store("cannot bump the epoch", &error))?,
    );
    checkpoint::reached("rotation.epoch-bumped");
    Ok(Event::RecordsWritten)
}

/// Whether the new value is what consumers read, though the journal does not say so yet.
pub async fn begun(rotation: &Rotation<'_>) -> Result<bool, Failure> {
    let secret = &rotation.subject.secret;
    let both = values(rotation).await?;
    let newest = secrets::read(rotation.store, rotation.layout, secret, Which::Latest).await;
    let newest = newest.map_err(|error| translate::store(format!("cannot read `{secret}`"), &error))?;
    Ok(newest.is_some_and(|held| held.record.value.material().matches(&both.new)))
}

/// Makes a value the newest version of the secret and of its views, and says which version of the secret that is.
/// `expected` is the version it replaces; where the value is the newest already, nothing is written.
pub async fn record(
    rotation: &Rotation<'_>,
    value: &Material,
    origin: Origin,
    expected: Version,
) -> Result<Version, Failure> {
    let secret = &rotation.subject.secret;
    let failed = |error: StoreError| translate::store(format!("cannot publish `{secret}`"), &error);
    let newest = secrets::read(rotation.store, rotation.layout, secret, Which::Latest).await.map_err(failed)?;
    let version = match newest {
        Some(held) if held.record.value.material().matches(value) => held.version,
        Some(held) if held.version == expected => write(rotation, value, origin, expected).await?,
        Some(_) | None => {
            return Err(Failure::new(
                Exit::Conflict,
                format!("`{secret}` was changed in the store while it was being rotated"),
            )
            .cause("its newest version is neither the old nor the new value")
            .hint(
                "`donjon history` shows the versions; `donjon rotate abort` goes back where that is still possible",
            ));
        }
    };
    checkpoint::reached("rotation.record-written");
    for (view, template) in &rotation.subject.views {
        let refreshed =
            views::refresh(rotation.store, rotation.layout, view, template, (rotation.clock)() / 1_000_000).await;
        refreshed.map_err(|error| unassembled(view, &error))?;
        checkpoint::reached("rotation.view-written");
    }
    Ok(version)
}

/// Writes a value as the version after `expected`.
pub async fn write(
    rotation: &Rotation<'_>,
    value: &Material,
    origin: Origin,
    expected: Version,
) -> Result<Version, Failure> {
    let secret = &rotation.subject.secret;
    let record = SecretRecord {
        name: secret.clone(),
        value: SecretValue::Whole(value.duplicate()),
        created: (rotation.clock)() / 1_000_000,
        origin,
    };
    secrets::write_at(rotation.store, &rotation.layout.secret(secret), &record, Expected::Newest(expected))
        .await
        .map_err(|error| translate::store(format!("cannot publish `{secret}`"), &error))
}

fn unassembled(view: &SecretName, error: &RefreshError) -> Failure {
    match error {
        RefreshError::Store(error) => translate::store(format!("cannot publish the view `{view}`"), error),
        RefreshError::View(_) => Failure::new(Exit::Usage, format!("cannot publish the view `{view}`")).because(error),
    }
}
