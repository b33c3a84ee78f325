//! One at a time: rotations, deployer runs, and what else would move the epoch under one, here and at the other brokers of the
//! same store.

use crate::{
    daemon::{Daemon, translate},
    failure::{Exit, Failure},
    rotation::{
        heartbeat::{Broker, Pace},
        journal::Journal,
        others,
    },
};
use donjon_drivers::store::Store;

/// One rotation at a time in one broker, and none while a deployer sets passwords of its own.
pub(in crate::daemon) fn alone(daemon: &Daemon) -> Result<tokio::sync::RwLockWriteGuard<'_, ()>, Failure> {
    daemon.rotating.try_write().map_err(|_| match daemon.rotating.try_read() {
        Ok(_) => Failure::new(Exit::Waiting, "a deployer run is under way")
            .cause("it sets passwords itself, and would undo one half of a rotation")
            .state("nothing was changed by this command")
            .hint("try again when it has ended, which `donjon status` tells; the audit log names its process"),
        Err(_) => Failure::new(Exit::Conflict, "a rotation is under way in this daemon")
            .state("nothing was changed by this command")
            .hint("`donjon rotate status` shows it"),
    })
}

/// Refuses what would tell readers of another epoch while a deployer is pinned to one: its next lookup would end it half-way.
pub(in crate::daemon) async fn no_deployer(daemon: &Daemon) -> Result<(), Failure> {
    let here = deployer_runs(daemon);
    let elsewhere = if here { None } else { deployer_elsewhere(daemon).await? };
    if !here && elsewhere.is_none() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Waiting, "a deployer run is under way")
        .cause("it reads all of one epoch (`donjon run --deploy`), and what is stored now would end it half-way");
    failure.causes.extend(elsewhere.map(|broker| under(&broker)));
    Err(failure
        .state("nothing was stored")
        .hint("try again when it has ended, which `donjon status` tells there; the audit log names its process"))
}

/// The other broker under which a deployer runs.
async fn deployer_elsewhere(daemon: &Daemon) -> Result<Option<Broker>, Failure> {
    let seen = others::deployer(&*daemon.store()?, &daemon.layout, &daemon.id, Pace::USUAL).await;
    seen.map_err(|error| translate::store("cannot see whether a deployer runs", &error))
}

fn under(broker: &Broker) -> String {
    format!("it runs under another broker of this store, process {} on {}", broker.process(), broker.host())
}

/// Refuses this broker's `own` rotation, or a move of the authority, beside what another broker of the same store does: a deployer that sets passwords itself, or a rotation,
/// for of a group of services no two may restart at once.
pub(in crate::daemon) async fn others_rest(daemon: &Daemon, own: Option<&Journal>) -> Result<(), Failure> {
    let store = daemon.store()?;
    if let Some(broker) = deployer_elsewhere(daemon).await? {
        return Err(Failure::new(Exit::Waiting, "a deployer run is under way")
            .cause("it sets passwords itself, and would undo one half of a rotation")
            .cause(under(&broker))
            .state("nothing was changed by this command")
            .hint("try again when it has ended, which `donjon status` tells there"));
    }
    nobody_rotates(daemon, &*store, own).await
}

/// As [`others_rest`], of rotations alone.
pub(super) async fn nobody_rotates(daemon: &Daemon, store: &dyn Store, own: Option<&Journal>) -> Result<(), Failure> {
    let driven = others::rotation(store, &daemon.layout, &daemon.id, own, Pace::USUAL).await;
    let driven = driven.map_err(|error| translate::store("cannot see what other brokers rotate", &error))?;
    let Some(held) = driven else { return Ok(()) };
    Err(Failure::new(Exit::Conflict, format!("another broker rotates {} at this moment", held.journal.named()))
        .cause("two rotations at once could restart two members of a cluster at once")
        .state("nothing was changed by this command")
        .hint("`donjon rotate status` shows how far it is; try again when it has ended or waits"))
}

/// Whether a deployer run is under way: these share what a rotation has for itself.
pub(in crate::daemon) fn deployer_runs(daemon: &Daemon) -> bool {
    daemon.rotating.try_write().is_err() && daemon.rotating.try_read().is_ok()
}
