//! Deployer runs: while one is under way, no rotation begins, and its lookups are pinned to one epoch.

use super::{Daemon, lookup, rotate, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    records::epoch,
    rotation::{heartbeat::Pace, journal::Held, others::Deployer},
};
use donjon_drivers::store::Store;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::{Value, json};
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::{OwnedRwLockReadGuard, oneshot};

/// Begins a run, which lasts as long as the process that asked for it, whatever that one becomes and however it ends. What it
/// starts and leaves behind does not keep it.
pub async fn begin(daemon: &Arc<Daemon>, actor: Actor) -> Result<Value, Failure> {
    let unwatched = |error: std::io::Error| {
        Failure::new(Exit::Failed, "cannot see when the deployer ends")
            .because(&error)
            .state("the deployer was not started")
            .hint("run it where the daemon sees its process: not from a container with processes of its own")
    };
    let process = Pid::from_raw(actor.pid).ok_or_else(|| unwatched(std::io::ErrorKind::NotFound.into()))?;
    let process = pidfd_open(process, PidfdFlags::empty()).map_err(|error| unwatched(error.into()))?;
    let (run, announced) = Run::begin(daemon, actor).await?;
    let described = json!({"epoch": run.epoch});
    let (alive, mut ended) = oneshot::channel::<()>();
    // A thread, which ends with the process that it waits for, or with this one.
    let watch = std::thread::Builder::new().name("deployer".to_owned());
    let watch = watch.spawn(move || {
        // Readable once it has ended.
        while let Err(Errno::INTR) = poll(&mut [PollFd::new(&process, PollFlags::IN)], None) {}
        drop(alive);
    });
    watch.map_err(unwatched)?;
    let reader = daemon.clone();
    tokio::spawn(async move {
        if let Err(failure) = lookup::ahead(&reader).await {
            // Those who ask hear why.
            tracing::debug!(%failure, "nothing was read ahead for a deployer's run");
        }
    });
    let mut ending = daemon.ending.subscribe();
    tokio::spawn(async move {
        let store = run.store.clone();
        let runs = async move {
            tokio::select! {
                _ = &mut ended => {}
                _ = ending.changed() => {}
            }
            drop(run);
        };
        announced.beating(&*store, Pace::USUAL, runs).await;
        announced.ended(&*store).await;
    });
    Ok(described)
}

/// A run that is under way; it ends when dropped.
struct Run {
    daemon: Arc<Daemon>,
    actor: Actor,
    epoch: u64,
    store: Arc<dyn Store>,
    _held: Shared,
}

/// What a rotation has for itself, shared by deployer runs, which are counted.
struct Shared {
    daemon: Arc<Daemon>,
    _lock: OwnedRwLockReadGuard<()>,
}

impl Shared {
    /// `None` while a rotation has it, and not only for a moment.
    async fn take(daemon: &Arc<Daemon>) -> Option<Self> {
        let lock = rotate::soon(|| daemon.rotating.clone().try_read_owned().ok()).await?;
        daemon.deployers.fetch_add(1, Ordering::SeqCst);
        Some(Self { daemon: daemon.clone(), _lock: lock })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.daemon.deployers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Run {
    /// Begins one, unless a rotation is under way or was interrupted: a deployer would set one of its two values everywhere.
    async fn begin(daemon: &Arc<Daemon>, actor: Actor) -> Result<(Self, Deployer), Failure> {
        let waiting = |why: &str| {
            Failure::new(Exit::Waiting, why)
                .state("the deployer was not started")
                .hint("`donjon rotate status` shows it")
        };
        let held = Shared::take(daemon).await;
        let held = held.ok_or_else(|| waiting("a rotation is under way in this daemon"))?;
        let store = daemon.store()?;
        // Before the look at the mark: who moves the authority writes that first, and then looks for deployers. One of the two sees
        // the other.
        let announced = Deployer::announce(&*store, &daemon.layout, &daemon.id).await;
        let announced = announced.map_err(|error| translate::store("cannot tell other brokers of the run", &error))?;
        let looked = async {
            super::transfer::authority_stays(daemon).await?;
            let journals = Held::unfinished(&*store, &daemon.layout)
                .await
                .map_err(|error| translate::store("cannot read the journals", &error))?;
            if let Some(unfinished) = journals.first() {
                let failure = waiting(&format!("the rotation of {} has not ended", unfinished.journal.named()));
                return Err(failure.hint("`donjon rotate resume` goes on with it"));
            }
            let epoch = epoch::read(&*store, &daemon.layout)
                .await
                .map_err(|error| translate::store("cannot read the epoch", &error))?;
            daemon.record(actor, Act::Deploy, &[], Outcome::Intent)?;
            Ok(epoch)
        };
        match looked.await {
            Ok(epoch) => Ok((Self { daemon: daemon.clone(), actor, epoch, store, _held: held }, announced)),
            Err(failure) => {
                announced.ended(&*store).await;
                Err(failure)
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Err(failure) = self.daemon.record(self.actor, Act::Deploy, &[], Outcome::Done) {
            tracing::error!(%failure, "the end of a deployer run could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::tests::{Done, Scene, Told},
        rotation::Journal,
    };
    use donjon_policies::transition::Path;
    use std::time::Duration;

    #[tokio::test]
    async fn a_deployer_is_announced_before_it_looks_where_the_authority_is() {
        let told = Arc::new(Told::default());
        let scene = Scene::on(told.clone());
        let (_run, _announced) = Run::begin(&scene.daemon, Actor::own()).await.ok().unwrap();
        let at = |wanted: &dyn Fn(&Done) -> bool| told.done().iter().position(wanted);
        let announced = at(&|done| matches!(done, Done::Written(path) if path.as_str().contains("/deployers/")));
        let looked = at(&|done| matches!(done, Done::Read(path) if path.as_str().ends_with("/authority")));
        assert!(announced.zip(looked).is_some_and(|(announced, looked)| announced < looked), "{:?}", told.done());
    }

    #[tokio::test]
    async fn a_deployer_that_is_refused_is_announced_no_more() {
        let scene = Scene::new();
        let store = scene.daemon.store().unwrap();
        let journal = Journal::new("x.1".to_owned(), Path::Overlap, Vec::new(), &scene.daemon.id.to_string(), 0);
        Held::create(&*store, &scene.daemon.layout, journal).await.unwrap();
        assert!(Run::begin(&scene.daemon, Actor::own()).await.is_err());
        let others = Scene::on(store.clone());
        let runs = rotate::deployer_elsewhere(&others.daemon, &*store).await.unwrap();
        assert!(runs.is_none(), "{runs:?}");
    }

    #[tokio::test]
    async fn what_is_held_for_a_moment_keeps_no_deployer_from_beginning() {
        let scene = Scene::new();
        let held = scene.daemon.rotating.try_write().unwrap();
        let lets_go = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(held);
        };
        let (begun, ()) = tokio::join!(Run::begin(&scene.daemon, Actor::own()), lets_go);
        assert!(begun.is_ok());
    }
}
