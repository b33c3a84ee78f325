//! Taking over what changes while the reader serves: another bundle, other roles or consumers, a revocation, a new certificate.

use super::load::Origin;
use crate::{
    failure::{Exit, Failure},
    reader::{Reader, server::Tls},
};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// What a reload needs.
pub(super) struct Watched {
    pub(super) reader: Arc<Reader>,
    pub(super) folder: PathBuf,
    pub(super) origin: Arc<Origin>,
    pub(super) tls: Option<Tls>,
}

/// The state of the files that are looked at: their inodes and times.
type Stamp = Vec<Option<(u64, i64, i64)>>;

/// Looks at the files four times a second, and reads them again on SIGHUP.
pub(super) fn start(watched: Watched, loaded: Stamp) -> Result<JoinHandle<()>, Failure> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Failure::new(Exit::Bug, "cannot listen for signals").because(&error))?;
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(tokio::spawn(async move {
        let mut seen = loaded;
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = tick.tick() => false,
            };
            let now = stamp(&watched.origin, &watched.folder);
            if asked || now != seen {
                seen = now;
                watched.reload().await;
            }
        }
    }))
}

impl Watched {
    /// What was served is served on until the new is whole, and where it is not.
    async fn reload(&self) {
        let (folder, origin) = (self.folder.clone(), Arc::clone(&self.origin));
        match tokio::task::spawn_blocking(move || origin.load(&folder)).await {
            Ok(Ok(loaded)) => self.reader.replace(loaded.source),
            Ok(Err(failure)) => anstream::eprintln!("{failure}"),
            Err(_) => anstream::eprintln!("error: reading the node's folder again was cut off"),
        }
        if let Some(Err(error)) = self.tls.as_ref().map(Tls::renew) {
            anstream::eprintln!("error: the certificate is not renewed: {error}");
        }
    }
}

/// How the files stand.
pub(super) fn stamp(origin: &Origin, folder: &Path) -> Stamp {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    };
    origin.files(folder).iter().map(of).collect()
}

const LOOK: Duration = Duration::from_millis(250);
