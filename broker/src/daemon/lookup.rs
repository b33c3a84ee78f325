//! Reading, putting and listing secrets for a caller on the socket.

use super::{Daemon, instead, rotate, translate, views};
use crate::{
    audit::{About, Act, Actor, Outcome},
    cache::Read,
    failure::{Exit, Failure},
    records::{
        epoch,
        labels::{self, Labels},
        secrets::{self, PutError},
    },
    socket::message::{Asked, VersionAsked},
};
use donjon_drivers::{
    material::Material,
    store::{
        RecordPath, Store, Version, VersionInfo, VersionState, Which,
        secret::{Origin, Part, SecretRecord, SecretValue},
    },
};
use donjon_policies::{
    name::{RoleName, SecretName},
    nearest::nearest,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// What is answered: JSON and the values that go with it.
pub type Answered = Result<(Value, Vec<Material>), Failure>;

/// Who reads, and as which role where it is not the daemon's own user.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The process.
    pub actor: Actor,
    /// The role that grants it.
    pub role: Option<RoleName>,
}

/// What is to be read: newest values, together.
#[derive(Debug)]
pub struct Wanted {
    names: Vec<SecretName>,
    parts: Vec<Part>,
    /// The epoch that they must be of.
    pub pinned: Option<u64>,
}

impl Caller {
    /// What a line of the audit log says.
    pub fn about(&self, wanted: &Wanted) -> About {
        About { role: self.role.clone(), names: wanted.names.clone(), ..About::default() }
    }
}

impl Wanted {
    /// Parses the names.
    pub fn parse(asked: &[Asked], pinned: Option<u64>) -> Result<Self, Failure> {
        let names = asked.iter().map(|asked| name(&asked.name)).collect::<Result<_, _>>()?;
        Ok(Self { names, parts: asked.iter().map(|asked| asked.part).collect(), pinned })
    }

    /// Whole records.
    pub fn records(names: Vec<SecretName>) -> Self {
        let parts = vec![Part::Record; names.len()];
        Self { names, parts, pinned: None }
    }

    /// The names.
    pub fn names(&self) -> &[SecretName] {
        &self.names
    }

    /// Each name and which part of it.
    pub fn each(&self) -> impl ExactSizeIterator<Item = (&SecretName, Part)> {
        self.names.iter().zip(self.parts.iter().copied())
    }
}

/// Newest values from the store, in the order of the names, all of one epoch.
pub async fn read(daemon: &Daemon, caller: &Caller, wanted: &Wanted) -> Answered {
    if wanted.names.len() > AT_ONCE {
        // Worth a moment, whether or not it is ready then: whoever asks for many asks for them again.
        let _ = daemon.cache.ready(MOMENT).await;
    }
    let (epoch, read) = together(daemon, wanted).await?;
    daemon.record_about(caller.actor, Act::Read, caller.about(wanted), Outcome::Done)?;
    Ok(reply(epoch, read))
}

/// Reads what a deployer's run is about to ask for while the deployer still starts. Whoever asks is answered, and recorded, then.
pub async fn ahead(daemon: &Daemon) -> Result<(), Failure> {
    daemon.cache.expect(Instant::now());
    if !daemon.cache.ready(WHILE_IT_STARTS).await {
        // What could not be kept would be read in vain.
        return Ok(());
    }
    let names = secrets::names(&*daemon.store()?, &daemon.layout).await;
    let names = names.map_err(|error| translate::store("cannot list the secrets", &error))?;
    let parts = vec![Part::Whole; names.len()];
    let wanted = Wanted { names: names.into_iter().take(MOST_AHEAD).collect(), parts, pinned: None };
    match daemon.cache.find(wanted.each(), None, Instant::now()) {
        Some(_) => Ok(()),
        None => together(daemon, &wanted).await.map(drop),
    }
}

/// Values of one epoch, and which; they are kept where they can be.
async fn together(daemon: &Daemon, wanted: &Wanted) -> Result<(u64, Vec<Read>), Failure> {
    let store = daemon.store()?;
    for _ in 0..MOST_RACES {
        let epoch = match daemon.cache.epoch(Instant::now()) {
            // Only the store can say that a run is pinned to the past or to what another broker has just published.
            Some(epoch) if wanted.pinned.is_none_or(|pinned| pinned == epoch) => epoch,
            Some(_) | None => current_epoch(daemon, &*store).await?,
        };
        of_epoch(epoch, wanted.pinned)?;
        let filling = daemon.cache.begin(epoch);
        let mut each = Vec::with_capacity(wanted.names.len());
        for (name, part) in wanted.each() {
            each.push(read_one(daemon, &*store, name, part, Which::Latest));
        }
        let read: Vec<Read> = bounded(each.into_iter()).await?;
        // One value is of one epoch by itself; it may be newer than the epoch that goes with it, which is the safe side.
        let alone = read.len() == 1 && wanted.pinned.is_none();
        if alone || current_epoch(daemon, &*store).await? == epoch {
            for ((name, part), read) in wanted.each().zip(&read) {
                daemon.cache.keep(filling, name, part, read, Instant::now());
            }
            return Ok((epoch, read));
        }
    }
    Err(Failure::new(Exit::Conflict, "secrets are being published faster than they can be read together")
        .hint("try again"))
}

/// Whether values can be read now: the epoch is known within the lease, or the store tells it.
pub async fn ready(daemon: &Daemon) -> Answered {
    let store = daemon.store()?;
    let epoch = known_epoch(daemon, &*store).await?;
    Ok((json!({"epoch": epoch}), Vec::new()))
}

/// One version, from the store: whether it is still there is nothing that an epoch tells.
pub async fn read_version(daemon: &Daemon, caller: &Caller, wanted: &Wanted, version: VersionAsked) -> Answered {
    let ([name], [part]) = (wanted.names.as_slice(), wanted.parts.as_slice()) else {
        return Err(Failure::new(Exit::Usage, "a version can be asked for one name at a time"));
    };
    let store = daemon.store()?;
    let epoch = current_epoch(daemon, &*store).await?;
    of_epoch(epoch, wanted.pinned)?;
    let which = match version {
        VersionAsked::Number(number) => Which::Number(Version(number)),
        VersionAsked::Previous => Which::Number(previous(daemon, &*store, name).await?.ok_or_else(|| {
            Failure::new(Exit::NotThere, format!("`{name}` has no previous version"))
                .hint("it was destroyed, or there never was one; `donjon history` tells")
        })?),
    };
    let read = read_one(daemon, &*store, name, *part, which).await?;
    daemon.record_about(caller.actor, Act::Read, caller.about(wanted), Outcome::Done)?;
    Ok(reply(epoch, vec![read]))
}

/// The versions before the current ones, of those that have one, with the names that they are of.
pub async fn replaced(daemon: &Daemon, caller: &Caller, wanted: &Wanted) -> Answered {
    let store = &*daemon.store()?;
    let epoch = current_epoch(daemon, store).await?;
    of_epoch(epoch, wanted.pinned)?;
    let mut each = Vec::with_capacity(wanted.names.len());
    for (name, part) in wanted.each() {
        each.push(read_replaced(daemon, store, name, part));
    }
    let read: Vec<Option<(SecretName, Material)>> = bounded(each.into_iter()).await?;
    // What was published meanwhile has replaced others.
    of_epoch(current_epoch(daemon, store).await?, Some(epoch))?;
    daemon.record_about(caller.actor, Act::Read, caller.about(wanted), Outcome::Done)?;
    let (names, materials): (Vec<SecretName>, Vec<Material>) = read.into_iter().flatten().unzip();
    Ok((json!({"epoch": epoch, "names": names}), materials))
}

async fn read_replaced(
    daemon: &Daemon,
    store: &dyn Store,
    name: &SecretName,
    part: Part,
) -> Result<Option<(SecretName, Material)>, Failure> {
    let Some(version) = previous(daemon, store, name).await? else { return Ok(None) };
    match read_one(daemon, store, name, part, Which::Number(version)).await {
        Ok(read) => Ok(Some((name.clone(), read.value))),
        // Destroyed since.
        Err(failure) if failure.code == Exit::NotThere => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn reply(epoch: u64, read: Vec<Read>) -> (Value, Vec<Material>) {
    let versions: Vec<Version> = read.iter().map(|read| read.version).collect();
    let created: Vec<i64> = read.iter().map(|read| read.created).collect();
    let materials = read.into_iter().map(|read| read.value).collect();
    (json!({"epoch": epoch, "versions": versions, "created": created}), materials)
}

fn of_epoch(epoch: u64, pinned: Option<u64>) -> Result<(), Failure> {
    let Some(pinned) = pinned.filter(|pinned| *pinned != epoch) else { return Ok(()) };
    Err(Failure::new(Exit::Conflict, format!("the epoch is {epoch}, and this run is pinned to {pinned}"))
        .cause("a secret was published while the run was under way")
        .state("nothing was answered")
        .hint("start the run again; `donjon run --deploy -- …` makes rotations wait for it"))
}

/// A new version, given by an operator; of a deployment that is new beside another only where that is meant.
pub async fn put(daemon: &Daemon, actor: Actor, given: &str, new_deployment: bool, value: Material) -> Answered {
    let name = name(given)?;
    let store = daemon.store()?;
    instead::none(daemon, &*store, new_deployment).await?;
    // What cannot be read now could not tell later which views are to follow.
    let deployment = daemon.deployment()?;
    rotate::no_deployer(daemon).await?;
    if deployment.views.contains_key(&name) {
        return put_view(daemon, actor, &*store, &name, &value).await;
    }
    let notes = notes(daemon, &*store, &name).await?;
    daemon.record(actor, Act::Put, std::slice::from_ref(&name), Outcome::Intent)?;
    let record = SecretRecord {
        name: name.clone(),
        value: SecretValue::Whole(value),
        created: now(),
        origin: Origin::Put,
        user: None,
    };
    let failed = |error| translate::store(format!("cannot store `{name}`"), &error);
    let version = secrets::put(&*store, &daemon.layout, record).await.map_err(|error| match error {
        PutError::Rotating(id) => Failure::new(Exit::Conflict, format!("`{name}` is being rotated ({id})"))
            .cause("a value put now would be served, and the servers that are being changed would refuse it")
            .state("nothing was stored")
            .hint("`donjon rotate resume` or `donjon rotate abort`, then put it"),
        PutError::Store(error) => failed(error),
    })?;
    views::assemble(daemon, actor, &*store, deployment.views_of(&name)).await?;
    epoch::bump(&*store, &daemon.layout).await.map_err(failed)?;
    daemon.record(actor, Act::Put, std::slice::from_ref(&name), Outcome::Done)?;
    Ok((json!({"version": version, "notes": notes}), Vec::new()))
}

/// A view is nobody's to put: what is given may only be what its template makes.
async fn put_view(daemon: &Daemon, actor: Actor, store: &dyn Store, name: &SecretName, value: &Material) -> Answered {
    views::publish(daemon, actor, store, BTreeSet::from([name.clone()])).await?;
    let held = secrets::read(store, &daemon.layout, name, Which::Latest).await;
    let held = held.map_err(|error| translate::store(format!("cannot read `{name}`"), &error))?;
    if let Some(held) = held.filter(|held| held.record.value.material().matches(value)) {
        return Ok((json!({"version": held.version, "notes": []}), Vec::new()));
    }
    let parts: Vec<String> = daemon.deployment()?.parts_of(name).iter().map(|part| format!("`{part}`")).collect();
    Err(Failure::new(Exit::Usage, format!("`{name}` is a view"))
        .cause("it is assembled from its template in donjon.yaml, which makes another value than the one given")
        .state("nothing was stored")
        .hint(format!("put what it is made of ({}), or change the template", parts.join(", "))))
}

/// What whoever puts a value should know of its name, where it is not plainly what was meant.
async fn notes(daemon: &Daemon, store: &dyn Store, name: &SecretName) -> Result<Vec<String>, Failure> {
    let deployment = daemon.deployment()?;
    let catalogue = crate::config::catalogue(&deployment.catalogue)?;
    let Some(entry) = catalogue.entry(name) else {
        let failed = |error| translate::store("cannot look at what is there already", &error);
        let there = secrets::names(store, &daemon.layout).await.map_err(failed)?;
        if there.contains(name) || deployment.views.contains_key(name) {
            return Ok(Vec::new());
        }
        let nearest =
            nearest(name.as_str(), catalogue.current().map(|entry| &entry.name).chain(&there).map(SecretName::as_str));
        let nearest = nearest.map_or_else(String::new, |other| format!("; the nearest name is `{other}`"));
        return Ok(vec![format!(
            "`{name}` is new, and the catalogue {} does not know it{nearest}",
            deployment.catalogue
        )]);
    };
    let changed = entry.credentials.iter().any(|credential| !credential.accounts.is_empty());
    Ok(changed.then(|| format!("no server was changed; `donjon doctor {name}` tries the value")).into_iter().collect())
}

/// Every secret there is.
pub async fn list(daemon: &Daemon, actor: Actor) -> Answered {
    let store = daemon.store()?;
    let failed = |error| translate::store("cannot list the secrets", &error);
    let names = secrets::names(&*store, &daemon.layout).await.map_err(failed)?;
    let epoch = current_epoch(daemon, &*store).await?;
    let looked = names.into_iter().map(|name| newest(store.clone(), daemon.layout.secret(&name), name));
    let secrets: Vec<Option<Value>> = bounded(looked).await?;
    let instead = match secrets.is_empty() {
        true => instead::told(&*store, &daemon.layout).await.map_err(failed)?,
        false => None,
    };
    daemon.record(actor, Act::List, &[], Outcome::Done)?;
    let secrets: Vec<Value> = secrets.into_iter().flatten().collect();
    Ok((json!({"epoch": epoch, "secrets": secrets, "instead": instead}), Vec::new()))
}

/// The names of every secret, and the epoch that they are at least of.
pub async fn names(daemon: &Daemon, actor: Actor) -> Answered {
    let store = daemon.store()?;
    // Before the names: what is published while they are listed is of a later one.
    let epoch = known_epoch(daemon, &*store).await?;
    let names = secrets::names(&*store, &daemon.layout).await;
    let names = names.map_err(|error| translate::store("cannot list the secrets", &error))?;
    daemon.record(actor, Act::List, &[], Outcome::Done)?;
    Ok((json!({"epoch": epoch, "names": names}), Vec::new()))
}

async fn newest(store: Arc<dyn Store>, path: RecordPath, name: SecretName) -> Result<Option<Value>, Failure> {
    let versions =
        store.versions(&path).await.map_err(|error| translate::store(format!("cannot look at `{name}`"), &error))?;
    let newest = versions.iter().max_by_key(|info| info.version);
    Ok(newest.map(|info| json!({"name": name, "version": info.version, "created": info.created})))
}

/// The versions of one secret.
pub async fn history(daemon: &Daemon, actor: Actor, given: &str) -> Answered {
    let name = name(given)?;
    let store = daemon.store()?;
    let versions = store
        .versions(&daemon.layout.secret(&name))
        .await
        .map_err(|error| translate::store(format!("cannot read the history of `{name}`"), &error))?;
    if versions.is_empty() {
        return Err(missing(daemon, &*store, &name).await);
    }
    let labels = labels::read(&*store, &daemon.layout, &name)
        .await
        .map_err(|error| translate::store(format!("cannot read the labels of `{name}`"), &error))?
        .labels;
    daemon.record(actor, Act::History, std::slice::from_ref(&name), Outcome::Done)?;
    let newest = versions.iter().map(|info| info.version).max();
    let previous = before(&versions, &labels);
    let describe = |info: &VersionInfo| {
        let kept = labels.kept.iter().find(|kept| kept.version == info.version);
        let label = match kept {
            // What consumers read is the newest one, always: a value that comes next is elsewhere.
            _ if newest == Some(info.version) => Some("current"),
            _ if previous == Some(info.version) => Some("previous"),
            Some(_) => Some("kept"),
            None => None,
        };
        let state = match info.state {
            VersionState::Present => "present",
            VersionState::Destroyed => "destroyed",
        };
        let until = kept.filter(|_| label != Some("current")).map(|kept| kept.until);
        json!({"version": info.version, "created": info.created, "state": state, "label": label, "until": until})
    };
    Ok((json!({"name": name, "versions": versions.iter().map(describe).collect::<Vec<_>>()}), Vec::new()))
}

/// There is no such secret; the nearest name that there is.
pub async fn missing(daemon: &Daemon, store: &dyn Store, name: &SecretName) -> Failure {
    let failure = Failure::new(Exit::NotThere, format!("there is no secret `{name}`"));
    if let Some(renamed) = renamed(daemon, name) {
        return failure
            .cause(format!("the catalogue knows it as an older name of `{renamed}`"))
            .hint(format!("`donjon get {renamed}`"));
    }
    let Ok(names) = secrets::names(store, &daemon.layout).await else { return failure };
    let lacking: Vec<String> = match daemon.deployment() {
        Ok(deployment) => deployment
            .parts_of(name)
            .iter()
            .filter(|part| !names.contains(part))
            .map(|part| format!("`{part}`"))
            .collect(),
        Err(_) => Vec::new(),
    };
    if !lacking.is_empty() {
        let made_of = lacking.join(", ");
        return failure
            .cause(format!("it is a view, and what it is made of is not stored: {made_of}"))
            .hint("`donjon generate` or `donjon put` stores that; a misspelt name is mended in donjon.yaml");
    }
    match nearest(name.as_str(), names.iter().map(SecretName::as_str)) {
        Some(other) => failure.hint(format!("the nearest name is `{other}`")),
        None if !names.is_empty() => failure.hint("`donjon list` shows the names"),
        None => match instead::told(store, &daemon.layout).await.ok().flatten() {
            Some(told) => failure.cause(told).hint(instead::PUT_BACK),
            None => failure
                .cause("the store holds no secrets yet")
                .hint("`donjon generate --catalogue kolla-ansible` makes them"),
        },
    }
}

/// The name that a secret has now, where this is an older one of it.
fn renamed(daemon: &Daemon, name: &SecretName) -> Option<SecretName> {
    let catalogue = crate::config::catalogue(&daemon.deployment().ok()?.catalogue).ok()?;
    catalogue.entry(name).map(|entry| entry.name.clone()).filter(|now| now != name)
}

/// Parses a name that a caller gave.
pub fn name(given: &str) -> Result<SecretName, Failure> {
    given.parse().map_err(|error: donjon_policies::name::NameError| {
        Failure::new(Exit::Usage, "this is no name of a secret").because(&error)
    })
}

/// Runs a few at a time, so that neither the store nor memory is flooded.
pub async fn bounded<T, F>(futures: impl Iterator<Item = F>) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    use futures_util::{StreamExt, TryStreamExt, stream};
    stream::iter(futures).buffered(AT_ONCE).try_collect().await
}

/// The epoch as it is known within the lease, or as the store tells it.
async fn known_epoch(daemon: &Daemon, store: &dyn Store) -> Result<u64, Failure> {
    match daemon.cache.epoch(Instant::now()) {
        Some(epoch) => Ok(epoch),
        None => current_epoch(daemon, store).await,
    }
}

async fn current_epoch(daemon: &Daemon, store: &dyn Store) -> Result<u64, Failure> {
    let asking = daemon.cache.ask(Instant::now());
    let read = epoch::read(store, &daemon.layout).await;
    let epoch = read.map_err(|error| translate::store("cannot read the epoch", &error))?;
    daemon.cache.see(asking, epoch);
    Ok(epoch)
}

/// The version before the current one, where there is one.
async fn previous(daemon: &Daemon, store: &dyn Store, name: &SecretName) -> Result<Option<Version>, Failure> {
    let failed = |error| translate::store(format!("cannot read `{name}`"), &error);
    let versions = store.versions(&daemon.layout.secret(name)).await.map_err(failed)?;
    let labels = labels::read(store, &daemon.layout, name).await.map_err(failed)?.labels;
    Ok(before(&versions, &labels))
}

/// The version that was served before the newest one.
fn before(versions: &[VersionInfo], labels: &Labels) -> Option<Version> {
    let mut present: Vec<_> = versions.iter().filter(|v| v.state == VersionState::Present).map(|v| v.version).collect();
    present.sort_unstable();
    // The label tells, while no value came after it: a rotation that went back leaves versions that no consumer ever had
    // for long.
    let labelled = labels.current.is_some() && labels.current == present.last().copied();
    if labelled { labels.previous() } else { present.iter().rev().nth(1).copied() }
}

async fn read_one(
    daemon: &Daemon,
    store: &dyn Store,
    name: &SecretName,
    part: Part,
    which: Which,
) -> Result<Read, Failure> {
    let path = daemon.layout.secret(name);
    let failed = |error| translate::store(format!("cannot read `{name}`"), &error);
    let stored = match store.read(&path, which).await.map_err(failed)? {
        Some(stored) => stored,
        None => {
            return Err(match which {
                Which::Latest => missing(daemon, store, name).await,
                Which::Number(number) => Failure::new(Exit::NotThere, format!("`{name}` has no version {number}"))
                    .hint(format!("`donjon history {name}` shows the versions")),
            });
        }
    };
    let value = match part {
        Part::Record => stored.document.text().duplicate(),
        Part::Whole | Part::PrivateKey | Part::PublicKey => {
            let record = secrets::record(&path, name, &stored).map_err(failed)?;
            let no_pair = || Failure::new(Exit::NotThere, format!("`{name}` is no key pair, so it has no such part"));
            record.value.part(part).ok_or_else(no_pair)?
        }
    };
    Ok(Read { value, version: stored.version, created: stored.created })
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

const MOST_RACES: usize = 8;
const AT_ONCE: usize = 16;
/// Many times what it takes to announce this broker and to ask for the epoch.
const MOMENT: Duration = Duration::from_millis(100);
/// Nobody waits for what is read ahead.
const WHILE_IT_STARTS: Duration = Duration::from_secs(2);
/// As many as the mask of a run of Ansible asks for at once.
const MOST_AHEAD: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previous_is_what_was_served_before_while_a_rotation_is_under_way_and_after_it() {
        let version = |number| VersionInfo { version: Version(number), created: 0, state: VersionState::Present };
        let versions = [1, 2, 3].map(version);
        let kept = Labels { current: Some(Version(2)), ..Labels::default() }.keep(Version(1), 0);
        assert_eq!(
            before(&versions, &kept),
            Some(Version(2)),
            "the third is published, and the label follows in the end"
        );
        let ended = Labels { current: Some(Version(3)), ..kept }.keep(Version(2), 0);
        assert_eq!(before(&versions, &ended), Some(Version(2)));
        let back = Labels { current: Some(Version(3)), ..Labels::default() };
        assert_eq!(before(&versions, &back), None, "what a rotation that went back had made was never in use");
    }
}
