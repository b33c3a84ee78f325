//! What the daemon holds: its home, what stands behind its store, the audit log, and whether it is to end.

use super::{callers::KnownCallers, translate};
use crate::{
    audit::{About, Act, Actor, Log, Outcome},
    cache::{Announcing, Cache, readers, watch::Behind},
    config::Understood,
    failure::{Exit, Failure},
    generation::Reserve,
    home::Home,
    lifecycle::Backing,
    records::Layout,
    rotation::heartbeat::Broker,
};
use donjon_drivers::store::Store;
use donjon_policies::{deployment::Deployment, name::SecretName};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicUsize},
    time::Duration,
};
use tokio::sync::{RwLock, watch};

/// The daemon.
pub struct Daemon {
    /// Where its files are.
    pub home: Home,
    /// Where its records are.
    pub layout: Layout,
    /// This process, as journals name it.
    pub id: Broker,
    /// Held by the one rotation that is driven, or shared by the deployer runs that are under way.
    pub rotating: Arc<RwLock<()>>,
    /// The journal of the rotation that is driven at this moment.
    pub driven: Mutex<Option<String>>,
    /// The deployer runs that are under way: who merely looks at the lock holds it for a moment, too.
    pub deployers: AtomicUsize,
    /// Held by what only the authority does, and alone by what moves the authority.
    pub moving: RwLock<()>,
    /// Its audit log.
    pub audit: Log,
    /// What stands behind its store.
    pub backing: Backing,
    /// The values that it has read, under a lease.
    pub cache: Arc<Cache>,
    /// Key pairs that were begun before anybody asked.
    pub reserve: Reserve,
    /// Who else may read.
    pub callers: KnownCallers,
    /// Whether it is to end.
    pub ending: watch::Sender<Ending>,
    /// The deployment file.
    understood: Understood,
    /// Where it listens for others than its owner.
    lookup_socket: OnceLock<PathBuf>,
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
    /// A daemon with an open or sealed store. Values that it reads are kept under this lease.
    pub fn new(home: Home, layout: Layout, audit: Log, backing: Backing, lease: Duration) -> Self {
        let id = Broker::own();
        let (reader, lease) = match readers::identity(&home) {
            Ok(reader) => (reader, lease.min(readers::LONGEST)),
            Err(error) => {
                tracing::warn!(%error, "nothing is kept in memory");
                (String::new(), Duration::ZERO)
            }
        };
        let cache = Arc::new(Cache::new(layout.clone(), reader, lease));
        let ending = watch::Sender::new(Ending::No);
        Self {
            home,
            layout,
            id,
            rotating: Arc::default(),
            driven: Mutex::default(),
            deployers: AtomicUsize::new(0),
            moving: RwLock::default(),
            audit,
            backing,
            cache,
            reserve: Reserve::default(),
            callers: KnownCallers::default(),
            ending,
            understood: Understood::default(),
            lookup_socket: OnceLock::new(),
        }
    }

    /// Remembers where it listens for others than its owner, for as long as it lives.
    pub fn listens_at(&self, lookup_socket: Option<PathBuf>) {
        if let Some(path) = lookup_socket {
            // It listens at one place, named once.
            let _ = self.lookup_socket.set(path);
        }
    }

    /// The lookup socket that the deployment file asks for by now and that is not open.
    pub fn missing_lookup_socket(&self) -> Option<PathBuf> {
        let wanted = self.deployment().ok()?.lookup_socket().map(PathBuf::from)?;
        (self.lookup_socket.get() != Some(&wanted)).then_some(wanted)
    }

    /// The open store, or why there is none. What is written through it is forgotten by the cache.
    pub fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        Ok(Arc::new(Announcing::new(self.backing.store()?, self.cache.clone())))
    }

    /// What stands behind the cache.
    pub fn behind(&self) -> Behind {
        match self.backing.store() {
            Ok(store) => Behind::Store(store),
            Err(_) if self.backing.sealing().is_some() => Behind::Closed,
            Err(_) => Behind::Away,
        }
    }

    /// The deployment file as it is now.
    pub fn deployment(&self) -> Result<Arc<Deployment>, Failure> {
        let deployment = self.understood.deployment(&self.home)?;
        if deployment.deployment == *self.layout.deployment() {
            return Ok(deployment);
        }
        Err(Failure::new(Exit::Usage, format!("the deployment file now names `{}`", deployment.deployment))
            .cause(format!("this daemon was started for `{}`", self.layout.deployment()))
            .hint("put the name back: what is stored stands under it; another deployment has a DONJON_HOME of its own"))
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
