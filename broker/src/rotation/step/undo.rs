//! Going back: aborted before a consumer could read anything new, or restored after one failed on it.

use super::{
    declare::declare,
    publish, retire,
    roll::{self, Proven},
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{epoch, labels::Labels, secrets},
    rotation::{
        Rotation,
        begin::{Values, values},
        checkpoint,
    },
};
use donjon_drivers::store::{StoreError, Version, Which, secret::Origin};
use donjon_policies::transition::{Event, State};

/// Takes the new value away again.
pub async fn abort(rotation: &Rotation<'_>) -> Result<Event, Failure> {
    // Before Staged the target knows of nothing; and the pending value is removed only once the target has forgotten it.
    let was = |wanted: State| rotation.journal().history.iter().any(|(state, _)| *state == wanted);
    let pending = rotation.layout.pending(&rotation.subject.secret);
    let failed = |error| translate::store("cannot read the pending value", &error);
    if was(State::Staged) && rotation.store.read(&pending, Which::Latest).await.map_err(failed)?.is_some() {
        let both = values(rotation).await?;
        if was(State::Verified) {
            fence(rotation, &both).await?;
        }
        declare(rotation, &both, &[&both.old], "rotation.declared").await?;
        retire::alone(rotation, &both.old, &both.new).await?;
        checkpoint::reached("rotation.old-alone");
    }
    let current = newest(rotation).await?.filter(|version| *version != rotation.journal().old);
    retire::release(rotation, |labels| Labels { current: current.or(labels.current), ..labels }).await?;
    Ok(Event::OldAlone)
}

/// A broker that stalled just before it published would publish what is about to be removed. It writes only over the
/// version that was current when the rotation began, so a new version of the old value stops it.
async fn fence(rotation: &Rotation<'_>, both: &Values) -> Result<(), Failure> {
    let (secret, old) = (&rotation.subject.secret, rotation.journal().old);
    let failed = |error: StoreError| translate::store(format!("cannot read `{secret}`"), &error);
    let newest = secrets::read(rotation.store, rotation.layout, secret, Which::Latest).await.map_err(failed)?;
    match newest {
        Some(held) if held.version == old => {
            publish::write(rotation, &both.old, Origin::Restored, old).await?;
        }
        // It was faster.
        Some(held) if held.record.value.material().matches(&both.new) => {
            publish::record(rotation, &both.old, Origin::Restored, held.version).await?;
            epoch::bump(rotation.store, rotation.layout)
                .await
                .map_err(|error| translate::store("cannot bump the epoch", &error))?;
        }
        // Stopped already, or changed by someone else.
        Some(_) | None => {}
    }
    checkpoint::reached("rotation.fenced");
    Ok(())
}

/// Publishes the old value again, returns every touched consumer to it, and removes the new one.
pub async fn restore(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    let old = rotation.journal().old;
    let expected = newest(rotation).await?.unwrap_or(old);
    let current = publish::record(rotation, &both.old, Origin::Restored, expected).await?;
    // Always: killed between the two, the first run of this has told nobody.
    epoch::bump(rotation.store, rotation.layout)
        .await
        .map_err(|error| translate::store("cannot publish the old value again", &error))?;
    checkpoint::reached("rotation.epoch-bumped");
    for touched in rotation.journal().restarted.clone() {
        let (service, host) = (&touched.service, &touched.host);
        let described = rotation.subject.instances.iter().find(|i| i.service == *service && i.host == *host);
        let Some(instance) = described else {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{service}` on {host} has the new value, but is no longer in the deployment file"),
            )
            .hint("put it back into donjon.yaml until `donjon rotate resume` has returned it to the old value"));
        };
        match roll::restart(rotation, &both, instance).await? {
            Proven::Yes => rotation.told(format!("{service} on {host}: back on the old value")),
            Proven::No(failure) => return Err(failure),
        }
    }
    declare(rotation, &both, &[&both.old], "rotation.declared").await?;
    retire::alone(rotation, &both.old, &both.new).await?;
    checkpoint::reached("rotation.old-alone");
    retire::release(rotation, |labels| Labels { current: Some(current), ..labels }).await?;
    Ok(Event::OldAlone)
}

async fn newest(rotation: &Rotation<'_>) -> Result<Option<Version>, Failure> {
    let secret = &rotation.subject.secret;
    let versions = rotation.store.versions(&rotation.layout.secret(secret)).await;
    let versions = versions.map_err(|error| translate::store(format!("cannot look at `{secret}`"), &error))?;
    Ok(secrets::newest(&versions))
}
