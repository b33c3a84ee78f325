//! Published: the records that consumers read hold the new value, the views are assembled from it, and the epoch says so.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{epoch, secrets},
    rotation::{Rotation, begin::values, checkpoint, step::declare, views},
};
use donjon_drivers::{
    material::Material,
    store::{
        Expected, StoreError, Version, Which,
        secret::{Origin, SecretRecord, SecretValue},
    },
};
use donjon_policies::{deployment::placeholders, name::SecretName, transition::Event};
use std::collections::BTreeMap;

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
        Some(held) if held.version == expected => {
            let record = SecretRecord {
                name: secret.clone(),
                value: SecretValue::Whole(value.duplicate()),
                created: (rotation.clock)() / 1_000_000,
                origin,
            };
            secrets::write_at(rotation.store, &rotation.layout.secret(secret), &record, Expected::Newest(expected))
                .await
                .map_err(failed)?
        }
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
        assemble(rotation, view, template, value).await?;
        checkpoint::reached("rotation.view-written");
    }
    Ok(version)
}

async fn assemble(rotation: &Rotation<'_>, view: &SecretName, template: &str, value: &Material) -> Result<(), Failure> {
    let failed = |error: StoreError| translate::store(format!("cannot publish the view `{view}`"), &error);
    let mut others = BTreeMap::new();
    for placeholder in placeholders(template).filter_map(Result::ok).filter(|p| p.secret != rotation.subject.secret) {
        if let Some(held) =
            secrets::read(rotation.store, rotation.layout, &placeholder.secret, Which::Latest).await.map_err(failed)?
        {
            others.insert(placeholder.secret, held.record.value);
        }
    }
    let mut parts: BTreeMap<SecretName, &Material> =
        others.iter().map(|(name, value)| (name.clone(), value.material())).collect();
    parts.insert(rotation.subject.secret.clone(), value);
    let assembled = views::assemble(template, &parts)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot assemble the view `{view}`")).because(&error))?;
    let newest = secrets::read(rotation.store, rotation.layout, view, Which::Latest).await.map_err(failed)?;
    if newest.is_some_and(|held| held.record.value.material().matches(&assembled)) {
        return Ok(());
    }
    let record = SecretRecord {
        name: view.clone(),
        value: SecretValue::Whole(assembled),
        created: (rotation.clock)() / 1_000_000,
        origin: Origin::Assembled,
    };
    secrets::write(rotation.store, rotation.layout, &record).await.map(|_| ()).map_err(failed)
}
