//! Going back: aborted before a consumer could read anything new, or restored after one failed on it.

use super::{declare::declare, publish, retire, roll};
use crate::{
    daemon::translate,
    failure::Failure,
    records::{epoch, secrets},
    rotation::{Rotation, begin::values},
};
use donjon_drivers::store::{Which, secret::Origin};
use donjon_policies::transition::{Event, State};

/// Takes the new value away again.
pub async fn abort(rotation: &Rotation<'_>) -> Result<Event, Failure> {
    // Before Staged the target knows of nothing; and the pending value is removed only once the target has forgotten it.
    let staged = rotation.journal().history.iter().any(|(state, _)| *state == State::Staged);
    let pending = rotation.layout.pending(&rotation.subject.secret);
    let failed = |error| translate::store("cannot read the pending value", &error);
    if staged && rotation.store.read(&pending, Which::Latest).await.map_err(failed)?.is_some() {
        let both = values(rotation).await?;
        declare(rotation, &both, &[&both.old], "rotation.declared").await?;
        retire::alone(rotation, &both.old, &both.new).await?;
    }
    retire::release(rotation, |labels| labels).await?;
    Ok(Event::OldAlone)
}

/// Publishes the old value again, returns every touched consumer to it, and removes the new one.
pub async fn restore(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    let failed = |error| translate::store("cannot publish the old value again", &error);
    let newest = secrets::read(rotation.store, rotation.layout, &rotation.subject.secret, Which::Latest)
        .await
        .map_err(failed)?;
    let back = !newest.as_ref().is_some_and(|held| held.record.value.material().matches(&both.old));
    publish::record(rotation, &both.old, Origin::Restored, newest.map_or(rotation.journal().old, |held| held.version))
        .await?;
    if back {
        epoch::bump(rotation.store, rotation.layout).await.map_err(failed)?;
    }
    // The one that failed was restarted too, though it was not proven.
    let proven = rotation.journal().restarted.len();
    for instance in rotation.subject.instances.iter().take(proven + 1) {
        roll::restart(rotation, &both, instance).await?;
        rotation.told(format!("{} on {}: back on the old value", instance.service, instance.host));
    }
    declare(rotation, &both, &[&both.old], "rotation.declared").await?;
    retire::alone(rotation, &both.old, &both.new).await?;
    retire::release(rotation, |labels| labels).await?;
    Ok(Event::OldAlone)
}
