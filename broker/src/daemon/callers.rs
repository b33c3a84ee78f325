//! The lookup socket: any user of the host may connect, and reads what a role grants, known by the kernel alone.

use super::{
    Daemon,
    kept::{self, Sent},
    lookup::{self, Answered, Caller, Wanted},
    start::NOT_STARTED,
};
use crate::{
    audit::{About, Act, Outcome},
    callers::{Accounts, Callers, GROUPS, Limits, Peer, Standing, USERS, Within},
    config, descriptors,
    failure::{Exit, Failure},
    socket::{
        client::only_reading,
        frame::{FrameError, Message},
        message::{Answer, Request},
        open::{self, OpenError},
    },
};
use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    time::timeout,
};

/// The open lookup socket.
pub struct Listening {
    listener: UnixListener,
    path: PathBuf,
}

/// Who may read, as the deployment file said when it was last read.
#[derive(Default)]
pub struct KnownCallers(Mutex<Option<Known>>);

struct Known {
    mark: Mark,
    callers: Result<Arc<Callers>, Failure>,
    at: Instant,
}

/// By what a changed file is known. Files are replaced whole.
type Mark = Vec<(u64, i64, i64, u64)>;

impl Listening {
    /// Opens it in a folder that others pass through and cannot list.
    pub fn bind(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Failed, format!("cannot open the lookup socket {}", path.display()))
                .because(&error)
                .state(NOT_STARTED)
                .hint("`lookup_socket` in donjon.yaml names another place")
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o711).create(folder).map_err(failed)?;
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(Failure::new(Exit::Conflict, format!("another daemon listens at {}", path.display()))
                .state(NOT_STARTED)
                .hint("`lookup_socket` in donjon.yaml names another place"));
        }
        let listener = open::open(path).map_err(|error| match error {
            OpenError::Folder { .. } => Failure::new(Exit::NotAllowed, error.to_string())
                .cause("whoever writes there could listen in the broker's place")
                .state(NOT_STARTED)
                .hint("`lookup_socket` in donjon.yaml names another place"),
            OpenError::Io { source, .. } => failed(source),
        })?;
        Ok(Self { listener: UnixListener::from_std(listener).map_err(failed)?, path: path.to_path_buf() })
    }

    /// Serves until the end is told, and then until requests under way are answered.
    pub async fn serve(self, daemon: Arc<Daemon>, mut end: watch::Receiver<()>) {
        let limits = Arc::new(Limits::within(descriptors::connections()));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = end.changed() => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, or a peer that was gone at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(peer) = Peer::of(&stream) else { continue };
            // Where it cannot be told who may read, everybody is a stranger.
            let standing = daemon.callers.current(&daemon).map_or(Standing::Stranger, |known| known.standing(&peer));
            let Some(within) = limits.connect(peer.uid, standing, Instant::now()) else { continue };
            let (daemon, end) = (daemon.clone(), end.clone());
            tokio::spawn(async move {
                if let Err(error) = connection(&daemon, &peer, &within, stream, end).await {
                    tracing::debug!(%error, "a caller's connection ended early");
                }
            });
        }
        // It may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn connection(
    daemon: &Daemon,
    peer: &Peer,
    within: &Within,
    mut stream: UnixStream,
    mut end: watch::Receiver<()>,
) -> Result<(), FrameError> {
    let mut patience = FIRST_PATIENCE;
    let longest = match within.standing() {
        Standing::Known => LONGEST,
        Standing::Stranger => LONGEST_OF_A_STRANGER,
    };
    loop {
        let received = tokio::select! {
            // What was asked before the end is answered.
            biased;
            received = timeout(patience, Message::receive_within(&mut stream, longest, 0)) => received,
            _ = end.changed() => return Ok(()),
        };
        let message = match received {
            Ok(Ok(message)) => message,
            Ok(Err(FrameError::Gone)) | Err(_) => return Ok(()),
            Ok(Err(FrameError::TooLarge | FrameError::Malformed)) => {
                // What follows cannot be told from the rest of it.
                let written = refused(daemon, peer, within, About::default(), Outcome::Denied);
                let failure = written.err().unwrap_or_else(only_reading);
                return send(Message::new(&Answer::Error(failure), Vec::new())?, &mut stream).await;
            }
            Ok(Err(error @ FrameError::Io(_))) => return Err(error),
        };
        patience = PATIENCE;
        match answer(daemon, peer, within, &message, &mut stream).await? {
            Ok(None) => {}
            Ok(Some((value, materials))) => send(Message::new(&Answer::Reply(value), materials)?, &mut stream).await?,
            Err(failure) => {
                let cut = failure.code == Exit::Unavailable;
                send(Message::new(&Answer::Error(failure), Vec::new())?, &mut stream).await?;
                if cut {
                    return Ok(());
                }
            }
        }
        // And nothing after it: who asks without pause would be waited for.
        if end.has_changed().unwrap_or(true) {
            return Ok(());
        }
    }
}

async fn send(message: Message, stream: &mut UnixStream) -> Result<(), FrameError> {
    timeout(PATIENCE, message.send(stream)).await.unwrap_or(Err(FrameError::Gone))
}

/// What is answered; nothing where it went out from memory already.
async fn answer(
    daemon: &Daemon,
    peer: &Peer,
    within: &Within,
    message: &Message,
    stream: &mut UnixStream,
) -> Result<Result<Option<(serde_json::Value, Vec<donjon_drivers::material::Material>)>, Failure>, FrameError> {
    let wanted = match asked(message) {
        Ok(wanted) => wanted,
        Err(failure) => {
            let written = refused(daemon, peer, within, About::default(), Outcome::Denied);
            return Ok(Err(written.err().unwrap_or(failure)));
        }
    };
    if let Err(failure) = paid(within, price(&wanted)) {
        return Ok(Err(failure));
    }
    let role = match granted(daemon, peer, within, &wanted) {
        Ok(role) => role,
        Err(failure) => return Ok(Err(failure)),
    };
    let caller = Caller { actor: peer.actor(), role };
    if kept::answer(daemon, &caller, &wanted, stream).await? == Sent::Whole {
        return Ok(Ok(None));
    }
    let read: Answered = lookup::read(daemon, &caller, &wanted).await;
    Ok(read.map(Some).map_err(without_names))
}

fn asked(message: &Message) -> Result<Wanted, Failure> {
    let Ok(Request::Read { names, version: None, epoch }) = message.parse() else { return Err(only_reading()) };
    if names.is_empty() || names.len() > MOST_NAMES {
        return Err(Failure::new(Exit::Usage, format!("1 to {MOST_NAMES} names can be read at once")));
    }
    // Who typed a value in the place of a name finds it in no log of theirs.
    Wanted::parse(&names, epoch).map_err(|failure| Failure { causes: Vec::new(), ..failure })
}

/// One for each value, and for each so many bytes of names: they stand in a line of the audit log.
fn price(wanted: &Wanted) -> u32 {
    let bytes: usize = wanted.names().iter().map(|name| name.as_str().len()).sum();
    u32::try_from(wanted.names().len().max(bytes / BYTES_FOR_ONE).max(1)).unwrap_or(u32::MAX)
}

fn paid(within: &Within, price: u32) -> Result<(), Failure> {
    if within.pay(price, Instant::now()) {
        return Ok(());
    }
    // No line of the audit log: who asks without end would fill the disk.
    Err(Failure::new(Exit::Unavailable, "this user asks for too much at once").hint("try again in a moment"))
}

/// Every refusal costs, and has its line before it is told.
fn refused(daemon: &Daemon, peer: &Peer, within: &Within, about: About, outcome: Outcome) -> Result<(), Failure> {
    paid(within, REFUSED)?;
    daemon.record_about(peer.actor(), Act::Read, about, outcome)
}

fn granted(
    daemon: &Daemon,
    peer: &Peer,
    within: &Within,
    wanted: &Wanted,
) -> Result<Option<donjon_policies::name::RoleName>, Failure> {
    let known = daemon.callers.current(daemon).map_err(|_| {
        if let Err(failure) = refused(daemon, peer, within, About::default(), Outcome::Failed) {
            return failure;
        }
        Failure::new(Exit::Unavailable, "the broker cannot tell who may read").hint("its log says why")
    })?;
    known.decide(peer, wanted.names()).map_err(|denied| {
        // The first that is refused, if it is a name at all, and how many there were: a stranger does not say how long the line
        // is, nor what stands in it.
        let names: Vec<_> = Some(&denied.0).filter(|name| known.knows(name)).cloned().into_iter().collect();
        let asked = u32::try_from(wanted.names().len()).ok().filter(|count| *count > 1 || names.is_empty());
        let about = About { names, asked, ..About::default() };
        if let Err(failure) = refused(daemon, peer, within, about, Outcome::Denied) {
            return failure;
        }
        Failure::new(Exit::NotAllowed, format!("uid {} may not read `{}`", peer.uid, denied.0))
            .cause("no role of donjon.yaml grants it to this user, group and unit")
            .state("nothing was answered")
    })
}

/// What a caller is told of a failure: not the names of secrets that it may not know of.
fn without_names(failure: Failure) -> Failure {
    if failure.code == Exit::NotThere { Failure { causes: Vec::new(), hint: None, ..failure } } else { failure }
}

impl KnownCallers {
    /// As the deployment file says now.
    pub fn current(&self, daemon: &Daemon) -> Result<Arc<Callers>, Failure> {
        let mark = mark(&[&daemon.home.deployment_file(), Path::new(USERS), Path::new(GROUPS)]);
        let read = || {
            let deployment = daemon.deployment()?;
            let catalogue = config::catalogue(&deployment.catalogue)?;
            Ok(Arc::new(Callers::new(&deployment, &catalogue, &Accounts::of_this_host())))
        };
        let tell = |failure: &Failure| tracing::error!(%failure, "nobody can read at the lookup socket");
        self.marked(mark, Instant::now(), read, tell)
    }

    /// What was read of files as they are, or is read now. What fails is told once, whoever asks how often, and tried again after
    /// a moment: it may hang on more than these files.
    fn marked(
        &self,
        mark: Mark,
        now: Instant,
        read: impl FnOnce() -> Result<Arc<Callers>, Failure>,
        tell: impl FnOnce(&Failure),
    ) -> Result<Arc<Callers>, Failure> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Closed until it is read again.
        let before = known.take().filter(|known| known.mark == mark);
        let still = before
            .as_ref()
            .is_some_and(|before| before.callers.is_ok() || now.saturating_duration_since(before.at) < AGAIN);
        if let Some(before) = before.as_ref().filter(|_| still) {
            let callers = before.callers.clone();
            *known = Some(Known { mark, callers: callers.clone(), at: before.at });
            return callers;
        }
        let callers = read();
        if let Err(failure) = &callers {
            let told = before.and_then(|before| before.callers.err()).map(|told| told.to_string());
            if told != Some(failure.to_string()) {
                tell(failure);
            }
        }
        *known = Some(Known { mark, callers: callers.clone(), at: now });
        callers
    }
}

fn mark(files: &[&Path]) -> Mark {
    let of = |path: &&Path| {
        std::fs::metadata(path)
            .map_or((0, 0, 0, 0), |found| (found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    };
    files.iter().map(of).collect()
}

/// Bytes of a request: a thousand of the longest names.
const LONGEST: usize = 256 << 10;
/// The same of somebody whom no role names: who holds connections by the hundred holds no more than this of each.
const LONGEST_OF_A_STRANGER: usize = 4 << 10;
const MOST_NAMES: usize = 1024;
/// Names are shorter, as a rule.
const BYTES_FOR_ONE: usize = 32;
/// A refusal costs as much as a thousand values: each is a line of the audit log.
const REFUSED: u32 = 1000;
/// After how long what could not be read is read again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the first request may take: who connects has something to ask.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// How long a request may take to arrive, a connection may be idle, and an answer may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_mistake_in_the_file_is_read_and_told_once_however_often_somebody_asks() {
        let (known, start) = (KnownCallers::default(), Instant::now());
        let (read, told) = (Cell::new(0), Cell::new(0));
        let ask = |file: u64, after: Duration, failing: Option<&str>| {
            let reading = || {
                read.set(read.get() + 1);
                failing.map_or_else(|| Ok(Arc::default()), |why| Err(Failure::new(Exit::Usage, why)))
            };
            let tell = |_: &Failure| told.set(told.get() + 1);
            known.marked(vec![(file, 0, 0, 0)], start + after, reading, tell).is_ok()
        };
        for _ in 0..100 {
            assert!(!ask(1, Duration::ZERO, Some("a mistake")));
        }
        assert_eq!((read.get(), told.get()), (1, 1));
        assert!(!ask(1, AGAIN, Some("a mistake")) && !ask(1, 2 * AGAIN, Some("another")));
        assert_eq!((read.get(), told.get()), (3, 2), "it is tried again, and told where it is another");
        assert!(!ask(2, 2 * AGAIN, Some("another")), "another file");
        assert_eq!((read.get(), told.get()), (4, 3));
        assert!(ask(2, 3 * AGAIN, None) && ask(2, 4 * AGAIN, Some("not read")));
        assert!(!ask(3, 4 * AGAIN, Some("a mistake")), "what was good is not good for another file");
    }
}
