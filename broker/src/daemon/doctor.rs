//! `doctor`: a diagnosis for a caller on the socket. It changes nothing but the audit log.

use super::{
    Daemon,
    lookup::{self, Answered},
    rotate, translate,
};
use crate::{
    audit::{Act, Actor, Outcome},
    doctor::{self, Examined, Health, Looker},
    failure::{Exit, Failure},
    records::secrets,
    rotation::{Journal, journal::Held},
    socket::message::{DoctorAsked, Event},
};
use donjon_policies::name::SecretName;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::sync::mpsc::UnboundedSender;

/// Examines the secrets that were named, or all, or those whose rotations have not ended.
pub async fn doctor(daemon: &Daemon, actor: Actor, asked: &DoctorAsked, tell: &UnboundedSender<Event>) -> Answered {
    // As a rotation sees it: services are on hosts of the inventory, too.
    let (deployment, catalogue) = rotate::described(daemon).await?;
    let store = daemon.store()?;
    let read = Held::all(&*store, &daemon.layout).await;
    let journals: Vec<Journal> = read
        .map_err(|error| translate::store("cannot read the journals", &error))?
        .into_iter()
        .map(|held| held.journal)
        .collect();
    let under_way = journals.iter().filter(|journal| !journal.state.ended()).flat_map(Journal::names);
    let mut names: BTreeSet<SecretName> = under_way.collect();
    if asked.all {
        let stored = secrets::names(&*store, &daemon.layout).await;
        let stored = stored.map_err(|error| translate::store("cannot list the secrets", &error))?;
        names
            .extend(stored.into_iter().filter(|name| catalogue.entry(name).is_some_and(|e| !e.credentials.is_empty())));
    }
    if !asked.names.is_empty() {
        names = asked.names.iter().map(|given| lookup::name(given)).collect::<Result<_, _>>()?;
    }
    if let Some(unknown) = names.iter().find(|name| catalogue.entry(name).is_none()) {
        let failure = Failure::new(Exit::NotThere, format!("the catalogue has no secret `{unknown}`"));
        return Err(failure.hint("`donjon list` shows the names"));
    }
    let listed: Vec<SecretName> = names.iter().cloned().collect();
    daemon.record(actor, Act::Doctor, &listed, Outcome::Intent)?;
    let driving = daemon.rotating.try_read().is_err().then(|| daemon.id.to_string());
    let connections = daemon.home.connections();
    let mut looker =
        Looker::new((&*store, &daemon.layout), (&catalogue, &deployment), &connections, &journals, driving.as_deref());
    let (mut shown, mut left, mut found) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (done, name) in listed.iter().enumerate() {
        let event =
            Event { done: Some(done as u64), total: Some(listed.len() as u64), ..Event::text(format!("`{name}`")) };
        // The caller may have left; then nobody is told.
        let _ = tell.send(event);
        match looker.examine(name).await? {
            Examined::Left(why) => {
                left.push(json!({"secret": name, "why": why}));
                found.insert(Health::Untried);
            }
            Examined::Chart(chart) => {
                let verdict = doctor::advise(&deployment, &chart);
                found.insert(verdict.health);
                shown.push(merged(json!(chart), json!(verdict)));
            }
        }
    }
    daemon.record(actor, Act::Doctor, &listed, Outcome::Done)?;
    // Of all, those without an account are the usual; where not one is proven, that is no health.
    if asked.all && found.contains(&Health::Healthy) {
        found.remove(&Health::Untried);
    }
    let health = found.last().copied().unwrap_or(Health::Healthy);
    Ok((json!({"health": health, "secrets": shown, "left": left}), Vec::new()))
}

fn merged(mut chart: Value, verdict: Value) -> Value {
    if let (Value::Object(chart), Value::Object(verdict)) = (&mut chart, verdict) {
        chart.extend(verdict);
    }
    chart
}
