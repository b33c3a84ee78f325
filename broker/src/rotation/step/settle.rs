//! Settled: consumers restart and are proven, and what the targets still accept of the old values goes.

use super::{
    declare::{Strangers, look_again},
    retire, roll, sites, switch,
};
use crate::{
    daemon::translate,
    failure::Failure,
    records::expire,
    rotation::{
        Rotation, accept, checkpoint,
        values::{Side, values},
    },
};
use donjon_policies::transition::{Event, Path};

/// Restarts and proves every consumer, then removes what is left of the old values and lets the secrets go.
pub async fn settle(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let rolled = roll::roll(rotation).await?;
    if rolled != Event::ConsumersProven {
        return Ok(rolled);
    }
    let values = values(rotation).await?;
    look_again(rotation, &values, Strangers::Taken).await?;
    sites::answered(rotation).await?;
    let compromised = rotation.journal().compromised;
    if rotation.journal().path == Path::Compromised {
        switch::still_removed(rotation, &values, |_| true).await?;
    } else {
        accept::make_alone(rotation, &values, Side::New, "rotation.old-removed").await?;
    }
    checkpoint::reached("rotation.old-refused");
    let now = (rotation.clock)() / 1_000_000;
    // What others know is not kept.
    let until = if compromised { now } else { retire::kept_until(rotation) };
    retire::keep_old(rotation, until).await?;
    if compromised {
        let destroyed = expire::expire(rotation.store, rotation.layout, now).await;
        destroyed.map_err(|error| translate::store("cannot destroy the old value", &error))?;
    }
    Ok(Event::ConsumersProven)
}
