//! Looking for stored values on this host, for a caller on the socket.
//!
//! The search runs in the daemon: a client that did it would need every value at once, and the values would leave the
//! process that guards them. What goes back is names and places.

use super::{Daemon, lookup, lookup::Answered, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    config,
    failure::{Exit, Failure},
    records::secrets,
    render::Declared,
    rotation::journal::Held,
    scan::{Elsewhere, Needles, NotLookedFor, Progress, Standing, TooMany, Wanted, Why, search},
    socket::message::Event,
};
use donjon_drivers::store::{RecordPath, Store, VersionState, Which, secret::Origin};
use donjon_policies::name::SecretName;
use serde_json::json;
use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedSender;

/// Searches paths for every value that is stored: current, previous and pending ones.
pub async fn scan(
    daemon: &Daemon,
    actor: Actor,
    paths: &[String],
    elsewhere: Vec<Elsewhere>,
    tell: &UnboundedSender<Event>,
) -> Answered {
    let roots: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    if (roots.is_empty() && elsewhere.is_empty()) || !roots.iter().all(|root| root.is_absolute()) {
        return Err(Failure::new(Exit::Usage, "scan takes absolute paths"));
    }
    let store = daemon.store()?;
    let failed = |error| translate::store("cannot list the secrets", &error);
    let names = secrets::names(&*store, &daemon.layout).await.map_err(failed)?;
    daemon.record(actor, Act::Scan, &names, Outcome::Intent)?;
    let (wanted, not_looked_for) = values(daemon, &store, names.clone()).await?;
    let declared = Declared::all(&daemon.home);
    let tell = tell.clone();
    let search = tokio::task::spawn_blocking(move || {
        let needles = Needles::new(wanted, not_looked_for)?.with_declared(declared);
        let mut last = Instant::now();
        // Nobody waits for the answer any more: end.
        let report = search(&needles, &roots, &elsewhere, &mut |progress| match tell.is_closed() {
            true => ControlFlow::Break(()),
            false => {
                if last.elapsed() >= TOLD_EVERY {
                    last = Instant::now();
                    drop(tell.send(event(progress)));
                }
                ControlFlow::Continue(())
            }
        });
        Ok::<_, TooMany>((report, needles.looked_for.len(), needles.not_looked_for))
    });
    let cannot =
        |error: &(dyn std::error::Error + 'static)| Failure::new(Exit::Bug, "the search failed").because(error);
    let (report, looked_for, not_looked_for) =
        search.await.map_err(|error| cannot(&error))?.map_err(|error| cannot(&error))?;
    daemon.record(actor, Act::Scan, &names, Outcome::Done)?;
    Ok((json!({"looked_for": looked_for, "not_looked_for": not_looked_for, "report": report}), Vec::new()))
}

/// Hands the values of some secrets to the witness of a teardown. Only root is one: nobody else looks into the memory of
/// others, and root could read every value there.
pub async fn witness(daemon: &Daemon, actor: Actor, names: Vec<SecretName>) -> Answered {
    if actor.uid != 0 {
        return Err(Failure::new(Exit::NotAllowed, "only root can be the witness of a teardown")
            .cause("it takes every value, and looks into the memory of every process")
            .state("nothing was changed"));
    }
    daemon.record(actor, Act::Scan, &names, Outcome::Intent)?;
    let (wanted, _) = values(daemon, &daemon.store()?, names.clone()).await?;
    daemon.record(actor, Act::Scan, &names, Outcome::Done)?;
    let told: Vec<_> = wanted.iter().map(|one| json!({"name": one.name, "standing": one.standing})).collect();
    let materials = wanted.into_iter().map(|wanted| wanted.material).collect();
    Ok((json!({"values": told, "daemon": std::process::id()}), materials))
}

/// Every value of these secrets that is stored, and those that are not to be looked for.
async fn values(
    daemon: &Daemon,
    store: &Arc<dyn Store>,
    names: Vec<SecretName>,
) -> Result<(Vec<Wanted>, Vec<NotLookedFor>), Failure> {
    // Without a catalogue everything is taken for a secret.
    let catalogue = daemon.deployment().ok().and_then(|deployment| config::catalogue(&deployment.catalogue).ok());
    let is_secret = |name: &SecretName| {
        catalogue.as_ref().and_then(|catalogue| catalogue.entry(name)).is_none_or(|entry| entry.class.is_secret())
    };
    let asked: BTreeSet<SecretName> = names.iter().cloned().collect();
    let (names, identifiers): (Vec<_>, Vec<_>) = names.into_iter().partition(is_secret);
    let mut not_looked_for: Vec<NotLookedFor> =
        identifiers.into_iter().map(|secret| NotLookedFor { secret, why: Why::NoSecret }).collect();
    let failed = |error| translate::store("cannot list the pending values", &error);
    let journals = Held::all(&**store, &daemon.layout).await.map_err(failed)?;
    let pending = journals
        .iter()
        .flat_map(|held| held.journal.names().into_iter().map(|name| (&held.journal.id, name)))
        .filter(|(_, name)| asked.contains(name));
    let stored = names.into_iter().map(|name| (daemon.layout.secret(&name), name, Standing::Current));
    let pending = pending.map(|(id, name)| (daemon.layout.pending(id, &name), name, Standing::Pending));
    let paths: Vec<(RecordPath, SecretName, Standing)> = stored.chain(pending).collect();
    let read: Vec<_> =
        paths.into_iter().map(|(path, name, standing)| every_version(store.clone(), path, name, standing)).collect();
    let mut wanted = Vec::new();
    for versions in lookup::bounded(read.into_iter()).await? {
        for version in versions {
            match version {
                Ok(value) => wanted.push(value),
                Err(not) => not_looked_for.push(not),
            }
        }
    }
    Ok((wanted, not_looked_for))
}

async fn every_version(
    store: Arc<dyn Store>,
    path: RecordPath,
    name: SecretName,
    newest: Standing,
) -> Result<Vec<Result<Wanted, NotLookedFor>>, Failure> {
    let failed = |error| translate::store(format!("cannot read `{name}`"), &error);
    let versions = store.versions(&path).await.map_err(failed)?;
    let mut values: Vec<Result<Wanted, NotLookedFor>> = Vec::new();
    for info in versions.iter().rev().filter(|info| info.state == VersionState::Present) {
        let which = Which::Number(info.version);
        let Some(held) = secrets::read_at(&*store, &path, &name, which).await.map_err(failed)? else { continue };
        let material = held.record.value.material();
        // A value that was stored again is one value, and its newest standing is what it is.
        if values.iter().flatten().any(|newer| newer.material.matches(material)) {
            continue;
        }
        values.push(match held.record.origin {
            Origin::Assembled => Err(NotLookedFor { secret: name.clone(), why: Why::Assembled }),
            Origin::Generated
            | Origin::Put
            | Origin::Adopted
            | Origin::Rotated
            | Origin::Restored
            | Origin::Imported => {
                let standing = if values.is_empty() { newest } else { Standing::Previous };
                Ok(Wanted { name: name.clone(), standing, material: material.duplicate() })
            }
        });
    }
    Ok(values)
}

fn event(progress: Progress) -> Event {
    let Progress { read, bytes, found, done, total } = progress;
    let text = format!("searched {read} files and objects, {} MB; {found} findings", bytes / 1_000_000);
    Event { text, done: Some(done), total }
}

const TOLD_EVERY: Duration = Duration::from_millis(200);
