//! `rotate broker`: what opens the temporary Vault is renewed, and no secret in it changes.

use super::{Daemon, lookup::Answered, rotate, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    rotation::journal::Held,
    socket::message::Event,
    vault::Renewed,
};
use donjon_drivers::material::Material;
use serde_json::json;
use std::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

/// Renews it. No rotation goes on meanwhile, for the Vault is started again in the end.
pub async fn renew(daemon: &Daemon, actor: Actor, shares: Vec<Material>, tell: &UnboundedSender<Event>) -> Answered {
    let store = daemon.store()?;
    let _one = rotate::alone(daemon).await?;
    let unfinished = Held::unfinished(&*store, &daemon.layout).await;
    let unfinished = unfinished.map_err(|error| translate::store("cannot read the journals", &error))?;
    if let Some(held) = unfinished.first() {
        return Err(Failure::new(Exit::Waiting, format!("the rotation of {} has not ended", held.journal.named()))
            .state("nothing was changed")
            .hint("`donjon rotate resume`, then this again"));
    }
    daemon.record(actor, Act::RenewBroker, &[], Outcome::Intent)?;
    let done = Mutex::new(Vec::new());
    let note = |renewed: Renewed| {
        // Whoever asked may have left; the work goes on.
        let _ = tell.send(Event::text(format!("{renewed}: renewed")));
        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(renewed.to_string());
    };
    let renewed = daemon.backing.renew(shares, &note).await;
    daemon.record(actor, Act::RenewBroker, &[], if renewed.is_ok() { Outcome::Done } else { Outcome::Failed })?;
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    renewed.map_err(|failure| match (done.as_slice(), &failure.state) {
        ([], _) | (_, None) => failure,
        (some, _) => failure
            .state(format!("renewed: {}; the rest is as it was", some.join(", ")))
            .hint("the same command again renews all of it"),
    })?;
    Ok((json!({"renewed": done}), Vec::new()))
}
