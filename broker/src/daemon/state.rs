//! What the daemon holds: its home, what stands behind its store, the audit log, and whether it is to end.

use super::translate;
use crate::{
    audit::{About, Act, Actor, Log, Outcome},
    failure::{Exit, Failure},
    home::Home,
    lifecycle::Backing,
    records::Layout,
};
use donjon_drivers::store::Store;
use donjon_policies::{deployment::Deployment, name::SecretName};
use std::sync::Arc;
use tokio::sync::{RwLock, watch};

/// The daemon.
pub struct Daemon {
    /// Where its files are.
    pub home: Home,
    /// Where its records are.
    pub layout: Layout,
    /// This process, as journals name it.
    pub id: String,
    /// Held by the one rotation that is driven, or shared by the deployer runs that are under way.
    pub rotating: Arc<RwLock<()>>,
    /// Held by what only the authority does, and alone by what moves the authority.
    pub moving: RwLock<()>,
    /// Its audit log.
    pub audit: Log,
    /// What stands behind its store.
    pub backing: Backing,
    /// Whether it is to end.
    pub ending: watch::Sender<Ending>,
}

/// Whether the daemon is to end, and what becomes of what it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    No,
    /// It ends, and stops what it has started; a later `up` brings that back.
    Stop,
    /// It ends, and what it has started is destroyed already.
    Destroyed,
}

impl Daemon {
    /// A daemon with an open or sealed store.
    pub fn new(home: Home, layout: Layout, audit: Log, backing: Backing) -> Self {
        let id = format!("{:016x}", rand::random::<u64>());
        Self {
            home,
            layout,
            id,
            rotating: Arc::default(),
            moving: RwLock::default(),
            audit,
            backing,
            ending: watch::Sender::new(Ending::No),
        }
    }

    /// The open store, or why there is none.
    pub fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        self.backing.store()
    }

    /// The deployment file as it is now.
    pub fn deployment(&self) -> Result<Deployment, Failure> {
        let deployment = crate::config::deployment(&self.home)?;
        if deployment.deployment == *self.layout.deployment() {
            return Ok(deployment);
        }
        Err(Failure::new(Exit::Usage, format!("the deployment file now names `{}`", deployment.deployment))
            .cause(format!("this daemon was started for `{}`", self.layout.deployment()))
            .hint("`donjon down`, then `donjon up`, or put the name back"))
    }

    /// Writes an audit line; without it nothing may be done.
    pub fn record(&self, actor: Actor, act: Act, names: &[SecretName], outcome: Outcome) -> Result<(), Failure> {
        self.audit.record(actor, act, names.to_vec(), outcome).map_err(|error| translate::audit(&error))
    }

    /// As [`Self::record`], with all that a line can say.
    pub fn record_about(&self, actor: Actor, act: Act, about: About, outcome: Outcome) -> Result<(), Failure> {
        self.audit.record_about(actor, act, about, outcome).map_err(|error| translate::audit(&error))
    }
}
