//! Taking over the values of a deployer's file, for a caller on the socket.
//!
//! First every secret is looked at, and where one has another value or is being rotated nothing is stored. Then each is written
//! against the version that was seen, and read back; a journal in the store names the file and what is under way, so that a run
//! that was cut off is seen, and the same command again stores what is missing. Last, all are read a second time.

use super::{
    Daemon, instead,
    lookup::{Answered, bounded},
    rotate, translate, views,
};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    records::{epoch, labels, secrets},
    socket::message::{AdoptAsked, Adopted, Event},
};
use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected, Store, StoreError, Version, Which,
        secret::{Origin, SecretRecord, SecretValue},
    },
};
use donjon_policies::name::SecretName;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc::UnboundedSender;

/// How the store stands to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// It has no such secret.
    New,
    /// It has this value.
    Same,
    /// It has another value.
    Other,
}

/// One value and the record that it becomes.
struct Taking {
    record: SecretRecord,
    standing: Standing,
    expected: Expected,
}

/// What was taken over last, and whether that came to its end.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    format: u32,
    file: String,
    begun: i64,
    state: State,
    names: Vec<SecretName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Storing,
    Stored,
}

/// Takes values over, or says how the store stands to them.
pub async fn adopt(
    daemon: &Daemon,
    actor: Actor,
    asked: AdoptAsked,
    materials: Vec<Material>,
    tell: &UnboundedSender<Event>,
) -> Answered {
    let AdoptAsked { plan, overwrite, new_deployment, file, secrets } = asked;
    let names: Vec<SecretName> = secrets.iter().map(|adopted| adopted.name.clone()).collect();
    let distinct: BTreeSet<&SecretName> = names.iter().collect();
    if secrets.len() != materials.len() || distinct.len() != names.len() {
        return Err(Failure::new(Exit::Usage, "adopt takes one value for each name"));
    }
    let store = daemon.store()?;
    let now = jiff::Timestamp::now().as_second();
    let mut looks = Vec::with_capacity(names.len());
    for (adopted, value) in secrets.into_iter().zip(materials) {
        looks.push(look(daemon, store.clone(), adopted, value, now));
    }
    let takings: Vec<Taking> = bounded(looks.into_iter()).await?;
    let before = journal(daemon, &*store).await?;
    let unfinished = before.as_ref().filter(|(journal, _)| journal.state == State::Storing && journal.file != file);
    let unfinished = unfinished.map(|(journal, _)| journal.file.clone());
    let standings: Vec<_> =
        takings.iter().map(|taking| json!({"name": taking.record.name, "standing": taking.standing})).collect();
    if plan {
        daemon.record(actor, Act::Read, &names, Outcome::Done)?;
        return Ok((json!({"secrets": standings, "unfinished": unfinished}), Vec::new()));
    }
    if !overwrite {
        agree(&takings)?;
    }
    let missing = takings.iter().filter(|taking| taking.standing != Standing::Same);
    let missing: Vec<SecretName> = missing.map(|taking| taking.record.name.clone()).collect();
    if !missing.is_empty() {
        instead::none(daemon, &*store, new_deployment).await?;
        rotate::no_deployer(daemon).await?;
    }
    daemon.record(actor, Act::Adopt, &names, Outcome::Intent)?;
    if !missing.is_empty() {
        let entry = Journal { format: FORMAT, file, begun: now, state: State::Storing, names: missing };
        let written = note(daemon, &*store, &entry, before.map(|(_, version)| version)).await?;
        let stored = write((daemon, actor), &store, &takings, tell).await;
        if let Err(failure) = stored {
            daemon.record(actor, Act::Adopt, &names, Outcome::Failed)?;
            return Err(failure.hint("the same command again stores what is missing and changes nothing that is there"));
        }
        note(daemon, &*store, &Journal { state: State::Stored, ..entry }, Some(written)).await?;
    }
    verify(daemon, &store, &takings).await?;
    daemon.record(actor, Act::Adopt, &names, Outcome::Done)?;
    Ok((json!({"secrets": standings, "verified": names.len(), "unfinished": unfinished}), Vec::new()))
}

async fn look(
    daemon: &Daemon,
    store: Arc<dyn Store>,
    adopted: Adopted,
    value: Material,
    now: i64,
) -> Result<Taking, Failure> {
    let Adopted { name, public } = adopted;
    let failed = |error| translate::store(format!("cannot look at `{name}`"), &error);
    let path = daemon.layout.secret(&name);
    // In this order, as for a value that is put: a rotation that begins after the look at the labels finds the version changed.
    let newest = secrets::newest(&store.versions(&path).await.map_err(failed)?);
    let labels = labels::read(&*store, &daemon.layout, &name).await.map_err(failed)?.labels;
    if let Some(id) = labels.rotation {
        return Err(Failure::new(Exit::Conflict, format!("`{name}` is being rotated ({id})"))
            .state("nothing was stored")
            .hint("`donjon rotate resume` or `donjon rotate abort`, then the same command again"));
    }
    let value = match public {
        Some(public) => SecretValue::Pair { private: value, public },
        None => SecretValue::Whole(value),
    };
    let held = secrets::read(&*store, &daemon.layout, &name, Which::Latest).await.map_err(failed)?;
    let standing = match &held {
        None => Standing::New,
        Some(held) if held.record.value.matches(&value) => Standing::Same,
        Some(_) => Standing::Other,
    };
    // Its user stays who it is, one that a rotation gave it too.
    let user = held.and_then(|held| held.record.user);
    let record = SecretRecord { name, value, created: now, origin: Origin::Adopted, user };
    Ok(Taking { record, standing, expected: newest.map_or(Expected::Absent, Expected::Newest) })
}

fn agree(takings: &[Taking]) -> Result<(), Failure> {
    let other: Vec<&SecretName> =
        takings.iter().filter(|taking| taking.standing == Standing::Other).map(|taking| &taking.record.name).collect();
    if other.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Conflict, "the store and the file do not agree");
    failure.causes = other.iter().map(|name| format!("`{name}` has another value in the store")).collect();
    Err(failure
        .state("nothing was stored")
        .hint("`--overwrite` stores the file's values as next versions; what runs must have the file's values then"))
}

async fn write(
    (daemon, actor): (&Daemon, Actor),
    store: &Arc<dyn Store>,
    takings: &[Taking],
    tell: &UnboundedSender<Event>,
) -> Result<(), Failure> {
    let missing: Vec<&Taking> = takings.iter().filter(|taking| taking.standing != Standing::Same).collect();
    let count = Count { done: AtomicUsize::new(0), total: missing.len(), tell };
    let mut writes = Vec::with_capacity(missing.len());
    for taking in &missing {
        writes.push(write_one(daemon, &**store, taking, &count));
    }
    // What was stored is published, whatever became of the rest.
    let stored = bounded(writes.into_iter()).await.map(drop);
    let deployment = daemon.deployment()?;
    let concerned = missing.iter().flat_map(|taking| deployment.views_of(&taking.record.name)).collect();
    views::assemble(daemon, actor, &**store, concerned).await?;
    let unpublished = |error| translate::store("cannot tell readers of the new secrets", &error);
    epoch::bump(&**store, &daemon.layout).await.map_err(unpublished)?;
    stored
}

struct Count<'a> {
    done: AtomicUsize,
    total: usize,
    tell: &'a UnboundedSender<Event>,
}

async fn write_one(daemon: &Daemon, store: &dyn Store, taking: &Taking, count: &Count<'_>) -> Result<(), Failure> {
    let Count { done, total, tell } = count;
    let name = &taking.record.name;
    let path = daemon.layout.secret(name);
    secrets::write_at(store, &path, &taking.record, taking.expected).await.map_err(|error| {
        let failure = translate::store(format!("cannot store `{name}`"), &error);
        failure.state(format!("{} of {total} were stored and read back", done.load(Ordering::Relaxed)))
    })?;
    let stored = done.fetch_add(1, Ordering::Relaxed) + 1;
    let event =
        Event { text: format!("stored {stored} of {total}"), done: Some(stored as u64), total: Some(*total as u64) };
    // Whoever asked may be gone; the work goes on.
    drop(tell.send(event));
    Ok(())
}

/// Reads all of them once more, as a consumer would.
async fn verify(daemon: &Daemon, store: &Arc<dyn Store>, takings: &[Taking]) -> Result<(), Failure> {
    let mut reads = Vec::with_capacity(takings.len());
    for taking in takings {
        reads.push(verify_one(daemon, &**store, &taking.record));
    }
    bounded(reads.into_iter()).await.map(drop)
}

async fn verify_one(daemon: &Daemon, store: &dyn Store, record: &SecretRecord) -> Result<(), Failure> {
    let name = &record.name;
    let failed = |error| translate::store(format!("cannot read `{name}` back"), &error);
    let held = secrets::read(store, &daemon.layout, name, Which::Latest).await.map_err(failed)?;
    match held.is_some_and(|held| held.record.value.matches(&record.value)) {
        true => Ok(()),
        false => Err(Failure::new(Exit::Conflict, format!("`{name}` reads back otherwise than the file has it"))
            .cause("someone else changed it meanwhile")
            .state("the values are stored; the file is as it was")
            .hint("`donjon history` shows the versions; then the same command again")),
    }
}

async fn journal(daemon: &Daemon, store: &dyn Store) -> Result<Option<(Journal, Version)>, Failure> {
    let path = daemon.layout.private(JOURNAL);
    let failed = |error| translate::store("cannot read what was taken over before", &error);
    let Some(stored) = store.read(&path, Which::Latest).await.map_err(failed)? else { return Ok(None) };
    let damaged = || failed(StoreError::Damaged { path: path.clone(), what: "no journal that this donjon knows" });
    let journal: Journal = stored.document.parse().map_err(|_| damaged())?;
    if journal.format > FORMAT { Err(damaged()) } else { Ok(Some((journal, stored.version))) }
}

async fn note(
    daemon: &Daemon,
    store: &dyn Store,
    journal: &Journal,
    over: Option<Version>,
) -> Result<Version, Failure> {
    let path = daemon.layout.private(JOURNAL);
    let failed = |error| {
        if matches!(error, StoreError::Conflict { .. }) {
            return Failure::new(Exit::Conflict, "another adoption is under way")
                .state("nothing was stored by this one")
                .hint("wait until it has ended, then the same command again");
        }
        translate::store("cannot write the journal of the adoption", &error)
    };
    let document = Document::plain(journal).map_err(|_| Failure::new(Exit::Bug, "the journal is no JSON"))?;
    store.write(&path, &document, over.map_or(Expected::Absent, Expected::Newest)).await.map_err(failed)
}

const JOURNAL: &str = "adoption";
const FORMAT: u32 = 1;
