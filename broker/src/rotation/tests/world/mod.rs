//! A store, a target and a consumer in memory, where any effect can fail, be lost, or wait for another broker.

mod consumer;
mod server;

use crate::{
    daemon::translate,
    failure::Failure,
    records::{Layout, labels, secrets},
    rotation::{
        Instance, Means, Rotation, Subject, begin,
        journal::Held,
        reach,
        subject::{Addresses, Administrator, Credential, Item, Proof, Reached, Stands, Way},
    },
    socket::message::Event,
};
use async_trait::async_trait;
pub(super) use consumer::DAY;
use consumer::{HOUR, Led, MINUTE};
use donjon_drivers::{
    material::Material,
    store::{
        Capabilities, Document, Expected, RecordPath, Store, StoreError, Stored, Version, VersionInfo, Which,
        memory::Memory,
        secret::{Origin, SecretRecord, SecretValue},
    },
    target::{Account, Node, TargetError},
};
use donjon_policies::{
    name::{SecretName, TargetName},
    restart::Step,
    transition::{Path, State},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What happens at one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The broker dies before it.
    DeathBefore,
    /// The broker dies after it.
    DeathAfter,
    /// It is done, but the reply says that nobody knows.
    LostReply,
    /// It never arrives.
    LostRequest,
    /// A deployer gives every account what the store serves, and that alone, just before it.
    Collapsed,
    /// The broker stalls before it while another one resumes to the end.
    OtherResumes,
    /// The broker stalls before it while another one aborts, or resumes where that is refused.
    OtherAborts,
    /// Just before it, what another broker sent before it was overtaken arrives: the new values are published. The consumer
    /// starts by itself then.
    PublishedLate,
    /// As that, and the consumer runs on.
    PublishedUnread,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: BTreeMap<Account, Vec<Material>>,
    sessions: Vec<(String, u64)>,
    /// Sessions that no restart ends.
    pooled: Vec<(String, u64)>,
    counter: u64,
    effects: usize,
    fault: Option<(usize, Fault)>,
    dead: bool,
    hit: bool,
    /// The connection that holds the target's lock.
    holder: Option<u64>,
    /// What the consumer runs on: by secret, the user and the value.
    consumer: BTreeMap<SecretName, (String, Material)>,
    /// The time by the brokers' clock, in microseconds since 1970. It goes on with each effect.
    time: i64,
    /// When the consumer has started, by the same clock.
    started: i64,
    /// By how much the clock of the consumer's host is ahead of that, in microseconds.
    skew: i64,
    /// How often a broker has restarted the consumer.
    restarts: usize,
    /// How often one can, before its host is away to the broker that meets the faults.
    reachable: Option<usize>,
    /// How clients are led to it.
    led: Led,
    /// What rotations have told.
    told: Vec<String>,
    /// How often each account has come to accept its first value again.
    back: BTreeMap<Account, usize>,
}

/// What is rotated, and how it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) path: Path,
    /// Each secret with its user and how that comes to a new value; a consumer uses all of them.
    pub(super) secrets: &'static [(&'static str, &'static str, Way)],
    /// When the consumer fails.
    pub(super) fails: Fails,
}

/// When a consumer fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fails {
    /// It does not.
    Never,
    /// On new values.
    OnNew,
    /// On new values, and its check ends as if its host could not be reached, which tells the time all the same.
    Unlike,
    /// Without the old ones, as the broker sees it that meets the faults.
    InTrial,
    /// It does not, but that broker cannot reach its host then.
    AwayInTrial,
    /// It does not, but that broker cannot reach its host once it has restarted on new values.
    AwayOnNew,
}

/// Everything outside a broker.
pub(super) struct World {
    pub(super) memory: Memory,
    pub(super) scenario: Scenario,
    inner: Mutex<Inner>,
}

/// What a broker sees of the world.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) world: Arc<World>,
    faulty: bool,
    /// Whether it may stall before it reads, too.
    slow: bool,
    /// The consumer that it goes on without.
    leave: Option<&'static str>,
}

fn secret() -> SecretName {
    ROOT.parse().unwrap()
}

/// The secret of the administrator.
pub(super) const ROOT: &str = "database_password";

pub(super) fn layout() -> Layout {
    Layout::new("d".parse().unwrap()).unwrap()
}

fn db() -> TargetName {
    "db".parse().unwrap()
}

impl World {
    /// A world whose target and consumer have the first values.
    pub(super) async fn new(scenario: Scenario) -> Arc<Self> {
        let world = Self { memory: Memory::default(), scenario, inner: Mutex::default() };
        for (name, user, _) in world.users() {
            let first = || Material::from(format!("first-{name}"));
            for host in ["%", "localhost"] {
                let account = Account { user: user.to_owned(), host: host.to_owned() };
                world.inner.lock().unwrap().accounts.insert(account, vec![first()]);
            }
            let name: SecretName = name.parse().unwrap();
            world.inner.lock().unwrap().consumer.insert(name.clone(), (user.to_owned(), first()));
            let record =
                SecretRecord { name, value: SecretValue::Whole(first()), created: 0, origin: Origin::Put, user: None };
            secrets::write(&world.memory, &layout(), &record).await.unwrap();
        }
        world.pass(HOUR);
        Arc::new(world)
    }

    /// The secrets that are rotated, and the administrator's, each once.
    fn users(&self) -> Vec<(&'static str, &'static str, Way)> {
        let mut users = self.scenario.secrets.to_vec();
        if !users.iter().any(|(name, ..)| *name == ROOT) {
            users.push((ROOT, "root", Way::Both));
        }
        users
    }

    /// Somebody who is no consumer opens a session and keeps it.
    pub(super) fn pool(&self, user: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.counter += 1;
        let number = inner.counter;
        inner.pooled.push((user.to_owned(), number));
    }

    /// Those sessions are closed.
    pub(super) fn unpool(&self) {
        self.inner.lock().unwrap().pooled.clear();
    }

    /// Whether every account of a user accepts a value.
    pub(super) fn accepts(&self, user: &str, value: &str) -> bool {
        let inner = self.inner.lock().unwrap();
        let mut own = inner.accounts.iter().filter(|(account, _)| account.user == user).peekable();
        own.peek().is_some() && own.all(|(_, values)| values.iter().any(|held| text(held) == value))
    }

    /// From now on, the effect of this number meets with a fault.
    pub(super) fn set(&self, fault: Option<(usize, Fault)>) {
        let mut inner = self.inner.lock().unwrap();
        (inner.effects, inner.fault, inner.dead, inner.hit) = (0, fault, false, false);
    }

    /// Whether the fault was met.
    pub(super) fn hit(&self) -> bool {
        self.inner.lock().unwrap().hit
    }

    /// How often the account that did so most often has come to accept its first value again.
    pub(super) fn came_back(&self) -> usize {
        self.inner.lock().unwrap().back.values().copied().max().unwrap_or(0)
    }

    /// What the store serves of a secret: the user and the value.
    async fn served(&self, name: &str, base: &str) -> (String, Material) {
        let held =
            secrets::read(&self.memory, &layout(), &name.parse().unwrap(), Which::Latest).await.unwrap().unwrap();
        (held.record.user.unwrap_or_else(|| base.to_owned()), held.record.value.material().duplicate())
    }

    /// Where both values are valid: what the store serves and what the consumer holds is accepted by every account.
    /// Elsewhere: something that is stored is.
    pub(super) async fn check(&self, when: &str) {
        for (name, base, way) in self.users() {
            let mut stored = self.stored(name, base).await;
            let served = self.served(name, base).await;
            let inner = self.inner.lock().unwrap();
            let accepts = |(user, value): &(String, Material)| {
                let mut accounts = inner.accounts.iter().filter(|(account, _)| account.user == *user).peekable();
                accounts.peek().is_some() && accounts.all(|(_, values)| values.iter().any(|v| v.matches(value)))
            };
            if self.scenario.path == Path::Overlap {
                let held = &inner.consumer[&name.parse::<SecretName>().unwrap()];
                for (what, pair) in [("served", &served), ("consumer's", held)] {
                    let accepted: Vec<_> =
                        inner.accounts.iter().map(|(a, v)| (a, v.iter().map(text).collect::<Vec<_>>())).collect();
                    let shown = format!("{}/{}", pair.0, text(&pair.1));
                    assert!(accepts(pair), "{when}: the {what} {shown} of {name} ({way:?}) is refused: {accepted:?}");
                }
            } else if self.scenario.path != Path::Together {
                // Account by account, for a switch may be done in part.
                stored.push(served);
                let known = |account: &Account, values: &[Material]| {
                    stored.iter().any(|(user, value)| *user == account.user && values.iter().any(|v| v.matches(value)))
                };
                assert!(
                    inner.accounts.iter().filter(|(a, _)| a.user == base).all(|(a, v)| known(a, v)),
                    "{when}: {name}"
                );
            }
        }
    }

    /// What kolla's user tasks do.
    async fn collapse(&self) {
        for (name, base, _) in self.users() {
            let (user, value) = self.served(name, base).await;
            let mut inner = self.inner.lock().unwrap();
            for (_, values) in inner.accounts.iter_mut().filter(|(account, _)| account.user == user) {
                *values = vec![value.duplicate()];
            }
        }
    }

    /// Where the first rotation stands.
    pub(super) async fn state(&self) -> Option<State> {
        Held::all(&self.memory, &layout()).await.unwrap().first().map(|held| held.journal.state)
    }

    /// The records are written over the versions that were current before, if they still are.
    async fn published_late(&self) {
        let layout = layout();
        for held in Held::unfinished(&self.memory, &layout).await.unwrap() {
            for item in &held.journal.secrets {
                let pending = layout.pending(&held.journal.id, &item.secret);
                let new = secrets::read_at(&self.memory, &pending, &item.secret, Which::Latest).await.unwrap();
                let Some(new) = new else { continue };
                let expected = Expected::Newest(item.old);
                let _ = secrets::write_at(&self.memory, &layout.secret(&item.secret), &new.record, expected).await;
            }
        }
    }

    /// Every value that is stored of a secret.
    async fn stored(&self, name: &str, base: &str) -> Vec<(String, Material)> {
        let (secret, layout) = (name.parse::<SecretName>().unwrap(), layout());
        let mut paths = vec![layout.secret(&secret)];
        for held in Held::all(&self.memory, &layout).await.unwrap() {
            paths.push(layout.pending(&held.journal.id, &secret));
        }
        let mut found = Vec::new();
        for path in paths {
            for info in self.memory.versions(&path).await.unwrap() {
                let which = Which::Number(info.version);
                if let Some(held) = secrets::read_at(&self.memory, &path, &secret, which).await.unwrap() {
                    let user = held.record.user.unwrap_or_else(|| base.to_owned());
                    found.push((user, held.record.value.material().duplicate()));
                }
            }
        }
        found
    }

    /// Nothing is left of any rotation: one value alone, nothing pending, nobody holds a secret, the view follows.
    pub(super) async fn check_ended(&self, when: &str) {
        self.check(when).await;
        let layout = layout();
        for (name, base, _) in self.users() {
            let (user, value) = self.served(name, base).await;
            let twins = [base.to_owned(), format!("{base}_b")];
            let shared = self.scenario.path == Path::Together && name != ROOT;
            for (account, values) in &self.inner.lock().unwrap().accounts {
                if twins.contains(&account.user) && !shared {
                    let accepted: Vec<_> = values.iter().map(text).collect();
                    assert_eq!((&account.user, accepted), (&user, vec![text(&value)]), "{when}: {account}");
                }
            }
            let held = self.inner.lock().unwrap().consumer[&name.parse::<SecretName>().unwrap()].0.clone();
            assert_eq!(held, user, "{when}: the consumer's user");
            let name: SecretName = name.parse().unwrap();
            let labels = labels::read(&self.memory, &layout, &name).await.unwrap().labels;
            assert_eq!(labels.rotation, None, "{when}: nobody holds the secret");
            let newest = secrets::newest(&self.memory.versions(&layout.secret(&name)).await.unwrap());
            if labels.current.is_some() {
                assert_eq!(labels.current, newest, "{when}: the label `current`");
            }
        }
        assert!(self.is_led(), "{when}: clients are led to the consumer");
        let pending = self.memory.list(&layout.private("pending")).await.unwrap();
        // A broker that stalled may leave one that nobody was ever told of; it is removed with its journal.
        let stalled = matches!(self.inner.lock().unwrap().fault, Some((_, Fault::OtherResumes | Fault::OtherAborts)));
        assert!(pending.is_empty() || stalled, "{when}: pending");
        assert!(Held::unfinished(&self.memory, &layout).await.unwrap().is_empty(), "{when}: unfinished");
        let view = secrets::read(&self.memory, &layout, &"url".parse().unwrap(), Which::Latest).await.unwrap();
        if let Some(view) = view {
            let (name, base, _) = self.scenario.secrets[0];
            let (user, value) = self.served(name, base).await;
            let wanted = format!("db://{user}:{}@h", text(&value));
            assert_eq!(text(view.record.value.material()), wanted, "{when}: the view follows");
        }
    }
}

impl Seen {
    /// A broker that meets the faults.
    pub(super) fn faulty(world: &Arc<World>) -> Self {
        Self { world: world.clone(), faulty: true, slow: false, leave: None }
    }

    /// A broker that meets none.
    pub(super) fn sound(world: &Arc<World>) -> Self {
        Self { world: world.clone(), faulty: false, slow: false, leave: None }
    }

    /// A broker that meets none, and goes on without a consumer.
    pub(super) fn without(world: &Arc<World>, place: &'static str) -> Self {
        Self { leave: Some(place), ..Self::sound(world) }
    }

    /// A broker that meets the faults, and stalls before what it reads as well as before what it writes.
    pub(super) fn slow(world: &Arc<World>) -> Self {
        Self { world: world.clone(), faulty: true, slow: true, leave: None }
    }

    /// `donjon rotate apply`.
    pub(super) async fn apply(&self) -> Result<State, Failure> {
        let subject = self.subject();
        reach::consumers(&subject, &BTreeSet::new()).await?;
        let preflight = begin::preflight(self, &layout(), &subject, &BTreeSet::new()).await?;
        preflight.provable(&subject, &[])?;
        let now = self.world.time();
        let held = begin::begin(self, &layout(), &subject, "a", preflight, now, async |_| Ok(())).await?;
        self.drive(&subject, held, false).await
    }

    /// `donjon rotate resume`, or `abort`.
    pub(super) async fn go(&self, back: bool) -> Result<Vec<State>, Failure> {
        let failed = |error| translate::store("cannot read the journals", &error);
        let (mut ended, mut failure) = (Vec::new(), None);
        for held in Held::unfinished(self, &layout()).await.map_err(failed)? {
            match self.drive(&self.subject(), held, back).await {
                Ok(state) => ended.push(state),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(ended), Err)
    }

    async fn drive(&self, subject: &Subject, held: Held, back: bool) -> Result<State, Failure> {
        let make = |_: &SecretName| {
            let mut inner = self.world.inner.lock().unwrap();
            inner.counter += 1;
            Ok(SecretValue::Whole(Material::from(format!("new-{}", inner.counter))))
        };
        let layout = layout();
        let clock = || self.world.time();
        let tell = |event: Event| self.world.inner.lock().unwrap().told.push(event.text);
        let leave = self.leave.map(str::to_owned).into_iter().collect();
        let means = Means { store: self, layout: &layout, subject, make: &make, clock: &clock, tell: &tell, leave };
        let mut rotation = Rotation::new(means, held);
        rotation.take_over("b").await?;
        let journal = if back { rotation.abort().await } else { rotation.drive().await };
        journal.map(|journal| journal.state)
    }

    fn subject(&self) -> Subject {
        let scenario = self.world.scenario;
        let target = Arc::new(server::Server {
            seen: self.clone(),
            nodes: vec![Node { name: "db1".into(), address: "db1".into() }],
        });
        let administrator = Administrator { user: "root".to_owned(), secret: secret() };
        let shared = scenario.path == Path::Together;
        let item = |(name, user, way): &(&str, &str, Way)| Item {
            secret: name.parse().unwrap(),
            credentials: match shared {
                true => Vec::new(),
                false => vec![Credential { target: db(), way: *way, users: vec![(*user).to_owned()] }],
            },
        };
        let instance = Instance {
            service: "api".parse().unwrap(),
            host: "local".parse().unwrap(),
            uses: scenario.secrets.iter().map(|(name, ..)| name.parse().unwrap()).collect(),
            addresses: Addresses::Unknown,
            driver: Arc::new(self.clone()),
            drain: Some(Arc::new(self.clone())),
            fed: None,
            settle: Duration::ZERO,
            proof: Proof::Session,
        };
        let (name, base, _) = scenario.secrets[0];
        let reached = (db(), Reached { target, administrator, stands: Stands::AtTheEnd });
        Subject {
            path: scenario.path,
            compromised: scenario.path == Path::Compromised,
            sites: BTreeSet::new(),
            secrets: scenario.secrets.iter().map(item).collect(),
            targets: if shared { BTreeMap::new() } else { [reached].into() },
            keyrings: BTreeMap::new(),
            views: vec![("url".parse().unwrap(), format!("db://{{{name}:user:{base}}}:{{{name}}}@h"))],
            instances: vec![instance],
            groups: vec![vec![0]],
            back: Arc::new(|touched| touched.iter().map(|i| Step { instances: vec![i.clone()] }).collect()),
            hosts: Arc::new(BTreeMap::new),
            trial: Duration::ZERO,
            keep_previous: Duration::from_secs(60),
            drain: Duration::ZERO,
        }
    }

    /// Counts an effect; says whether it is done, and whether its reply arrives.
    async fn effect(&self) -> (bool, bool) {
        self.world.pass(MINUTE);
        let other = {
            let mut inner = self.world.inner.lock().unwrap();
            if !self.faulty {
                return (true, true);
            }
            if inner.dead {
                return (false, false);
            }
            inner.effects += 1;
            let Some((_, fault)) = inner.fault.filter(|(at, _)| *at == inner.effects) else { return (true, true) };
            inner.hit = true;
            match fault {
                Fault::DeathBefore | Fault::DeathAfter => {
                    inner.dead = true;
                    return (fault == Fault::DeathAfter, false);
                }
                Fault::LostReply => return (true, false),
                Fault::Collapsed | Fault::PublishedLate | Fault::PublishedUnread => None,
                Fault::LostRequest => return (false, false),
                Fault::OtherResumes => Some(false),
                Fault::OtherAborts => Some(true),
            }
        };
        let Some(other) = other else {
            let fault = self.world.inner.lock().unwrap().fault;
            match fault {
                Some((_, Fault::PublishedLate)) => {
                    self.world.published_late().await;
                    self.world.start().await;
                }
                Some((_, Fault::PublishedUnread)) => self.world.published_late().await,
                _ => self.world.collapse().await,
            }
            return (true, true);
        };
        let sound = Self::sound(&self.world);
        if other {
            // Refused where consumers may have read the new value.
            drop(Box::pin(sound.go(true)).await);
        }
        drop(Box::pin(sound.go(false)).await);
        (true, true)
    }

    /// A point that is no effect, but at which a broker can stall as well.
    async fn stall(&self) {
        let fault = self.world.inner.lock().unwrap().fault;
        if matches!(fault, Some((_, Fault::OtherResumes | Fault::OtherAborts))) && !self.dead() {
            self.effect().await;
        }
    }

    fn dead(&self) -> bool {
        self.faulty && self.world.inner.lock().unwrap().dead
    }
}

fn silent() -> StoreError {
    StoreError::Unreachable { place: "memory".to_owned(), source: "fault".into() }
}

fn mute() -> TargetError {
    TargetError::Unreachable { node: "db1".to_owned(), address: "db1".to_owned(), source: "fault".into() }
}

fn text(value: &Material) -> String {
    value.expose_text().unwrap().to_owned() // EXPOSE: a test value
}

#[async_trait]
impl Store for Seen {
    fn capabilities(&self) -> Capabilities {
        self.world.memory.capabilities()
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        if self.slow {
            self.effect().await;
        }
        if self.dead() { Err(silent()) } else { self.world.memory.read(path, which).await }
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        let (done, told) = self.effect().await;
        let written = if done { self.world.memory.write(path, document, expected).await? } else { Version(0) };
        if told { Ok(written) } else { Err(silent()) }
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        if self.dead() { Err(silent()) } else { self.world.memory.list(folder).await }
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        if self.dead() { Err(silent()) } else { self.world.memory.versions(path).await }
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        let (done, told) = self.effect().await;
        if done {
            self.world.memory.destroy(path, versions).await?;
        }
        if told { Ok(()) } else { Err(silent()) }
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        let (done, told) = self.effect().await;
        if done {
            self.world.memory.remove(path).await?;
        }
        if told { Ok(()) } else { Err(silent()) }
    }
}
