//! Carrying a plan out: each secret made, written where there was none, and read back before anyone is told.

use super::{
    chance::Chance,
    plan::{Making, Plan},
    reserve::Reserve,
    value::{self, GenerationError},
};
use crate::records::{Layout, secrets};
use donjon_drivers::store::{
    Expected, Store, StoreError,
    secret::{Origin, SecretRecord},
};
use donjon_policies::{
    name::SecretName,
    recipe::{Recipe, Shape, SshKey},
};
use futures_util::{StreamExt, stream};
use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What a run works with.
pub struct World<'a> {
    /// Where values are written.
    pub store: &'a dyn Store,
    /// At which paths.
    pub layout: &'a Layout,
    /// Where random bytes come from.
    pub chance: Arc<dyn Chance>,
    /// Pairs that were begun before.
    pub reserve: &'a Reserve,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// What has just happened to one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The secret.
    pub name: SecretName,
    /// What happened to it.
    pub step: Step,
    /// How many secrets are done.
    pub done: usize,
    /// Of how many.
    pub total: usize,
}

/// What can happen to a secret in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its key pair is being made, which takes a while.
    Making,
    /// It is stored and was read back.
    Stored,
    /// Someone else stored one first; that one stands.
    Kept,
    /// It could not be made or stored.
    Failed,
}

/// How a run ended. Every secret of the plan is in one of the four.
#[derive(Debug, Default)]
pub struct Report {
    /// These were made; each was read back.
    pub made: Vec<SecretName>,
    /// Of these someone else's value was first and stands.
    pub kept: Vec<SecretName>,
    /// These failed. Whether one was written is known only where its error says so; a second run finds out.
    pub failed: Vec<(SecretName, RunError)>,
    /// These were not tried after the first failure.
    pub untried: Vec<SecretName>,
}

/// Why one secret is not there.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be made.
    #[error("cannot make a value")]
    Generation(#[from] GenerationError),
    /// It could not be written or read back.
    #[error("cannot store the value")]
    Store(#[from] StoreError),
}

/// Makes what a plan says. Key pairs are made on all cores, values are written [`AT_ONCE`] at a time.
///
/// Nothing that is there is ever changed. After the first failure nothing new is begun.
pub async fn run(world: &World<'_>, plan: Plan, tell: &(dyn Fn(Progress) + Send + Sync)) -> Report {
    let run = Run { world, tell, total: plan.make.len(), done: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
    // The longest work first, so that no core is left with a whole key at the end.
    let (mut slow, quick): (Vec<Making>, Vec<Making>) = plan.make.into_iter().partition(|making| weight(making) > 0);
    slow.sort_by_key(|making| std::cmp::Reverse(weight(making)));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let slow = stream::iter(slow).map(|making| run.one(making)).buffer_unordered(cores).collect::<Vec<_>>();
    let quick = stream::iter(quick).map(|making| run.one(making)).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let (slow, quick) = futures_util::future::join(slow, quick).await;
    let mut report = Report::default();
    for (name, end) in slow.into_iter().chain(quick) {
        match end {
            End::Made => report.made.push(name),
            End::Kept => report.kept.push(name),
            End::Failed(error) => report.failed.push((name, error)),
            End::Untried => report.untried.push(name),
        }
    }
    report.made.sort_unstable();
    report.kept.sort_unstable();
    report.untried.sort_unstable();
    report
}

struct Run<'a> {
    world: &'a World<'a>,
    tell: &'a (dyn Fn(Progress) + Send + Sync),
    total: usize,
    done: AtomicUsize,
    stopped: AtomicBool,
}

enum End {
    Made,
    Kept,
    Failed(RunError),
    Untried,
}

impl Run<'_> {
    async fn one(&self, making: Making) -> (SecretName, End) {
        if self.stopped.load(Ordering::Relaxed) {
            return (making.name, End::Untried);
        }
        let (step, end) = match self.make_and_store(&making).await {
            Ok(()) => (Step::Stored, End::Made),
            Err(RunError::Store(StoreError::Conflict { .. })) => (Step::Kept, End::Kept),
            Err(error) => {
                self.stopped.store(true, Ordering::Relaxed);
                (Step::Failed, End::Failed(error))
            }
        };
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell(&making.name, step, done);
        (making.name, end)
    }

    async fn make_and_store(&self, making: &Making) -> Result<(), RunError> {
        let World { store, layout, ref chance, reserve, now } = *self.world;
        let recipe = making.recipe;
        let value = if weight(making) > 0 {
            self.tell(&making.name, Step::Making, self.done.load(Ordering::Relaxed));
            let ahead = if recipe == Recipe::Ssh(reserve.kind) { reserve.take(PATIENCE).await } else { None };
            match ahead {
                Some(pair) => pair,
                None => {
                    let chance = chance.clone();
                    tokio::task::spawn_blocking(move || value::make(recipe, &*chance, now))
                        .await
                        .map_err(|_| GenerationError::Interrupted)??
                }
            }
        } else {
            value::make(recipe, &**chance, now)?
        };
        let record =
            SecretRecord { name: making.name.clone(), value, created: now, origin: Origin::Generated, user: None };
        secrets::write_at(store, &layout.secret(&making.name), &record, Expected::Absent).await?;
        Ok(())
    }

    fn tell(&self, name: &SecretName, step: Step, done: usize) {
        (self.tell)(Progress { name: name.clone(), step, done, total: self.total });
    }
}

/// How much work a value is: none worth mentioning, or that of a key of so many bits.
fn weight(making: &Making) -> u32 {
    match making.recipe.shape() {
        Shape::SshPair(SshKey::Rsa4096) => 4096,
        Shape::SshPair(SshKey::Rsa2048) => 2048,
        Shape::SshPair(SshKey::Ed25519)
        | Shape::Symbols { .. }
        | Shape::Bytes { .. }
        | Shape::Uuid4
        | Shape::Cephx
        | Shape::FernetRepository { .. }
        | Shape::Operator => 0,
    }
}

/// For how long no pair may be finished before one is made here: on an idle core one takes a good quarter of a second, and
/// now and then thrice that.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many values are written at once: with more OpenBao is no faster, with half as many it is slower by a seventh.
pub const AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::System;
    use async_trait::async_trait;
    use donjon_drivers::store::{
        Capabilities, Document, RecordPath, Stored, Version, VersionInfo, Which, memory::Memory,
    };
    use std::sync::Mutex;

    fn some(count: usize) -> Plan {
        let making =
            |i| Making { name: format!("secret_{i:03}").parse().unwrap(), recipe: Recipe::Alphanumeric { length: 40 } };
        Plan { make: (0..count).map(making).collect(), ..Plan::default() }
    }

    fn layout() -> Layout {
        Layout::new("site".parse().unwrap()).unwrap()
    }

    async fn make(store: &dyn Store, plan: Plan, tell: &(dyn Fn(Progress) + Send + Sync)) -> Report {
        let layout = layout();
        let (chance, reserve) = (Arc::new(System), &Reserve::default());
        run(&World { store, layout: &layout, chance, reserve, now: 7 }, plan, tell).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_at_once_make_one_value_each() {
        let store = Arc::new(Memory::default());
        let another = || {
            let store = store.clone();
            tokio::spawn(async move { make(&*store, some(200), &|_| ()).await })
        };
        let (one, other) = futures_util::future::join(another(), another()).await;
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.made.len() + one.kept.len(), 200);
        assert_eq!(one.made.len() + other.made.len(), 200, "each was made by exactly one of the two");
        assert!(one.failed.is_empty() && other.failed.is_empty());
        for making in some(200).make {
            let versions = store.versions(&layout().secret(&making.name)).await.unwrap();
            assert_eq!(versions.len(), 1);
        }
    }

    #[tokio::test]
    async fn what_is_there_stays() {
        let store = Memory::default();
        assert_eq!(make(&store, some(3), &|_| ()).await.made.len(), 3);
        let read = async || {
            let held = secrets::read(&store, &layout(), &some(1).make[0].name, Which::Latest).await;
            held.unwrap().unwrap().record.value
        };
        let before = read().await;
        let again = make(&store, some(4), &|_| ()).await;
        assert_eq!((again.made.len(), again.kept.len()), (1, 3));
        assert!(read().await.matches(&before));
    }

    #[tokio::test]
    async fn progress_counts_to_the_end() {
        let told = Mutex::new(Vec::new());
        make(&Memory::default(), some(40), &|progress| told.lock().unwrap().push(progress)).await;
        let told = told.into_inner().unwrap();
        assert_eq!(told.len(), 40);
        assert!(told.iter().enumerate().all(|(i, p)| (p.step, p.done, p.total) == (Step::Stored, i + 1, 40)));
    }

    /// A store that acknowledges writes and forgets some, or refuses them.
    struct Faulty {
        inner: Memory,
        fault: Fault,
    }

    enum Fault {
        Forgets,
        Full,
    }

    #[async_trait]
    impl Store for Faulty {
        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }
        async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
            self.inner.read(path, which).await
        }
        async fn write(
            &self,
            path: &RecordPath,
            document: &Document,
            expected: Expected,
        ) -> Result<Version, StoreError> {
            match self.fault {
                _ if !path.as_str().ends_with('7') => self.inner.write(path, document, expected).await,
                Fault::Forgets => Ok(Version(1)),
                Fault::Full => Err(StoreError::Full { place: "here".into() }),
            }
        }
        async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
            self.inner.list(folder).await
        }
        async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
            self.inner.versions(path).await
        }
        async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
            self.inner.destroy(path, versions).await
        }
        async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
            self.inner.remove(path).await
        }
    }

    #[tokio::test]
    async fn nothing_is_reported_that_does_not_read_back() {
        for (fault, wanted) in [(Fault::Forgets, "is damaged"), (Fault::Full, "is full")] {
            let store = Faulty { inner: Memory::default(), fault };
            let report = make(&store, some(100), &|_| ()).await;
            let (name, error) = &report.failed[0];
            assert_eq!(name.as_str(), "secret_007");
            let RunError::Store(error) = error else { panic!("{error}") };
            assert!(error.to_string().contains(wanted), "{error}");
            assert!(!report.untried.is_empty(), "the store is not flooded after a failure");
            let all = report.made.len() + report.kept.len() + report.failed.len() + report.untried.len();
            assert_eq!(all, 100);
            let there = secrets::names(&store, &layout()).await.unwrap();
            assert_eq!(there, report.made, "what is reported as made is what is there");
        }
    }
}
