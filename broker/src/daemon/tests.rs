//! A daemon without a process of its own, for what is decided in the daemon alone: a store in memory, a home of its own.

use super::Daemon;
use crate::{audit::Log, home::Home, lifecycle::Backing, records::Layout};
use donjon_drivers::store::{Store, memory::Memory};
use std::{sync::Arc, time::Duration};

/// A daemon, for as long as its home is there.
pub(super) struct Scene {
    pub(super) daemon: Arc<Daemon>,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// With an empty store.
    pub(super) fn new() -> Self {
        Self::on(Arc::new(Memory::default()))
    }

    /// On a store that others may have, too.
    pub(super) fn on(store: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        home.make().unwrap();
        let layout = Layout::new(crate::config::deployment(&home).unwrap().deployment).unwrap();
        let audit = Log::open(&home.audit()).unwrap();
        let daemon = Daemon::new(home, layout, audit, Backing::Folder { store }, Duration::ZERO);
        Self { daemon: Arc::new(daemon), _folder: folder }
    }
}
