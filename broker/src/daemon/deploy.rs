//! Deployer runs: while one is under way, no rotation begins, and its lookups are pinned to one epoch.

use super::{Daemon, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    records::epoch,
    rotation::journal::Held,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::OwnedRwLockReadGuard;

/// A run that is under way; it ends when dropped.
pub struct Run {
    daemon: Arc<Daemon>,
    actor: Actor,
    epoch: u64,
    _held: OwnedRwLockReadGuard<()>,
}

impl Run {
    /// Begins one, unless a rotation is under way or was interrupted: a deployer would set one of its two values everywhere.
    pub async fn begin(daemon: &Arc<Daemon>, actor: Actor) -> Result<Self, Failure> {
        let waiting = |why: &str| {
            Failure::new(Exit::Waiting, why)
                .state("the deployer was not started")
                .hint("`donjon rotate status` shows it")
        };
        let held =
            daemon.rotating.clone().try_read_owned().map_err(|_| waiting("a rotation is under way in this daemon"))?;
        let store = daemon.store()?;
        super::transfer::authority_is_here(daemon).await?;
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
        Ok(Self { daemon: daemon.clone(), actor, epoch, _held: held })
    }

    /// What the caller is told.
    pub fn described(&self) -> Value {
        json!({"epoch": self.epoch})
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Err(failure) = self.daemon.record(self.actor, Act::Deploy, &[], Outcome::Done) {
            tracing::error!(%failure, "the end of a deployer run could not be recorded");
        }
    }
}
