//! One at a time: rotations, deployer runs, and what else would move the epoch under one, here and at the other brokers of the
//! same store.

use crate::{
    daemon::{Daemon, translate},
    failure::{Exit, Failure},
    rotation::{
        heartbeat::{Broker, Pace},
        journal::Journal,
        others::{self, Other},
    },
};
use donjon_drivers::store::Store;
use std::{sync::atomic::Ordering, time::Duration};

/// One rotation at a time in one broker, and none while a deployer sets passwords of its own. It is tried for a moment: who
/// merely looks whether the lock is free holds it as well, and the end of a deployer is seen a little after it.
pub(in crate::daemon) async fn alone(daemon: &Daemon) -> Result<tokio::sync::RwLockWriteGuard<'_, ()>, Failure> {
    if let Some(own) = soon(|| daemon.rotating.try_write().ok()).await {
        return Ok(own);
    }
    Err(match deployer_runs(daemon) {
        true => deploys(SETS_PASSWORDS)
            .state("nothing was changed by this command")
            .hint("try again when it has ended, which `donjon status` tells; the audit log names its process"),
        false => Failure::new(Exit::Conflict, "a rotation is under way in this daemon")
            .state("nothing was changed by this command")
            .hint("`donjon rotate status` shows it"),
    })
}

/// What is there now, or in a moment.
pub(in crate::daemon) async fn soon<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return Some(found);
        }
        tokio::time::sleep(A_MOMENT).await;
    }
    None
}

/// How often, and how long between two.
const LOOKS: usize = 50;
const A_MOMENT: Duration = Duration::from_millis(5);

/// Refuses what would tell readers of another epoch while a deployer is pinned to one: its next lookup would end it half-way.
pub(in crate::daemon) async fn no_deployer(daemon: &Daemon) -> Result<(), Failure> {
    let here = deployer_stays(daemon).await;
    let elsewhere = if here { None } else { deployer_elsewhere(daemon, &*daemon.store()?).await? };
    if !here && elsewhere.is_none() {
        return Ok(());
    }
    let mut failure =
        deploys("it reads all of one epoch (`donjon run --deploy`), and what is stored now would end it half-way");
    failure.causes.extend(elsewhere.map(|broker| under(&broker)));
    Err(failure
        .state("nothing was stored")
        .hint("try again when it has ended, which `donjon status` tells there; the audit log names its process"))
}

/// Why something waits: a deployer runs, and this is what that means for it.
pub(in crate::daemon) fn deploys(why: &str) -> Failure {
    Failure::new(Exit::Waiting, "a deployer run is under way").cause(why)
}

const SETS_PASSWORDS: &str = "it sets passwords itself, and would undo one half of a rotation";

/// The other broker under which a deployer runs.
pub(in crate::daemon) async fn deployer_elsewhere(
    daemon: &Daemon,
    store: &dyn Store,
) -> Result<Option<Broker>, Failure> {
    let seen = others::deployer(store, &daemon.layout, &daemon.id, Pace::USUAL).await;
    seen.map_err(|error| translate::store("cannot see whether a deployer runs", &error))
}

/// Where it runs, for messages.
pub(in crate::daemon) fn under(broker: &Broker) -> String {
    format!("it runs under another broker of this store, process {} on {}", broker.process(), broker.host())
}

/// Refuses this broker's `own` rotation, or a move of the authority, beside what another broker of the same store does: a
/// deployer that sets passwords itself, or a rotation, for of a group of services no two may restart at once.
pub(in crate::daemon) async fn others_rest(daemon: &Daemon, own: Option<&Journal>) -> Result<(), Failure> {
    let store = daemon.store()?;
    if let Some(broker) = deployer_elsewhere(daemon, &*store).await? {
        return Err(deploys(SETS_PASSWORDS)
            .cause(under(&broker))
            .state("nothing was changed by this command")
            .hint("try again when it has ended, which `donjon status` tells there"));
    }
    nobody_rotates(daemon, &*store, own).await
}

/// As [`others_rest`], of rotations alone.
pub(super) async fn nobody_rotates(daemon: &Daemon, store: &dyn Store, own: Option<&Journal>) -> Result<(), Failure> {
    let other = others::rotation(store, &daemon.layout, &daemon.id, own, Pace::USUAL).await;
    let other = other.map_err(|error| translate::store("cannot see what other brokers rotate", &error))?;
    other.map_or(Ok(()), |other| Err(refused(&other)))
}

fn refused(other: &Other) -> Failure {
    let failure = match other {
        Other::Driven(held) => {
            Failure::new(Exit::Conflict, format!("another broker rotates {} at this moment", held.journal.named()))
                .hint("`donjon rotate status` shows how far it is; try again when it has ended or waits")
        }
        Other::Begun(held) => {
            let first = held.journal.names().first().map(|name| format!(" {name}")).unwrap_or_default();
            let what = format!("a rotation of {} has begun, and nobody may be driving it", held.journal.named());
            Failure::new(Exit::Waiting, what)
                .cause(format!("{} began it, and has said nothing for as long as was waited for", held.journal.broker))
                .hint(format!("`donjon rotate resume{first}` goes on with it, `donjon rotate abort{first}` lets go"))
        }
    };
    failure
        .cause("two rotations at once could restart two members of a cluster at once")
        .state("nothing was changed by this command")
}

/// As [`deployer_runs`], a little later where one does: the end of a process is seen here a moment after whoever waited for it
/// has gone on to the next command.
pub(in crate::daemon) async fn deployer_stays(daemon: &Daemon) -> bool {
    soon(|| (!deployer_runs(daemon)).then_some(())).await.is_none()
}

/// Whether neither a rotation nor a deployer run is under way here. Who looks keeps no deployer from beginning meanwhile.
pub(in crate::daemon) fn is_free(daemon: &Daemon) -> bool {
    !deployer_runs(daemon) && daemon.rotating.try_read().is_ok()
}

/// Whether a deployer run is under way here.
pub(in crate::daemon) fn deployer_runs(daemon: &Daemon) -> bool {
    daemon.deployers.load(Ordering::SeqCst) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{records::Layout, rotation::journal::Held};
    use donjon_drivers::store::memory::Memory;
    use donjon_policies::transition::Path;

    #[tokio::test]
    async fn one_that_nobody_may_be_driving_is_told_as_that_with_what_ends_it() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let held = async |id: &str| {
            let journal = Journal::new(id.to_owned(), Path::Overlap, Vec::new(), &Broker::own().to_string(), 0);
            Held::create(&store, &layout, journal).await.unwrap()
        };
        let (driven, begun) = (refused(&Other::Driven(held("a").await)), refused(&Other::Begun(held("b").await)));
        assert_eq!((driven.code, begun.code), (Exit::Conflict, Exit::Waiting));
        assert!(begun.hint.unwrap().starts_with("`donjon rotate resume"), "what it waits for is a person");
    }
}
