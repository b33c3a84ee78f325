//! `schedule`, and rotating what is due by it.

use super::{Daemon, lookup::Answered, recipients, rotate, translate};
use crate::{
    audit::Actor,
    failure::{Exit, Failure},
    rotation::{Journal, journal::Held},
    schedule::{Dated, Place, When, look},
    socket::message::{Event, RotateAsked},
};
use donjon_policies::{name::SecretName, strategy::Outage};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// When secrets are due, and why.
pub async fn shown(daemon: &Daemon) -> Answered {
    let automatic = daemon.deployment()?.schedules.automatic;
    let (dated, _) = dated(daemon).await?;
    Ok((json!({"now": now(), "automatic": automatic, "secrets": dated}), Vec::new()))
}

/// What would change: of what is due, where that was asked.
pub async fn plan(daemon: &Daemon, asked: RotateAsked) -> Answered {
    if let Some(who) = asked.exposed_to.clone() {
        let exposed = recipients::exposed_to(daemon, &who).await?;
        let (asked, left) = recipients::rotation_of(daemon, &exposed, asked).await?;
        if asked.names.is_empty() {
            return Ok((json!({"rotations": [], "left": left}), Vec::new()));
        }
        let (mut plan, materials) = rotate::plan(daemon, &asked).await?;
        plan["left"] = json!(left);
        return Ok((plan, materials));
    }
    if !asked.due {
        return rotate::plan(daemon, &asked).await;
    }
    let (asked, left) = due(daemon, asked).await?;
    if asked.names.is_empty() {
        return Ok((json!({"rotations": [], "left": costly(&left)}), Vec::new()));
    }
    let (mut plan, materials) = rotate::plan(daemon, &asked).await?;
    if let Some(list) = plan["left"].as_array_mut() {
        list.extend(costly(&left));
    }
    Ok((plan, materials))
}

/// Rotates what was asked, or what is due. What is due and has an outage that nobody accepted is refused after the rest.
pub async fn apply(daemon: &Arc<Daemon>, actor: Actor, asked: RotateAsked, tell: &UnboundedSender<Event>) -> Answered {
    rotate::may(daemon)?;
    if let Some(who) = asked.exposed_to.clone() {
        let exposed = recipients::exposed_to(daemon, &who).await?;
        let (asked, left) = recipients::rotation_of(daemon, &exposed, asked).await?;
        let (mut done, materials) = match asked.names.is_empty() {
            true => (json!({"rotations": [], "left": []}), Vec::new()),
            false => rotate::apply(daemon, actor, &asked, tell).await?,
        };
        if let Some(list) = done["left"].as_array_mut() {
            list.extend(left);
        }
        return Ok((done, materials));
    }
    if !asked.due {
        return rotate::apply(daemon, actor, &asked, tell).await;
    }
    let (asked, left) = due(daemon, asked).await?;
    let answered = match asked.names.is_empty() {
        true => (json!({"rotations": []}), Vec::new()),
        false => rotate::each(daemon, actor, &asked, tell, rotate::Others::Tried).await?.answer()?,
    };
    if left.is_empty() {
        return Ok(answered);
    }
    let mut failure = Failure::new(Exit::Refused, "what is due has an outage that nobody has accepted");
    failure.causes = left.iter().filter_map(|dated| Some(format!("{}: {}", dated.secret, dated.outage?))).collect();
    let done = answered.0["rotations"].as_array().map_or(0, Vec::len);
    Err(failure
        .state(format!("{done} rotations of what else is due were done; these secrets were not touched"))
        .hint("`donjon rotate apply --due --accept-outage`, or `accept_outage: true` in their rule under `schedules`"))
}

/// When every secret is due, with the journals there are.
pub async fn dated(daemon: &Daemon) -> Result<(Vec<Dated>, Vec<Journal>), Failure> {
    let deployment = crate::config::with_inventory(Arc::unwrap_or_clone(daemon.deployment()?)).await?;
    let catalogue = crate::config::catalogue(&deployment.catalogue)?;
    let store = daemon.store()?;
    let failed = |error| translate::store("cannot tell what is due", &error);
    let journals = Held::all(&*store, &daemon.layout).await.map_err(failed)?;
    let journals: Vec<Journal> = journals.into_iter().map(|held| held.journal).collect();
    let place = Place { store: &*store, layout: &daemon.layout, catalogue: &catalogue, deployment: &deployment };
    let dated = look(place, &journals, now()).await.map_err(failed)?;
    Ok((dated, journals))
}

/// Whether these may change still: a rotation takes its time, and windows end.
pub(super) async fn still_due(daemon: &Daemon, names: &[SecretName]) -> Result<bool, Failure> {
    let (dated, _) = dated(daemon).await?;
    let due = |name: &SecretName| dated.iter().any(|dated| dated.secret == *name && dated.due == When::Now);
    Ok(names.iter().all(due))
}

/// What is due by name, and what of it has an outage that neither its rule nor the caller accepts.
async fn due(daemon: &Daemon, asked: RotateAsked) -> Result<(RotateAsked, Vec<Dated>), Failure> {
    let (dated, _) = dated(daemon).await?;
    let due = dated.into_iter().filter(|dated| dated.due == When::Now);
    let (may, left): (Vec<Dated>, Vec<Dated>) =
        due.partition(|dated| asked.accept_outage || dated.accepted || dated.outage == Some(Outage::None));
    let names = may.iter().map(|dated| dated.secret.to_string()).collect();
    Ok((RotateAsked { names, due: false, accept_outage: true, chosen: true, ..asked }, left))
}

fn costly(left: &[Dated]) -> Vec<serde_json::Value> {
    let why = |dated: &Dated| {
        dated.outage.map_or_else(String::new, |outage| format!("due, but {outage} is accepted by nobody"))
    };
    left.iter().map(|dated| json!({"secret": dated.secret, "why": why(dated)})).collect()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
