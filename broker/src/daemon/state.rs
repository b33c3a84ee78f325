//! What the daemon holds: its home, its store once it is open, the audit log, and whether it is to end.

use super::translate;
use crate::{
    audit::{Act, Actor, Log, Outcome},
    failure::{Exit, Failure},
    home::Home,
    records::Layout,
};
use donjon_drivers::store::Store;
use donjon_policies::{deployment::Deployment, name::SecretName};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// The daemon.
pub struct Daemon {
    /// Where its files are.
    pub home: Home,
    /// Where its records are.
    pub layout: Layout,
    /// This process, as journals name it.
    pub id: String,
    /// Held while a rotation is driven: one at a time.
    pub rotating: tokio::sync::Mutex<()>,
    /// Its audit log.
    pub audit: Log,
    /// Wakes the accept loop to end.
    pub ending: Notify,
    holding: RwLock<Holding>,
}

/// The store, as far as it is open.
#[derive(Clone)]
pub enum Holding {
    /// It waits for unseal shares.
    Sealed {
        /// How many it needs.
        needed: u32,
        /// How many it has.
        got: u32,
    },
    /// It is open.
    Open(Arc<dyn Store>),
}

impl Daemon {
    /// A daemon whose store is in some state.
    pub fn new(home: Home, layout: Layout, audit: Log, holding: Holding) -> Self {
        let id = format!("{:016x}", rand::random::<u64>());
        Self {
            home,
            layout,
            id,
            rotating: tokio::sync::Mutex::new(()),
            audit,
            ending: Notify::new(),
            holding: RwLock::new(holding),
        }
    }

    /// The store as it is now.
    pub fn holding(&self) -> Holding {
        self.holding.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The store has changed its state.
    pub fn hold(&self, holding: Holding) {
        *self.holding.write().unwrap_or_else(PoisonError::into_inner) = holding;
    }

    /// The open store, or why there is none.
    pub fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        match self.holding() {
            Holding::Open(store) => Ok(store),
            Holding::Sealed { needed, got } => Err(Failure::new(Exit::Unavailable, "the store is sealed")
                .cause(format!("{got} of {needed} unseal shares were given"))
                .state("nothing is lost")
                .hint("custodians: `donjon unseal -i IDENTITY`")),
        }
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
}
