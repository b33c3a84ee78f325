//! Clients are led away from a consumer before it restarts, and back once it is proven, or where it is left by name.

use super::{Proven, known, remember};
use crate::{
    failure::{self, Exit, Failure},
    rotation::{Instance, Rotation, checkpoint, journal::Restarted},
};
use donjon_drivers::drain::{DrainError, Left, Standing};

/// How clients are led to a consumer now, or were before a former run of this step led them away.
pub async fn standing(instance: &Instance, known: Option<&Restarted>) -> Result<Option<Standing>, Failure> {
    if let Some(standing) = known.and_then(|known| known.standing.clone()) {
        return Ok(Some(standing));
    }
    match &instance.drain {
        None => Ok(None),
        Some(drain) => drain.standing().await.map(Some).map_err(|error| failed(instance, &error)),
    }
}

/// Leads clients away, where something does.
pub(super) async fn lead(
    rotation: &Rotation<'_>,
    instance: &Instance,
    standing: Option<&Standing>,
) -> Result<(), Failure> {
    let (Some(drain), Some(_)) = (&instance.drain, standing) else { return Ok(()) };
    let Left(left) = drain.drain().await.map_err(|error| failed(instance, &error))?;
    checkpoint::reached("rotation.led-away");
    if left > 0 {
        rotation.told(format!(
            "{} on {}: restarts under {left} clients that did not leave",
            instance.service, instance.host
        ));
    }
    Ok(())
}

/// Leads clients back: to one that is proven once its proxies see it well, to one that is not as its proxies see fit. So it
/// is where nobody can tell, too: another broker may have ended the rotation meanwhile, and then nobody else would do it.
pub(super) async fn back(
    rotation: &Rotation<'_>,
    instance: &Instance,
    standing: Option<&Standing>,
    proven: Result<Proven, Failure>,
) -> Result<Proven, Failure> {
    let (Some(drain), Some(standing)) = (&instance.drain, standing) else { return proven };
    match proven {
        Err(failure) => {
            if let Err(error) = drain.restore(standing).await {
                rotation.told(stay_away(instance, &error));
            }
            Err(failure)
        }
        Ok(Proven::No(failure)) => {
            drain.restore(standing).await.map_err(|error| failed(instance, &error))?;
            Ok(Proven::No(failure))
        }
        Ok(Proven::Yes) => match drain.release(standing).await {
            Ok(()) => Ok(Proven::Yes),
            // Its own check passed, and yet no client would reach it.
            Err(error @ DrainError::NotWell { .. }) => Ok(Proven::No(failed(instance, &error))),
            Err(error) => Err(failed(instance, &error)),
        },
    }
}

/// Clients of one that the operator goes on without are led to it as before a former run led them away: its proxies then
/// decide. Where one cannot be told so, that is said.
pub async fn forgo(rotation: &mut Rotation<'_>, instance: &Instance) -> Result<(), Failure> {
    let Some(known) = known(rotation, instance).cloned() else { return Ok(()) };
    let (Some(drain), Some(standing)) = (&instance.drain, &known.standing) else { return Ok(()) };
    match drain.restore(standing).await {
        Ok(()) => {
            rotation.told(format!("{}: clients are led to it as they were before", instance.place()));
            remember(rotation, Restarted { standing: None, ..known });
            rotation.save().await
        }
        Err(error) => {
            rotation.told(stay_away(instance, &error));
            Ok(())
        }
    }
}

fn stay_away(instance: &Instance, error: &DrainError) -> String {
    let why = failure::chain(error);
    let place = instance.place();
    format!("{place}: clients may still be led away from it, since {why}; lead them back there by hand once it answers")
}

fn failed(instance: &Instance, error: &DrainError) -> Failure {
    let code = match error {
        DrainError::Unreachable { .. } | DrainError::Host { .. } => Exit::Unavailable,
        DrainError::Last { .. } => Exit::Quorum,
        DrainError::Refused { .. } | DrainError::NotWell { .. } => Exit::Failed,
    };
    let what = format!("clients of `{}` on {} cannot be led away and back", instance.service, instance.host);
    Failure::new(code, what).because(error)
}
