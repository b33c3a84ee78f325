//! Making the secrets of a catalogue for a caller on the socket.

use super::{Daemon, instead, lookup, lookup::Answered, rotate, translate, views};
use crate::{
    audit::{Act, Actor, Outcome},
    config,
    failure::{Exit, Failure},
    generation::{Plan, PlanError, Progress, Report, RunError, Step, System, World, plan, run},
    records::{epoch, secrets},
    socket::message::Event,
};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::Recipe,
};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::mpsc::UnboundedSender;

/// What was asked for.
#[derive(Debug)]
pub struct Asked {
    /// The catalogue's name, or that of its file; the deployment's own where there is none.
    pub catalogue: Option<String>,
    /// The text of a catalogue file.
    pub text: Option<String>,
    /// Only these; all where empty.
    pub names: Vec<String>,
    /// The deployment is meant to be new, beside another in the same store.
    pub new_deployment: bool,
}

/// Makes what is not there yet.
pub async fn generate(daemon: &Daemon, actor: Actor, asked: Asked, tell: &UnboundedSender<Event>) -> Answered {
    let wanted = asked.names.iter().map(|name| lookup::name(name)).collect::<Result<Vec<_>, _>>()?;
    let catalogue = catalogue(daemon, &asked)?;
    let store = daemon.store()?;
    let failed = |error| translate::store("cannot look at what is there already", &error);
    let existing: BTreeSet<SecretName> =
        secrets::names(&*store, &daemon.layout).await.map_err(failed)?.into_iter().collect();
    let plan = plan(&catalogue, &existing, &wanted).map_err(|errors| refused(&errors))?;
    let Plan { make, present, operator } = &plan;
    let (present, operator) = (present.clone(), operator.clone());
    if make.is_empty() {
        daemon.record(actor, Act::Generate, &[], Outcome::Done)?;
        views::follow_now(daemon, actor).await?;
        return Ok((reply(&Report::default(), &present, &operator), Vec::new()));
    }
    instead::none(daemon, &*store, asked.new_deployment).await?;
    rotate::no_deployer(daemon).await?;
    let names: Vec<SecretName> = make.iter().map(|making| making.name.clone()).collect();
    daemon.record(actor, Act::Generate, &names, Outcome::Intent)?;
    let world = World {
        store: &*store,
        layout: &daemon.layout,
        chance: Arc::new(System),
        reserve: &daemon.reserve,
        now: jiff::Timestamp::now().as_second(),
    };
    // Whoever asked may be gone; the work goes on, and a second run finds it done.
    let report = run(&world, plan, &|progress| drop(tell.send(event(&progress)))).await;
    if !report.made.is_empty() {
        let unpublished = |error| {
            translate::store("cannot tell readers of the new secrets", &error)
                .state(format!("{} secrets were made and are stored", report.made.len()))
        };
        let deployment = daemon.deployment()?;
        let concerned = report.made.iter().flat_map(|name| deployment.views_of(name)).collect();
        views::assemble(daemon, actor, &*store, concerned).await?;
        epoch::bump(&*store, &daemon.layout).await.map_err(unpublished)?;
    }
    let outcome = if report.failed.is_empty() { Outcome::Done } else { Outcome::Failed };
    daemon.record(actor, Act::Generate, &report.made, outcome)?;
    match report.failed.first() {
        None => Ok((reply(&report, &present, &operator), Vec::new())),
        Some((name, error)) => Err(stopped(name, error, &report)),
    }
}

/// Begins the key pairs of a deployment that has nothing yet: its first `generate` comes soon.
pub async fn ahead(daemon: &Daemon) {
    let Ok(store) = daemon.store() else { return };
    let Ok(catalogue) = daemon.deployment().and_then(|deployment| config::catalogue(&deployment.catalogue)) else {
        return;
    };
    if !secrets::names(&*store, &daemon.layout).await.is_ok_and(|names| names.is_empty()) {
        return;
    }
    let slow = |entry: &&Entry| entry.recipe == Recipe::Ssh(daemon.reserve.kind);
    daemon.reserve.begin(catalogue.current().filter(slow).count());
}

fn catalogue(daemon: &Daemon, asked: &Asked) -> Result<Arc<Catalogue>, Failure> {
    match (&asked.catalogue, &asked.text) {
        (Some(file), Some(text)) => config::catalogue_text(file, text).map(Arc::new),
        // A file that a caller names is read by the caller: the daemon may see more than they do.
        (Some(name), None) => config::built_in(name),
        (None, _) => config::catalogue(&daemon.deployment()?.catalogue),
    }
}

fn reply(report: &Report, present: &[SecretName], operator: &[SecretName]) -> serde_json::Value {
    let present: BTreeSet<&SecretName> = present.iter().chain(&report.kept).collect();
    json!({"made": report.made, "present": present, "operator": operator})
}

fn event(progress: &Progress) -> Event {
    let Progress { name, step, done, total } = progress;
    let text = match step {
        _ if done == total => format!("{total} of {total} done"),
        Step::Making => format!("making the key pair {name}"),
        Step::Stored => format!("stored {name}"),
        Step::Kept => format!("someone else stored {name} first"),
        Step::Failed => format!("{name} failed"),
    };
    Event { text, done: Some(*done as u64), total: Some(*total as u64) }
}

fn refused(errors: &[PlanError]) -> Failure {
    let unknown = errors.iter().any(|error| matches!(error, PlanError::Unknown { .. }));
    let mut failure = Failure::new(
        if unknown { Exit::NotThere } else { Exit::Usage },
        match errors.len() {
            1 => "a secret cannot be generated".to_owned(),
            several => format!("{several} secrets cannot be generated"),
        },
    );
    failure.causes = errors.iter().map(ToString::to_string).collect();
    failure.state("nothing was made")
}

fn stopped(name: &SecretName, error: &RunError, report: &Report) -> Failure {
    let message = format!("cannot generate `{name}`");
    let failure = match error {
        RunError::Store(error) => translate::store(message, error),
        RunError::Generation(error) => Failure::new(Exit::Failed, message).because(error),
    };
    let Report { made, failed, untried, .. } = report;
    failure
        .state(format!(
            "{} were made and are stored, {} failed, {} were not tried",
            made.len(),
            failed.len(),
            untried.len()
        ))
        .hint("the same command again makes what is missing and changes nothing that is there")
}
