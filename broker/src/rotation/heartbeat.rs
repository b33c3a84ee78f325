//! Who drives a rotation, and whether that broker is still alive.
//!
//! What keeps two brokers from spoiling one rotation is compare-and-set and the fence, not this. But who takes a rotation
//! over from a broker that lives stops it in the middle for nothing. So `resume` first looks: on its own host at the
//! process; for another host it watches whether the journal or that broker's heartbeat changes, which needs no clocks that
//! agree.

use super::journal::Held;
use crate::{records::Layout, vault::process::Mark};
use donjon_drivers::store::{Document, Expected, RecordPath, Store, StoreError, Version, Which};
use futures_util::future::join;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};
use tokio::sync::oneshot;

/// A broker, as journals name it: `<number>@<host>:<pid>:<started>:<boot>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    number: u64,
    host: String,
    pid: i32,
    started: u64,
    /// Of the boot and of the namespace that its id is counted in.
    boot: String,
}

/// How often a broker that drives a rotation says that it lives, and for how long another one watches.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two beats.
    pub every: Duration,
    /// Without a beat, it is taken for dead.
    pub patience: Duration,
}

/// What is known of a broker without asking the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Alive,
    Dead,
    Elsewhere,
}

impl Pace {
    /// The usual one.
    pub const USUAL: Self = Self { every: Duration::from_secs(2), patience: Duration::from_secs(7) };
}

impl Broker {
    /// This process.
    pub fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { number: rand::random(), host, pid, started: started(pid).unwrap_or_default(), boot: boot() }
    }

    /// What tells it from all others.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The name that its host has for itself.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its process there.
    pub fn process(&self) -> i32 {
        self.pid
    }

    /// Whether it is of this host: the same boot, and the same namespace of processes.
    pub fn is_here(&self) -> bool {
        self.boot == boot()
    }

    /// Whether it is certain that its process has ended, and with it what it had open.
    pub fn has_ended(&self) -> bool {
        self.seen() == Seen::Dead
    }

    fn seen(&self) -> Seen {
        match (self.boot == boot(), started(self.pid)) {
            (false, _) => Seen::Elsewhere,
            (true, Some(started)) if started == self.started => Seen::Alive,
            (true, _) => Seen::Dead,
        }
    }
}

/// Whether the broker that a journal names still drives it. It is watched no longer than the pace says.
pub async fn lives(store: &dyn Store, layout: &Layout, held: &Held, pace: Pace) -> Result<bool, StoreError> {
    let Ok(broker) = held.journal.broker.parse::<Broker>() else { return Ok(false) };
    match broker.seen() {
        Seen::Alive => Ok(true),
        Seen::Dead => Ok(false),
        Seen::Elsewhere => moves(store, layout, held, &broker, pace).await,
    }
}

/// Whether the broker that a journal names goes on with it at this moment: one that is alive may have left it to a person.
pub async fn drives(store: &dyn Store, layout: &Layout, held: &Held, pace: Pace) -> Result<bool, StoreError> {
    match held.journal.broker.parse::<Broker>() {
        Ok(broker) if !broker.has_ended() => moves(store, layout, held, &broker, pace).await,
        Ok(_) | Err(NoBroker) => Ok(false),
    }
}

/// Whether it is certain that a broker, as a journal names it, has ended.
pub fn has_ended(broker: &str) -> bool {
    broker.parse::<Broker>().map_or(true, |broker| broker.has_ended())
}

async fn moves(
    store: &dyn Store,
    layout: &Layout,
    held: &Held,
    broker: &Broker,
    pace: Pace,
) -> Result<bool, StoreError> {
    let journal = (layout.journal(&held.journal.id), Some(held.version()));
    let beats = (layout.heartbeat(broker.number), beat_of(store, layout, broker).await?);
    changes(store, &[journal, beats], pace).await
}

/// Whether any of these records has another version than it had, within what is waited for a beat.
pub async fn changes(
    store: &dyn Store,
    before: &[(RecordPath, Option<Version>)],
    pace: Pace,
) -> Result<bool, StoreError> {
    let end = tokio::time::Instant::now() + pace.patience;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(pace.every / 8).await;
        for (path, before) in before {
            if newest(store, path).await? != *before {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Does some work, and tells meanwhile that this broker lives.
pub async fn beating<T>(
    store: &dyn Store,
    layout: &Layout,
    broker: &Broker,
    pace: Pace,
    work: impl Future<Output = T>,
) -> T {
    let begun = tokio::time::Instant::now();
    let done = beats(pace, work, |beats| async move {
        // A store that is away is the rotation's trouble; the next beat tries again.
        if let Err(error) = tell(store, layout, broker, beats).await {
            tracing::debug!(%error, "a heartbeat was not written");
        }
    });
    let done = done.await;
    // What took less than the time to a first beat has left none.
    if begun.elapsed() >= pace.every {
        end(store, layout, broker).await;
    }
    done
}

/// Does some work, and tells meanwhile, again and again, that it goes on. A beat that is being written when it ends is written
/// to its end: cut off, it could arrive after what beats wrote was removed, and look like life.
pub async fn beats<T, Told: Future<Output = ()>>(
    pace: Pace,
    work: impl Future<Output = T>,
    mut tell: impl FnMut(u64) -> Told,
) -> T {
    let (goes_on, mut ended) = oneshot::channel::<()>();
    let work = async move {
        let done = work.await;
        drop(goes_on);
        done
    };
    let telling = async {
        let mut beats = 0;
        while tokio::time::timeout(pace.every, &mut ended).await.is_err() {
            beats += 1;
            tell(beats).await;
        }
    };
    join(work, telling).await.0
}

/// Removes what the beats wrote.
async fn end(store: &dyn Store, layout: &Layout, broker: &Broker) {
    if let Ok(Some(_)) = beat_of(store, layout, broker).await {
        // One that stays is of a broker that nobody asks for again.
        let _ = store.remove(&layout.heartbeat(broker.number)).await;
    }
}

#[derive(Serialize, Deserialize)]
struct Beat {
    broker: String,
    beats: u64,
}

async fn tell(store: &dyn Store, layout: &Layout, broker: &Broker, beats: u64) -> Result<(), StoreError> {
    let path = layout.heartbeat(broker.number);
    let expected = beat_of(store, layout, broker).await?.map_or(Expected::Absent, Expected::Newest);
    let document = Document::plain(&Beat { broker: broker.to_string(), beats })
        .map_err(|_| StoreError::Damaged { path: path.clone(), what: "no JSON object" })?;
    store.write(&path, &document, expected).await.map(drop)
}

async fn beat_of(store: &dyn Store, layout: &Layout, broker: &Broker) -> Result<Option<Version>, StoreError> {
    newest(store, &layout.heartbeat(broker.number)).await
}

async fn newest(store: &dyn Store, path: &RecordPath) -> Result<Option<Version>, StoreError> {
    Ok(store.read(path, Which::Latest).await?.map(|stored| stored.version))
}

/// When a process here began, in clock ticks since the boot; `None` where there is none, or where it has ended and only its
/// parent has not asked for it yet.
fn started(pid: i32) -> Option<u64> {
    let mark = Mark::of(Pid::from_raw(pid)?).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, state) = status.rsplit_once(") ")?;
    (!state.starts_with(['Z', 'X'])).then_some(mark.started)
}

/// Which boot, and which namespace of processes.
fn boot() -> String {
    let boot = Mark::of(rustix::process::getpid()).map(|mark| mark.boot).unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{boot}.{number}")
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, host, pid, started, boot } = self;
        write!(f, "{number:016x}@{host}:{pid}:{started}:{boot}")
    }
}

impl FromStr for Broker {
    type Err = NoBroker;

    fn from_str(text: &str) -> Result<Self, NoBroker> {
        let read = || {
            let (number, place) = text.split_once('@')?;
            let mut parts = place.rsplitn(4, ':');
            let (boot, started, pid, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            Some(Self {
                number: u64::from_str_radix(number, 16).ok()?,
                host: host.to_owned(),
                pid: pid.parse().ok()?,
                started: started.parse().ok()?,
                boot: boot.to_owned(),
            })
        };
        read().ok_or(NoBroker)
    }
}

/// A journal names a broker in words that are not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no broker's name")]
pub struct NoBroker;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rotation::journal::Journal;
    use donjon_drivers::store::memory::Memory;
    use donjon_policies::transition::Path as Way;
    use std::sync::atomic::{AtomicU64, Ordering};

    const QUICK: Pace = Pace { every: Duration::from_millis(40), patience: Duration::from_secs(1) };

    /// A beat of a broker, for the tests of others.
    pub(in crate::rotation) async fn told(store: &Memory, layout: &Layout, broker: &Broker, beats: u64) {
        tell(store, layout, broker, beats).await.unwrap();
    }

    fn elsewhere() -> Broker {
        Broker { boot: "another".to_owned(), ..Broker::own() }
    }

    async fn driven_by(store: &Memory, layout: &Layout, broker: &Broker) -> Held {
        let journal = Journal::new("x.1".to_owned(), Way::Overlap, Vec::new(), &broker.to_string(), 0);
        Held::create(store, layout, journal).await.unwrap()
    }

    #[test]
    fn a_broker_is_read_as_it_was_written() {
        let own = Broker::own();
        assert_eq!(own.to_string().parse::<Broker>(), Ok(own.clone()));
        assert_eq!(own.seen(), Seen::Alive);
        assert_eq!(Broker { started: own.started + 1, ..own.clone() }.seen(), Seen::Dead, "its id was given again");
        for wrong in ["", "a", "1@h", "1@h:2:3", "x@h:2:3:b", "00@h:p:3:b"] {
            assert_eq!(wrong.parse::<Broker>(), Err(NoBroker), "{wrong}");
        }
    }

    #[tokio::test]
    async fn on_this_host_the_process_tells() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let own = Broker::own();
        let held = driven_by(&store, &layout, &own).await;
        assert!(lives(&store, &layout, &held, QUICK).await.unwrap());
        let (store, dead) = (Memory::default(), Broker { started: own.started + 1, ..own });
        let held = driven_by(&store, &layout, &dead).await;
        assert!(!lives(&store, &layout, &held, QUICK).await.unwrap());
    }

    #[tokio::test]
    async fn on_another_host_its_heart_tells() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let broker = elsewhere();
        let held = driven_by(&store, &layout, &broker).await;
        assert!(!lives(&store, &layout, &held, QUICK).await.unwrap(), "nothing beats");
        let watched = lives(&store, &layout, &held, QUICK);
        let watched = beats(QUICK, watched, async |beats| told(&store, &layout, &broker, beats).await);
        assert!(watched.await.unwrap(), "it beats");
        assert!(!lives(&store, &layout, &held, QUICK).await.unwrap(), "the last beat alone is no life");
        end(&store, &layout, &broker).await;
        assert_eq!(beat_of(&store, &layout, &broker).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_beat_that_is_being_written_when_the_work_ends_is_written_to_its_end() {
        let written = AtomicU64::new(0);
        let works = tokio::time::sleep(QUICK.every + QUICK.every / 2);
        let beating = beats(QUICK, works, async |beat| {
            tokio::time::sleep(QUICK.every).await;
            written.store(beat, Ordering::SeqCst);
        });
        beating.await;
        assert_eq!(written.into_inner(), 1);
    }

    #[tokio::test]
    async fn what_beats_left_is_removed_and_short_work_leaves_none() {
        let (store, layout, broker) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap(), Broker::own());
        let there = async || beat_of(&store, &layout, &broker).await.unwrap().is_some();
        assert_eq!(beating(&store, &layout, &broker, QUICK, async { 7 }).await, 7);
        assert!(!there().await);
        let seen = async {
            while !there().await {
                tokio::time::sleep(QUICK.every / 8).await;
            }
        };
        let seen = tokio::time::timeout(QUICK.patience, beating(&store, &layout, &broker, QUICK, seen));
        seen.await.expect("it beats meanwhile");
        assert!(!there().await);
    }
}
