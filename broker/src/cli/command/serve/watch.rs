//! Taking over what changes while the reader serves: another bundle, other roles or consumers, a revocation, a new certificate.

use super::load::Origin;
use crate::{
    cli::{command::import::now, show},
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
pub(super) fn start(watched: Watched, loaded: Stamp, mut ends: Option<i64>) -> Result<JoinHandle<()>, Failure> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Failure::new(Exit::Bug, "cannot listen for signals").because(&error))?;
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(tokio::spawn(async move {
        let (mut seen, mut told) = (loaded, None);
        loop {
            // Once a day, and of each bundle that is taken over.
            let day = Some((ends, now() / DAY));
            if told != day {
                told = day;
                if let Some(end) = ends.and_then(|ends| end(ends, now())) {
                    anstream::eprintln!("{end}");
                }
            }
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = tick.tick() => false,
            };
            let found = stamp(&watched.origin, &watched.folder);
            if asked || found != seen {
                seen = found;
                if let Some(loaded) = watched.reload().await {
                    ends = loaded;
                }
            }
        }
    }))
}

impl Watched {
    /// What was served is served on until the new is whole, and where it is not. When the new ends, where it was taken over.
    async fn reload(&self) -> Option<Option<i64>> {
        let (folder, origin) = (self.folder.clone(), Arc::clone(&self.origin));
        let mut ends = None;
        match tokio::task::spawn_blocking(move || origin.load(&folder)).await {
            Ok(Ok(loaded)) => {
                ends = Some(loaded.ends);
                self.reader.replace(loaded.source);
            }
            Ok(Err(failure)) => anstream::eprintln!("{failure}"),
            Err(_) => anstream::eprintln!("error: reading the node's folder again was cut off"),
        }
        if let Some(Err(error)) = self.tls.as_ref().map(Tls::renew) {
            anstream::eprintln!("error: the certificate is not renewed: {error}");
        }
        ends
    }
}

/// What is said of a bundle that ends soon, or has ended.
fn end(ends: i64, now: i64) -> Option<String> {
    let day = show::time(ends);
    match ends - now {
        left if left < 0 => Some(format!(
            "error: the bundle was good until {day}: nothing is answered any more\nhint: import a newer one; `donjon export bundle` makes it at the authority"
        )),
        left if left < SOON => Some(format!(
            "warning: the bundle is good until {day}; nothing is answered then\nhint: import a newer one; `donjon export bundle` makes it at the authority"
        )),
        _ => None,
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

/// In seconds.
const DAY: i64 = 86_400;
/// A bundle that ends within this is spoken of, in seconds.
const SOON: i64 = 30 * DAY;
const LOOK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_spoken_of_a_month_before_its_end_and_after_it() {
        let now = 1_800_000_000;
        assert_eq!(end(now + SOON, now), None);
        let soon = end(now + SOON - 1, now).unwrap();
        assert!(soon.starts_with("warning: ") && soon.contains("2027-02-14"), "{soon}");
        assert!(end(now, now).unwrap().starts_with("warning: "), "the last second is one of it");
        assert!(end(now - 1, now).unwrap().starts_with("error: "));
    }
}
