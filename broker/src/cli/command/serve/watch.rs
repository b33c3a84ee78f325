//! Taking over what changes while the reader serves: another bundle, other roles or consumers, a revocation, a new certificate.

use super::{
    held::Held,
    load::{Loaded, Origin, ROLES},
};
use crate::{
    cli::{command::import::now, show},
    failure::{Exit, Failure},
    reader::{Reader, Roles, server::Tls},
    transfer::standing::SOON,
};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

/// What a reload needs.
pub(super) struct Watched {
    pub(super) reader: Arc<Reader>,
    pub(super) folder: PathBuf,
    pub(super) origin: Arc<Origin>,
    pub(super) tls: Option<Tls>,
    pub(super) held: Arc<Held>,
}

/// The state of the files that are looked at: their inodes, and when each was changed, which nobody can set.
type Stamp = Vec<Mark>;
/// The same of one; `None` where it is not there.
type Mark = Option<(u64, i64, i64)>;

/// Looks at the files four times a second, and reads them again on SIGHUP.
pub(super) fn start(watched: Watched, loaded: Stamp, mut ends: Option<i64>) -> Result<JoinHandle<()>, Failure> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Failure::new(Exit::Bug, "cannot listen for signals").because(&error))?;
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(tokio::spawn(async move {
        let (mut seen, mut told, mut failed) = (Some(loaded), None, None::<Failed>);
        let mut obeyed = None;
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
            watched.obey(&mut obeyed).await;
            if asked {
                (seen, failed) = (None, None);
            }
            let found = Some(stamp(&watched.origin, &watched.folder));
            if found == seen {
                failed = None;
                continue;
            }
            let news = match &failed {
                None => true,
                Some(before) if before.stamp != found => true,
                Some(before) if before.at.elapsed() < AGAIN => continue,
                Some(_) => false,
            };
            if news {
                watched.renew_certificate();
            }
            match watched.reload_while(&mut tick, &mut obeyed).await {
                Ok(loaded) => (seen, ends, failed) = (found, loaded, None),
                Err(failure) => {
                    let gist = gist(&failure);
                    if news || failed.is_none_or(|before| before.gist != gist) {
                        anstream::eprintln!("{failure}");
                    }
                    failed = Some(Failed { gist, stamp: found, at: Instant::now() });
                }
            }
        }
    }))
}

/// What was not taken over, and is tried again: a folder that was busy says nothing once it is that no longer.
struct Failed {
    gist: String,
    stamp: Option<Stamp>,
    at: Instant,
}

/// What was said, without the numbers in it: the seconds since something do not make it another failure.
fn gist(failure: &Failure) -> String {
    failure.to_string().replace(|letter: char| letter.is_ascii_digit(), "")
}

impl Watched {
    /// What was served is served on until the new is whole, and where it is not. When the new ends, where it was taken over.
    /// Revocations are obeyed meanwhile: what is loaded may wait for whoever else is at the folder.
    async fn reload_while(&self, tick: &mut Interval, obeyed: &mut Option<Mark>) -> Result<Option<i64>, Failure> {
        let mut reload = pin!(self.reload());
        loop {
            tokio::select! {
                loaded = &mut reload => {
                    // The roles that it was told of are no longer those that are served.
                    *obeyed = None;
                    return loaded;
                }
                _ = tick.tick() => self.obey(obeyed).await,
            }
        }
    }

    /// Takes over what was revoked, whatever else there is to read. What cannot be read is read again, and the reload says why.
    async fn obey(&self, obeyed: &mut Option<Mark>) {
        let file = self.folder.join(ROLES);
        let found = mark(&file);
        // Where there is no such file, the reload makes it anew.
        if *obeyed == Some(found) || found.is_none() {
            return;
        }
        let (reader, held) = (Arc::clone(&self.reader), Arc::clone(&self.held));
        let taken = tokio::task::spawn_blocking(move || {
            let kept = Roles::read(&file).ok()?;
            reader.obey(&kept);
            held.tell(&reader).ok()
        });
        if taken.await.is_ok_and(|taken| taken.is_some()) {
            *obeyed = Some(found);
        }
    }

    async fn reload(&self) -> Result<Option<i64>, Failure> {
        let (folder, origin) = (self.folder.clone(), Arc::clone(&self.origin));
        let loaded = tokio::task::spawn_blocking(move || origin.load(&folder)).await;
        let loaded = loaded.unwrap_or_else(|_| {
            Err(Failure::new(Exit::Bug, "reading the node's folder again was cut off").state("all is served as before"))
        });
        let Loaded { mut source, ends, .. } = loaded?;
        // A revocation that came after they were read, and was obeyed already, is not taken back.
        if let Ok(kept) = Roles::read(&self.folder.join(ROLES)) {
            source.roles = source.roles.as_kept(&kept);
        }
        self.reader.replace(source);
        Ok(ends)
    }

    fn renew_certificate(&self) {
        if let Some(Err(error)) = self.tls.as_ref().map(Tls::renew) {
            anstream::eprintln!("error: the certificate is not renewed: {error}");
        }
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
    origin.files(folder).iter().map(|file| mark(file)).collect()
}

fn mark(file: &Path) -> Mark {
    let found = std::fs::metadata(file).ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}

/// In seconds.
const DAY: i64 = 86_400;
const LOOK: Duration = Duration::from_millis(250);
/// After how long what was not taken over is tried again.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;
    use donjon_drivers::fs;

    #[test]
    fn a_bundle_is_spoken_of_a_month_before_its_end_and_after_it() {
        let now = 1_800_000_000;
        assert_eq!(end(now + SOON, now), None);
        let soon = end(now + SOON - 1, now).unwrap();
        assert!(soon.starts_with("warning: ") && soon.contains("2027-02-14"), "{soon}");
        assert!(end(now, now).unwrap().starts_with("warning: "), "the last second is one of it");
        assert!(end(now - 1, now).unwrap().starts_with("error: "));
    }

    #[test]
    fn a_certificate_that_a_role_is_for_is_looked_at_as_the_file_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let origin = Origin::Daemon(Home::at(folder.join("home")));
        let write = |name: &str, text: &str| fs::replace(&folder.join(name), text.as_bytes()).unwrap();
        write("consumers.yaml", "a: {certificates: [a.pem, sub.pem], reads: [x]}");
        write("a.pem", "one");
        let mut before = stamp(&origin, folder);
        assert_eq!(stamp(&origin, folder), before, "the control");
        for change in ["a.pem", "sub.pem"] {
            write(change, "another");
            let after = stamp(&origin, folder);
            assert_ne!(after, before, "{change}");
            before = after;
        }
        write("other.pem", "one");
        assert_eq!(stamp(&origin, folder), before);
    }
}
