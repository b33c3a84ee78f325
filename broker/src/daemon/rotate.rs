//! `rotate`: plan, apply, resume, abort and status, for a caller on the socket.

use super::{Daemon, lookup::Answered, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    generation,
    rotation::{
        Rotation, Subject, begin,
        journal::Held,
        open,
        plan::{self, Planned},
    },
    socket::message::{Event, RotateAsked},
};
use donjon_drivers::store::{Store, secret::SecretValue};
use donjon_policies::{catalogue::Catalogue, deployment::Deployment, name::SecretName, transition::State};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// What would change. Nothing is looked at but the catalogue and the deployment file.
pub fn plan(daemon: &Daemon, asked: &RotateAsked) -> Answered {
    let (deployment, catalogue) = described(daemon)?;
    Ok((json!(plan::plan(&catalogue, &deployment, asked)?), Vec::new()))
}

/// Rotates what was asked, one secret after the other.
pub async fn apply(daemon: &Arc<Daemon>, actor: Actor, asked: &RotateAsked, tell: &UnboundedSender<Event>) -> Answered {
    let (deployment, catalogue) = described(daemon)?;
    let plan = plan::plan(&catalogue, &deployment, asked)?;
    let store = daemon.store()?;
    let _one = alone(daemon)?;
    let names: Vec<SecretName> = plan.secrets.iter().map(|p| p.secret.clone()).collect();
    daemon.record(actor, Act::Rotate, &names, Outcome::Intent)?;
    let mut done = Vec::new();
    for planned in &plan.secrets {
        let subject = open::subject(&catalogue, &deployment, planned, &daemon.home.connections())?;
        let began = async {
            let preflight = begin::preflight(&*store, &daemon.layout, &subject).await?;
            begin::begin(&*store, &daemon.layout, &subject, &daemon.id, preflight, &asked.vouched, now()).await
        };
        let ended = match began.await {
            Ok(held) => drive(daemon, &*store, &catalogue, &subject, held, tell, Way::On).await,
            Err(failure) => Err(failure),
        };
        daemon.record(actor, Act::Rotate, std::slice::from_ref(&planned.secret), outcome(&ended))?;
        done.push(ended.map_err(|failure| after(failure, &done))?);
    }
    Ok((json!({"rotations": done}), Vec::new()))
}

/// Goes on with every rotation that has not ended.
pub async fn resume(daemon: &Arc<Daemon>, actor: Actor, tell: &UnboundedSender<Event>) -> Answered {
    unfinished(daemon, actor, tell, Way::On).await
}

/// Goes back with every rotation that has not ended and where no consumer can have read the new value.
pub async fn abort(daemon: &Arc<Daemon>, actor: Actor, tell: &UnboundedSender<Event>) -> Answered {
    unfinished(daemon, actor, tell, Way::Back).await
}

/// The rotations that have not ended.
pub async fn status(daemon: &Daemon) -> Answered {
    let store = daemon.store()?;
    let journals = Held::unfinished(&*store, &daemon.layout)
        .await
        .map_err(|error| translate::store("cannot read the journals", &error))?;
    let shown: Vec<Value> = journals.iter().map(|held| describe(&held.journal)).collect();
    Ok((json!({"rotations": shown}), Vec::new()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
}

async fn unfinished(daemon: &Arc<Daemon>, actor: Actor, tell: &UnboundedSender<Event>, way: Way) -> Answered {
    let (deployment, catalogue) = described(daemon)?;
    let store = daemon.store()?;
    let _one = alone(daemon)?;
    let journals = Held::unfinished(&*store, &daemon.layout)
        .await
        .map_err(|error| translate::store("cannot read the journals", &error))?;
    let (mut done, mut first) = (Vec::new(), None);
    for held in journals {
        let secret = held.journal.secret.clone();
        daemon.record(actor, Act::Rotate, std::slice::from_ref(&secret), Outcome::Intent)?;
        let ended = match again(daemon, &catalogue, &deployment, &held) {
            Ok(subject) => drive(daemon, &*store, &catalogue, &subject, held, tell, way).await,
            Err(failure) => Err(failure),
        };
        daemon.record(actor, Act::Rotate, std::slice::from_ref(&secret), outcome(&ended))?;
        // One that cannot go on must not keep the others where they are.
        match ended {
            Ok(ended) => done.push(ended),
            Err(failure) => {
                tracing::warn!(%secret, %failure, "a rotation did not end");
                first = first.or(Some(failure));
            }
        }
    }
    first.map_or_else(|| Ok((json!({"rotations": done}), Vec::new())), |failure| Err(after(failure, &done)))
}

/// What an interrupted rotation touches, as the deployment file describes it now.
fn again(daemon: &Daemon, catalogue: &Catalogue, deployment: &Deployment, held: &Held) -> Result<Subject, Failure> {
    let journal = &held.journal;
    let asked = RotateAsked { names: vec![journal.secret.to_string()], ..RotateAsked::default() };
    let planned: Vec<Planned> = plan::plan(catalogue, deployment, &asked)?.secrets;
    let [planned] = planned.as_slice() else { return Err(Failure::new(Exit::Bug, "one name gave several plans")) };
    if planned.target != journal.target {
        return Err(Failure::new(Exit::Usage, format!("cannot go on with the rotation of `{}`", journal.secret))
            .cause(format!(
                "it was begun on the target `{}`, and the deployment file now gives `{}`",
                journal.target, planned.target
            ))
            .state(format!("{}: {}", journal.state, journal.state.meaning()))
            .hint("put the target back into donjon.yaml until the rotation has ended"));
    }
    open::subject(catalogue, deployment, planned, &daemon.home.connections())
}

/// A failure after others have been done, which its own state line does not speak of.
fn after(failure: Failure, done: &[Value]) -> Failure {
    if done.is_empty() {
        return failure;
    }
    let ended = done.iter().map(|d| format!("`{}` {}", name(&d["secret"]), name(&d["state"]))).collect::<Vec<_>>();
    let own = failure.state.clone().unwrap_or_default();
    failure.state(format!("{own}; of the others: {}", ended.join(", ")))
}

fn name(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn drive(
    daemon: &Daemon,
    store: &dyn Store,
    catalogue: &Catalogue,
    subject: &Subject,
    held: Held,
    tell: &UnboundedSender<Event>,
    way: Way,
) -> Result<Value, Failure> {
    let make = || -> Result<SecretValue, Failure> {
        let entry = catalogue
            .entry(&subject.secret)
            .ok_or_else(|| Failure::new(Exit::Bug, "a planned secret is not in the catalogue"))?;
        let unmade = |error| {
            Failure::new(Exit::Failed, format!("cannot make a new value of `{}`", subject.secret)).because(&error)
        };
        generation::make(entry.recipe, &generation::System, now() / 1_000_000).map_err(unmade)
    };
    // The caller may have left; the rotation goes on.
    let told = |event| drop(tell.send(event));
    let mut rotation = Rotation { store, layout: &daemon.layout, subject, make: &make, clock: &now, tell: &told, held };
    rotation.take_over(&daemon.id).await?;
    let ended = match way {
        Way::On => rotation.drive().await,
        Way::Back => rotation.abort().await,
    };
    let journal = ended?;
    if journal.state == State::Restored {
        return Err(Failure::new(
            Exit::Failed,
            format!("`{}` was not rotated: a consumer failed on the new value", subject.secret),
        )
        .cause(journal.undone.clone().unwrap_or_default())
        .state("restored: every consumer is back on the old value, which alone is valid")
        .hint("mend the consumer or its check, then `donjon rotate apply` again"));
    }
    if let (State::Aborted, Way::On, Some(why)) = (journal.state, way, &journal.undone) {
        return Err(Failure::new(Exit::Conflict, format!("`{}` was not rotated", subject.secret))
            .cause(why.clone())
            .state("aborted: nothing was changed")
            .hint("`donjon rotate apply` begins anew"));
    }
    Ok(describe(journal))
}

fn describe(journal: &crate::rotation::Journal) -> Value {
    let (began, last) = (journal.history.first(), journal.history.last());
    json!({
        "id": journal.id,
        "secret": journal.secret,
        "state": journal.state,
        "meaning": journal.state.meaning(),
        "waiting": journal.waiting,
        "accounts": journal.accounts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "restarted": journal.restarted,
        "began": began.map(|(_, at)| at),
        "since": last.map(|(_, at)| at),
        "microseconds": began.zip(last).map(|((_, began), (_, last))| last - began),
    })
}

fn described(daemon: &Daemon) -> Result<(Deployment, Catalogue), Failure> {
    let deployment = daemon.deployment()?;
    let catalogue = crate::config::catalogue(&deployment.catalogue)?;
    Ok((deployment, catalogue))
}

/// One rotation at a time in one broker, and none while a deployer sets passwords of its own.
fn alone(daemon: &Daemon) -> Result<tokio::sync::RwLockWriteGuard<'_, ()>, Failure> {
    daemon.rotating.try_write().map_err(|_| match daemon.rotating.try_read() {
        Ok(_) => Failure::new(Exit::Waiting, "a deployer run is under way")
            .cause("it sets passwords itself, and would undo one half of a rotation")
            .state("nothing was changed by this command")
            .hint("try again when it has ended; the audit log names its process"),
        Err(_) => Failure::new(Exit::Conflict, "a rotation is under way in this daemon")
            .state("nothing was changed by this command")
            .hint("`donjon rotate status` shows it"),
    })
}

fn outcome(ended: &Result<Value, Failure>) -> Outcome {
    if ended.is_ok() { Outcome::Done } else { Outcome::Failed }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
