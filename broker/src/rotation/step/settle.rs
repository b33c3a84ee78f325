//! Settled: consumers restart and are proven, and what the targets still accept of the old values goes.

use super::{retire, roll};
use crate::{
    failure::Failure,
    records::labels::Labels,
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
    accept::only(rotation, &values, Side::New, "rotation.old-removed").await?;
    accept::alone(rotation, &values, Side::New).await?;
    checkpoint::reached("rotation.old-refused");
    let now = (rotation.clock)() / 1_000_000;
    let until = match rotation.journal().path {
        // What others know is not kept.
        Path::Compromised => now,
        Path::Overlap | Path::Keyring | Path::Cutover | Path::Together => retire::kept_until(rotation),
    };
    retire::release(rotation, |item, labels| Labels { current: item.new, ..labels.keep(item.old, until) }).await?;
    Ok(Event::ConsumersProven)
}
