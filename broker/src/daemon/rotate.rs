//! `rotate`: plan, apply, resume, abort and status, for a caller on the socket.

mod alone;
mod bulk;
mod overrides;
mod status;

pub(super) use alone::{
    alone, deployer_elsewhere, deployer_runs, deployer_stays, deploys, is_free, no_deployer, others_rest, soon, under,
};
pub use status::status;

use super::{Daemon, lookup::Answered, translate};
use crate::{
    audit::{About, Act, Actor, Outcome},
    failure::{Exit, Failure},
    generation,
    records::secrets,
    rotation::{
        Means, Rotation, Subject, begin,
        heartbeat::{self, Pace},
        journal::{Held, Journal},
        open,
        plan::{self, PlannedRotation},
        reach,
    },
    settings,
    socket::message::{Event, ResumeAsked, RotateAsked},
};
use donjon_drivers::store::{self, Store, secret::SecretValue};
use donjon_policies::{catalogue::Catalogue, deployment::Deployment, name::SecretName, transition::State};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};
use tokio::sync::mpsc::UnboundedSender;

/// What would change. Looked at are the catalogue, the deployment file and its inventory alone; and of what nodes of a
/// database fetch full copies with, whether there is a value at all. A store that cannot hold a rotation has a plan, and it
/// says so.
pub async fn plan(daemon: &Daemon, asked: &RotateAsked) -> Answered {
    let (deployment, catalogue) = described(daemon).await?;
    let planned = bulk::plan(daemon, &catalogue, &deployment, asked).await?;
    readable(&catalogue, &deployment, &planned.rotations)?;
    let unproven = plan::consumers_provable(&deployment, &planned.rotations).err();
    let shown = bulk::shown(daemon, &catalogue, &deployment, asked, planned).await?;
    let mut plan = json!(shown);
    if let Some(refused) = may(daemon).err().or(unproven) {
        plan["refused"] = json!(refused.message);
    }
    plan["warnings"] = json!(warnings(daemon, (&catalogue, &deployment), &shown.rotations).await);
    Ok((plan, Vec::new()))
}

/// Refuses what would restart services that could not read the new value.
fn readable(catalogue: &Catalogue, deployment: &Deployment, rotations: &[PlannedRotation]) -> Result<(), Failure> {
    plan::restarts_readable(catalogue, deployment, rotations).map_err(|failure| failure.state("nothing was changed"))
}

/// What whoever plans or applies these should know.
async fn warnings(
    daemon: &Daemon,
    (catalogue, deployment): (&Catalogue, &Deployment),
    rotations: &[PlannedRotation],
) -> Vec<String> {
    let mut all = misspelt(daemon, catalogue, deployment).await;
    all.extend(plan::warnings(deployment, rotations));
    all
}

/// Names in the deployment file that are slips of the pen: whoever is meant by one is neither restarted nor waited for.
async fn misspelt(daemon: &Daemon, catalogue: &Catalogue, deployment: &Deployment) -> Vec<String> {
    let Ok(store) = daemon.store() else { return Vec::new() };
    // What cannot be listed is told by whatever needs it.
    let stored = secrets::names(&*store, &daemon.layout).await.unwrap_or_default();
    settings::misspelt::misspelt(deployment, catalogue, &stored)
}

/// Refuses a store that cannot hold a rotation. It is the first question: for one that may not, no server is looked at and
/// nothing has to be described.
pub(super) fn may(daemon: &Daemon) -> Result<(), Failure> {
    // One that is away or sealed is told by whatever needs it.
    let Ok(store) = daemon.store() else { return Ok(()) };
    let capabilities = store.capabilities();
    match capabilities.rotation {
        store::Rotation::Allowed => Ok(()),
        store::Rotation::Refused => {
            Err(Failure::new(Exit::Refused, format!("the `{}` store cannot hold a rotation", capabilities.driver))
                .cause("it has not been through the fault tests that a journal needs")
                .state("nothing was changed")
                .hint("a temporary Vault can: `donjon export bundle --custodians` here, then `donjon up --from` in another DONJON_HOME"))
        }
    }
}

/// Rotates what was asked, one rotation after the other, as far as the first that fails.
pub async fn apply(daemon: &Arc<Daemon>, actor: Actor, asked: &RotateAsked, tell: &UnboundedSender<Event>) -> Answered {
    each(daemon, actor, asked, tell, Others::Left).await?.answer()
}

/// What becomes of the rotations after one that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// They are not begun: a person decides.
    Left,
    /// They are tried as well: nobody is there, and a server that is away is none of theirs.
    Tried,
}

/// How several rotations ended.
pub(super) struct Ended {
    done: Vec<Value>,
    /// What was not rotated, and why.
    pub(super) left: Vec<plan::Left>,
    /// Those that failed, by their secrets, in order.
    pub(super) failed: Vec<(Vec<SecretName>, Failure)>,
    not_begun: Vec<SecretName>,
}

impl Ended {
    /// What the caller is told: the first failure, where there is one, with what became of the others.
    pub(super) fn answer(self) -> Answered {
        let Self { done, left, failed, not_begun } = self;
        let mut failed = failed.into_iter();
        let Some((_, mut first)) = failed.next() else {
            return Ok((json!({"rotations": done, "left": left}), Vec::new()));
        };
        for (_, failure) in failed {
            first.causes.push(failure.line());
        }
        let names = not_begun.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Err(after(first, &done, &names))
    }
}

/// Rotates what was asked, one rotation after the other.
pub(super) async fn each(
    daemon: &Arc<Daemon>,
    actor: Actor,
    asked: &RotateAsked,
    tell: &UnboundedSender<Event>,
    others: Others,
) -> Result<Ended, Failure> {
    may(daemon)?;
    let (deployment, catalogue) = described(daemon).await?;
    let plan = bulk::plan(daemon, &catalogue, &deployment, asked).await?;
    plan::outage_accepted(&plan, asked)?;
    readable(&catalogue, &deployment, &plan.rotations)?;
    let provable = plan::consumers_provable(&deployment, &plan.rotations);
    provable.map_err(|failure| failure.state("nothing was changed"))?;
    for text in warnings(daemon, (&catalogue, &deployment), &plan.rotations).await {
        // Who listens may have left.
        let _ = tell.send(Event::text(text));
    }
    let overrides = overrides::asked(asked)?;
    overrides::are_there(&asked.leave, &plan.rotations, &[])?;
    let store = daemon.store()?;
    super::transfer::authority_is_here(daemon).await?;
    let _one = alone(daemon).await?;
    // A mistake in what a later one needs is found before the first one begins.
    for planned in plan.rotations.iter().skip(1) {
        open::subject(&catalogue, &deployment, planned, &daemon.home.connections())?;
    }
    let mut begun = false;
    let mut all = Ended { done: Vec::new(), left: plan.left, failed: Vec::new(), not_begun: Vec::new() };
    for planned in &plan.rotations {
        let names: Vec<SecretName> = planned.secrets.iter().map(|planned| planned.secret.clone()).collect();
        if !all.failed.is_empty() && others == Others::Left {
            all.not_begun.extend(names);
            continue;
        }
        if others == Others::Tried && begun && !super::schedule::still_due(daemon, &names).await? {
            let why = "its window has closed, or a freeze has begun, while others of what was due rotated";
            all.left.extend(names.into_iter().map(|secret| plan::Left { secret, why: why.to_owned() }));
            continue;
        }
        begun = true;
        if let Some(text) = plan::cut_off(&planned.unread) {
            let _ = tell.send(Event::text(text));
        }
        let place = (&*catalogue, &deployment);
        let subject = match bulk::subject(daemon, &*store, place, asked, planned, &mut all.left).await {
            Ok(Some(subject)) => subject,
            Ok(None) => continue,
            Err(failure) => {
                all.failed.push((names, failure));
                continue;
            }
        };
        let names: Vec<SecretName> = subject.secrets.iter().map(|item| item.secret.clone()).collect();
        let about = About { names: names.clone(), overrides: overrides.clone(), ..About::default() };
        daemon.record_about(actor, Act::Rotate, about, Outcome::Intent)?;
        let leave = asked.leave.clone();
        let began = async {
            reach::consumers(&subject, &asked.leave).await?;
            let preflight = begin::preflight(&*store, &daemon.layout, &subject, &asked.leave).await;
            let preflight = preflight.map_err(not_begun)?;
            preflight.provable(&subject, &asked.vouched)?;
            let own = daemon.id.to_string();
            // Whoever moves the authority, or begins something else, writes that first and then looks for journals: one of
            // the two sees the other.
            let here = async |journal: Journal| {
                super::transfer::authority_is_here(daemon).await?;
                // Who looks says that it lives: else it were taken for one that nobody drives.
                let rest = others_rest(daemon, Some(&journal));
                heartbeat::beating(&*store, &daemon.layout, &daemon.id, Pace::USUAL, rest).await
            };
            let held = begin::begin(&*store, &daemon.layout, &subject, &own, preflight, now(), here).await?;
            Ok((subject, held))
        };
        let ended = match began.await {
            Ok((subject, held)) => drive(daemon, &*store, &catalogue, &subject, held, tell, Way::Begun { leave }).await,
            Err(failure) => Err(failure),
        };
        super::notices::ended(daemon, &names, &ended);
        daemon.record(actor, Act::Rotate, &names, outcome(&ended))?;
        match ended {
            Ok(mut ended) => {
                ended["unread"] = json!(planned.unread);
                all.done.push(ended);
            }
            Err(failure) => all.failed.push((names, failure)),
        }
    }
    Ok(all)
}

/// Nothing is there that could be resumed.
fn not_begun(failure: Failure) -> Failure {
    if failure.code == Exit::Unavailable {
        return failure.hint("nothing was begun: the same command again, once it answers");
    }
    failure
}

/// Goes on with the rotations that have not ended, or with those of the secrets that were named.
pub async fn resume(
    daemon: &Arc<Daemon>,
    actor: Actor,
    asked: &ResumeAsked,
    tell: &UnboundedSender<Event>,
) -> Answered {
    unfinished(daemon, actor, asked, tell, Way::On { leave: asked.leave.clone() }).await
}

/// Goes back with those that have not ended and where no consumer can have read the new value.
pub async fn abort(daemon: &Arc<Daemon>, actor: Actor, asked: &ResumeAsked, tell: &UnboundedSender<Event>) -> Answered {
    unfinished(daemon, actor, asked, tell, Way::Back).await
}

/// What a rotation that is there already is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// Go on from its beginning, which this broker has just written, without these consumers.
    Begun { leave: BTreeSet<String> },
    /// Go on, without these consumers.
    On { leave: BTreeSet<String> },
    /// Go back.
    Back,
}

async fn unfinished(
    daemon: &Arc<Daemon>,
    actor: Actor,
    asked: &ResumeAsked,
    tell: &UnboundedSender<Event>,
    way: Way,
) -> Answered {
    may(daemon)?;
    let (deployment, catalogue) = described(daemon).await?;
    let store = daemon.store()?;
    let _one = alone(daemon).await?;
    let journals = Held::unfinished(&*store, &daemon.layout)
        .await
        .map_err(|error| translate::store("cannot read the journals", &error))?;
    let named = |held: &Held| asked.names.is_empty() || held.journal.names().iter().any(|n| asked.names.contains(n));
    if let Some(name) = asked.names.iter().find(|name| !journals.iter().any(|h| h.journal.names().contains(name))) {
        return Err(Failure::new(Exit::NotThere, format!("no rotation of `{name}` is under way"))
            .state("nothing was changed")
            .hint("`donjon rotate status` shows those that are"));
    }
    let overrides = overrides::left(&asked.leave)?;
    let mut journals: Vec<Held> = journals.into_iter().filter(named).collect();
    // One that has only begun, and that nobody may be driving, keeps the others back: it goes on before them.
    journals.sort_by_key(|held| held.journal.state != State::Planned);
    if !asked.leave.is_empty() {
        let names = journals.iter().flat_map(|held| held.journal.names()).map(|name| name.to_string()).collect();
        let restarted: Vec<_> = journals.iter().flat_map(|held| held.journal.restarted.clone()).collect();
        // What has no plan any more is told for each.
        if let Ok(planned) = plan::plan(&catalogue, &deployment, &RotateAsked { names, ..RotateAsked::default() }) {
            overrides::are_there(&asked.leave, &planned.rotations, &restarted)?;
        }
    }
    let (mut done, mut first) = (Vec::new(), None);
    for held in journals {
        let names = held.journal.names();
        let id = held.journal.id.clone();
        let about = About { names: names.clone(), overrides: overrides.clone(), ..About::default() };
        daemon.record_about(actor, Act::Rotate, about, Outcome::Intent)?;
        let free = match asked.take_over {
            true => Ok(()),
            false => left_alone(daemon, &*store, &held).await,
        };
        let ended = match free.and_then(|()| again(daemon, &catalogue, &deployment, &held, &way)) {
            Ok(subject) => drive(daemon, &*store, &catalogue, &subject, held, tell, way.clone()).await,
            Err(failure) => Err(failure),
        };
        super::notices::ended(daemon, &names, &ended);
        daemon.record(actor, Act::Rotate, &names, outcome(&ended))?;
        // One that cannot go on must not keep the others where they are.
        match ended {
            Ok(ended) => done.push(ended),
            Err(failure) => {
                tracing::warn!(rotation = %id, %failure, "a rotation did not end");
                first = first.or(Some(failure));
            }
        }
    }
    first.map_or_else(|| Ok((json!({"rotations": done}), Vec::new())), |failure| Err(after(failure, &done, "")))
}

/// Whether the broker that drove a rotation has left it.
async fn left_alone(daemon: &Daemon, store: &dyn Store, held: &Held) -> Result<(), Failure> {
    let (journal, own) = (&held.journal, daemon.id.to_string());
    let lives = async { heartbeat::lives(store, &daemon.layout, held, Pace::USUAL).await };
    if journal.broker == own || !lives.await.map_err(|error| translate::store("cannot read a heartbeat", &error))? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Conflict,
        format!("the rotation of {} is another broker's, which is alive", journal.named()),
    )
    .cause(format!("{} drives it", journal.broker))
    .state(format!("{}: {}", journal.state, journal.meaning()))
    .hint("`donjon rotate status` shows how far it is; `--take-over` stops that broker at its next step"))
}

/// What an interrupted rotation touches, as the deployment file describes it now.
fn again(
    daemon: &Daemon,
    catalogue: &Catalogue,
    deployment: &Deployment,
    held: &Held,
    way: &Way,
) -> Result<Subject, Failure> {
    let journal = &held.journal;
    let standing = || format!("{}: {}", journal.state, journal.meaning());
    let asked = RotateAsked {
        names: journal.names().iter().map(ToString::to_string).collect(),
        compromised: journal.compromised,
        ..RotateAsked::default()
    };
    let planned = plan::plan(catalogue, deployment, &asked)?.rotations;
    let other = |what: String| {
        Failure::new(Exit::Usage, "cannot go on with a rotation that was begun otherwise")
            .cause(what)
            .state(standing())
            .hint("put donjon.yaml back as it was until the rotation has ended")
    };
    // Later, nobody is restarted any more; and who goes back gives consumers what they had.
    if matches!(way, Way::On { .. }) && journal.state < State::Drained {
        let sound = plan::restarts_readable(catalogue, deployment, &planned)
            .and_then(|()| plan::consumers_provable(deployment, &planned));
        sound.map_err(|failure| failure.state(standing()))?;
    }
    let [planned] = planned.as_slice() else {
        return Err(other("what it changes is no longer one rotation by the deployment file".to_owned()));
    };
    let now = planned.secrets.iter().flat_map(|p| p.credentials.iter().map(move |c| (&p.secret, &c.target, c.way)));
    let then = journal.secrets.iter().flat_map(|i| i.credentials.iter().map(move |c| (&i.secret, &c.target, c.way)));
    let (now, then): (Vec<_>, Vec<_>) = (now.collect(), then.collect());
    if let Some((secret, target, _)) = then.iter().find(|was| !now.contains(was)) {
        return Err(other(format!(
            "`{secret}` was begun on the target `{target}`, which the deployment file no longer gives"
        )));
    }
    open::subject(catalogue, deployment, planned, &daemon.home.connections())
}

/// A failure beside others, of which its own state line does not speak; `not_begun` names those that nobody tried.
fn after(failure: Failure, done: &[Value], not_begun: &str) -> Failure {
    let ended = done.iter().map(|d| format!("{} {}", named(&d["secrets"]), d["state"].as_str().unwrap_or_default()));
    let mut told: Vec<String> = failure.state.clone().into_iter().collect();
    if !done.is_empty() {
        told.push(format!("of the others: {}", ended.collect::<Vec<_>>().join(", ")));
    }
    if !not_begun.is_empty() {
        told.push(format!("not begun: {not_begun}"));
    }
    if told.is_empty() { failure } else { failure.state(told.join("; ")) }
}

fn named(secrets: &Value) -> String {
    let secrets = secrets.as_array().map(Vec::as_slice).unwrap_or_default();
    secrets.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
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
    let make = |secret: &SecretName| -> Result<SecretValue, Failure> {
        let entry = catalogue
            .entry(secret)
            .ok_or_else(|| Failure::new(Exit::Bug, "a planned secret is not in the catalogue"))?;
        let unmade =
            |error| Failure::new(Exit::Failed, format!("cannot make a new value of `{secret}`")).because(&error);
        generation::make(entry.recipe, &generation::System, now() / 1_000_000).map_err(unmade)
    };
    // The caller may have left; the rotation goes on.
    let tell = |event| drop(tell.send(event));
    let begun = matches!(way, Way::Begun { .. });
    let (leave, back) = match way {
        Way::Begun { leave } | Way::On { leave } => (leave, false),
        Way::Back => (BTreeSet::new(), true),
    };
    let means = Means { store, layout: &daemon.layout, subject, make: &make, clock: &now, tell: &tell, leave };
    let mut rotation = if begun { Rotation::begun(means, held) } else { Rotation::new(means, held) };
    let driving = Driving::of(daemon, &rotation.journal().id);
    let work = async {
        if !begun {
            let waited = rotation.journal().waiting.clone();
            // Whoever goes back gives consumers what they had, whatever else restarts.
            rotation.held.journal.looking = (!back).then(now);
            rotation.take_over(&daemon.id.to_string()).await?;
            if !back {
                match alone::nobody_rotates(daemon, store, Some(rotation.journal())).await {
                    Ok(()) => rotation.goes_on().await?,
                    Err(failure) => return Err(rotation.stands_back(waited, failure).await),
                }
            }
        }
        if back { rotation.abort().await.map(drop) } else { rotation.drive().await.map(drop) }
    };
    heartbeat::beating(store, &daemon.layout, &daemon.id, Pace::USUAL, work).await?;
    drop(driving);
    let held = rotation.held;
    // What is left is laid aside later.
    if let Err(error) = held.lay_aside(store, &daemon.layout).await {
        tracing::debug!(%error, "a journal was not laid aside");
    }
    told(&held.journal, subject, back)
}

/// While it lives, a rotation is told as driven.
pub(super) struct Driving<'a>(&'a Daemon);

impl<'a> Driving<'a> {
    /// Of the rotation with this journal.
    pub(super) fn of(daemon: &'a Daemon, id: &str) -> Self {
        *daemon.driven.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        Self(daemon)
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        *self.0.driven.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What is told of a rotation that has ended; `back` says that it was called off.
fn told(journal: &Journal, subject: &Subject, back: bool) -> Result<Value, Failure> {
    if journal.state == State::Restored {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} was not rotated: a consumer failed on the new value", subject.names()),
        )
        .cause(journal.undone.clone().unwrap_or_default())
        .state("restored: every consumer is back on the old value, which alone is valid")
        .hint("mend the consumer or its check, then `donjon rotate apply` again"));
    }
    if let (State::Aborted, false, Some(why)) = (journal.state, back, &journal.undone) {
        return Err(Failure::new(Exit::Conflict, format!("{} was not rotated", subject.names()))
            .cause(why.clone())
            .state("aborted: nothing was changed")
            .hint("`donjon rotate apply` begins anew"));
    }
    Ok(describe(journal))
}

fn describe(journal: &Journal) -> Value {
    let (began, last) = (journal.history.first(), journal.history.last());
    let accounts = journal.secrets.iter().flat_map(|item| &item.credentials).flat_map(|c| &c.accounts);
    json!({
        "id": journal.id,
        "path": journal.path,
        "secrets": journal.names(),
        "state": journal.state,
        "meaning": journal.meaning(),
        "waiting": journal.waiting,
        "accounts": accounts.map(ToString::to_string).collect::<Vec<_>>(),
        "restarted": journal.restarted,
        "began": began.map(|(_, at)| at),
        "since": last.map(|(_, at)| at),
        "microseconds": began.zip(last).map(|((_, began), (_, last))| last - began),
    })
}

pub(super) async fn described(daemon: &Daemon) -> Result<(Deployment, Arc<Catalogue>), Failure> {
    let deployment = daemon.deployment()?;
    let catalogue = crate::config::catalogue(&deployment.catalogue)?;
    Ok((crate::config::with_inventory(Arc::unwrap_or_clone(deployment)).await?, catalogue))
}

fn outcome(ended: &Result<Value, Failure>) -> Outcome {
    if ended.is_ok() { Outcome::Done } else { Outcome::Failed }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
