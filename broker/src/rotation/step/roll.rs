//! Rolling: consumers restart group by group, and are proven on the new values by their own logins.

pub mod away;
mod drained;
pub mod fed;
mod former;

use self::fed::Distrusted;
use crate::{
    failure::{self, Exit, Failure},
    rotation::{
        Instance, Rotation, accept, checkpoint,
        journal::{Credential, Item, Marks, Restarted},
        probe,
        step::switch,
        subject::{Proof, Stands},
        values::{Side, Values, values},
    },
};
use donjon_drivers::{
    host::HostError,
    service::ServiceError,
    target::{Began, Node, Session, Sessions, Target},
};
use donjon_policies::{
    name::TargetName,
    transition::{Event, Path},
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Marks where the sessions of consumers that still have the old values end.
pub async fn prepare(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    rotation.held.journal.marks = marks(rotation, &both).await?;
    Ok(Event::RestartsBegun)
}

/// Restarts every consumer that is not proven yet, then waits until no session from before is left.
pub async fn roll(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    let subject = rotation.subject;
    // Nobody looked while it stood still.
    if rotation.taken_over {
        as_declared(rotation, &both).await?;
    }
    for instance in &subject.instances {
        if rotation.leave.contains(&instance.place()) && !acknowledged(rotation, instance) {
            away::forgo(rotation, instance).await?;
        }
    }
    for group in &subject.groups {
        let group: Vec<&Instance> = group
            .iter()
            .filter_map(|at| subject.instances.get(*at))
            .filter(|instance| !acknowledged(rotation, instance) && !left(rotation, instance))
            .collect();
        if group.is_empty() {
            continue;
        }
        as_declared(rotation, &both).await?;
        // Known as touched before they are: whoever goes back after a crash must return them too.
        for instance in &group {
            let standing = away::standing(instance, known(rotation, instance)).await?;
            remember(rotation, Restarted { standing, ..untouched(instance) });
        }
        rotation.save().await?;
        let before = marks(rotation, &both).await?;
        let restarts = group.iter().map(|instance| restart(rotation, &both, instance, Side::New, &before));
        let proven = join_all(restarts).await;
        let (mut failed, mut unknown) = (None, None);
        for (instance, proven) in group.iter().zip(proven) {
            match proven {
                Ok(Proven::Yes) => {
                    let standing = known(rotation, instance).and_then(|known| known.standing.clone());
                    let before = before.clone();
                    remember(rotation, Restarted { acknowledged: true, standing, before, ..untouched(instance) });
                    rotation.told(format!("{} on {}: proven on the new value", instance.service, instance.host));
                }
                Ok(Proven::No(failure)) => {
                    rotation.told(failure.to_string());
                    failed = failed.or(Some(failure));
                }
                Err(failure) => unknown = unknown.or(Some(failure)),
            }
        }
        if let Some(failure) = failed {
            // What is known to others does not come back, whatever fails on the new value.
            if rotation.journal().compromised {
                rotation.save().await?;
                return Err(failure.hint("mend it, then `donjon rotate resume`"));
            }
            rotation.undone_by(&failure);
            return Ok(Event::ConsumerFailed);
        }
        rotation.save().await?;
        if let Some(failure) = unknown {
            return Err(failure);
        }
        checkpoint::reached("rotation.acknowledged");
    }
    drained::wait(rotation, &both).await?;
    checkpoint::reached("rotation.drained");
    Ok(Event::ConsumersProven)
}

/// Rolling takes long, and a deployer's own run in the middle of it leaves alone what its files have: whoever has not restarted
/// yet loses the old value, or it comes back though others know it.
async fn as_declared(rotation: &mut Rotation<'_>, values: &Values) -> Result<(), Failure> {
    match rotation.journal().path {
        Path::Overlap => accept::still_both(rotation, values).await,
        // Keystone may answer again only once it has restarted, and counts refused logins: it is looked at in the end.
        Path::Compromised => switch::still_removed(rotation, values, |credential| tells(rotation, credential)).await,
        // What is set over the one value that there can be fails consumers, and they all go back.
        Path::Cutover | Path::Keyring | Path::Together => Ok(()),
    }
}

/// Whether a consumer that was restarted runs on what the store serves. That nobody can tell is an error instead.
pub enum Proven {
    /// It does.
    Yes,
    /// It does not, and why.
    No(Failure),
}

/// Restarts one consumer and waits until it is proven on what the store serves: `side`, of sessions later than `before`.
pub async fn restart(
    rotation: &Rotation<'_>,
    both: &Values,
    instance: &Instance,
    side: Side,
    before: &Marks,
) -> Result<Proven, Failure> {
    let since = instance.driver.now().await.map_err(|error| failed(instance, Exit::Unavailable, &error))?;
    let standing = known(rotation, instance).and_then(|known| known.standing.clone());
    away::lead(rotation, instance, standing.as_ref()).await?;
    rotation.told(format!("{}: restarting", instance.place()));
    let proven = match instance.driver.restart().await {
        Ok(()) => {
            checkpoint::reached("rotation.restarted");
            let for_what = if instance.proof == Proof::Check { "check" } else { "login" };
            let settle = instance.settle.as_secs();
            rotation.told(format!("{}: waiting for its {for_what} (up to {settle} s)", instance.place()));
            proven(rotation, both, instance, side, before, since).await
        }
        Err(error) if unreachable(&error) => Err(failed(instance, Exit::Unavailable, &error)),
        Err(error) => Ok(Proven::No(failed(instance, Exit::Failed, &error))),
    };
    away::back(rotation, instance, standing.as_ref(), proven).await
}

fn failed(instance: &Instance, code: Exit, error: &ServiceError) -> Failure {
    Failure::new(code, format!("cannot restart `{}` on {}", instance.service, instance.host)).because(error)
}

/// Whether nobody can tell how a consumer is. One that was told something and did not end in time is a consumer that fails,
/// and no host that cannot be reached.
pub fn unreachable(error: &ServiceError) -> bool {
    match error {
        ServiceError::Failed { .. }
        | ServiceError::NotThere { .. }
        | ServiceError::Host { source: HostError::TimedOut { .. }, .. } => false,
        ServiceError::Host { .. } => true,
    }
}

/// Waits until a consumer that was started after `since` is proven.
async fn proven(
    rotation: &Rotation<'_>,
    both: &Values,
    instance: &Instance,
    side: Side,
    before: &Marks,
    since: i64,
) -> Result<Proven, Failure> {
    let deadline = Instant::now() + instance.settle;
    loop {
        let lacking = match (started(instance, since).await, instance.driver.check().await) {
            (Some(lacking), _) => Some(lacking),
            (None, Err(error)) => Some(Lacking::of(instance, &error).await),
            (None, Ok(())) if instance.proof == Proof::Check => None,
            (None, Ok(())) => absent(rotation, both, instance, side, before).await?.map(Lacking::Told),
        };
        let lacking = match lacking {
            Some(lacking) => lacking,
            None => match fed::distrusted(rotation.store, rotation.layout, instance).await? {
                None => return Ok(Proven::Yes),
                Some(Distrusted::Check(why)) => Lacking::Told(why),
                Some(Distrusted::Host(why)) => Lacking::Silent(why),
            },
        };
        if Instant::now() >= deadline {
            let (service, host, settle) = (&instance.service, &instance.host, instance.settle.as_secs());
            let late = format!("`{service}` on {host} was not proven within {settle} s");
            return match lacking {
                Lacking::Told(why) => Ok(Proven::No(Failure::new(Exit::Failed, late).cause(why))),
                // It may be as well as can be: nothing goes back for it, and nothing goes on without it.
                Lacking::Silent(why) => Err(Failure::new(Exit::Unavailable, late).cause(why)),
            };
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a consumer lacks to be proven.
enum Lacking {
    /// As it was told.
    Told(String),
    /// Nobody tells: its host cannot be reached.
    Silent(String),
}

impl Lacking {
    async fn of(instance: &Instance, error: &ServiceError) -> Self {
        let why = failure::chain(error);
        if silent(instance, error).await { Self::Silent(why) } else { Self::Told(why) }
    }
}

/// Whether nobody can tell how a consumer is, of which this was said: its host says nothing else, either. A check that is not
/// there, or that ends as ssh does where it cannot connect, is a check that fails.
pub async fn silent(instance: &Instance, error: &ServiceError) -> bool {
    unreachable(error) && instance.driver.now().await.is_err_and(|error| unreachable(&error))
}

async fn started(instance: &Instance, since: i64) -> Option<Lacking> {
    match instance.driver.started().await {
        Ok(Some(at)) if at >= since => None,
        Ok(Some(_)) => Some(Lacking::Told("the service manager's start time is older than the publication".to_owned())),
        Ok(None) => Some(Lacking::Told("it does not run".to_owned())),
        Err(error) => Some(Lacking::of(instance, &error).await),
    }
}

/// The first of the consumer's accounts that has not logged in from its host since, if any.
async fn absent(
    rotation: &Rotation<'_>,
    both: &Values,
    instance: &Instance,
    side: Side,
    before: &Marks,
) -> Result<Option<String>, Failure> {
    // Only sessions up to a mark are told, so the mark is one of now.
    let now = marks(rotation, both).await?;
    for (item, credential) in accept::credentials(rotation) {
        let target = &credential.target;
        let Some(marks) = now.get(target).filter(|_| instance.uses.contains(&item.secret)) else { continue };
        // Behind a proxy it is the proxy that logs in.
        if !proxies_of(rotation, item, credential).is_empty() {
            continue;
        }
        let users = credential.users(side);
        let until = marks.iter().map(|(node, mark)| (node.clone(), Began::NoLaterThan(*mark))).collect();
        let sessions = sessions(rotation, both, target, &users, &until).await?;
        let before = before.get(target);
        let later = |node: &String, session: &Session| {
            // The session that took the mark is this broker's own: the server may not have noticed yet that it has left.
            marks.get(node) != Some(&session.mark)
                && before.and_then(|before| before.get(node)).is_some_and(|mark| session.mark > *mark)
        };
        let mut seen = false;
        for (_, session) in sessions.iter().filter(|(node, session)| later(node, session)) {
            seen = seen || comes_from(instance, session).await;
        }
        if !seen {
            return Ok(Some(format!(
                "no login of `{}` at `{target}` came from it after its restart",
                users.join(", ")
            )));
        }
    }
    Ok(None)
}

/// Whether a session comes from the consumer's host.
async fn comes_from(instance: &Instance, session: &Session) -> bool {
    instance.addresses.hold(&session.from)
        || seen_as(session, &mut Names::new()).await.iter().any(|from| instance.addresses.hold(from))
}

/// The addresses of names that were looked up, by name: one that nobody knows takes seconds each time.
type Names = BTreeMap<String, Vec<String>>;

/// Where a session comes from, in every way that it can be written: servers that resolve names tell a name instead of an
/// address.
async fn seen_as(session: &Session, names: &mut Names) -> Vec<String> {
    let name = session.from.rsplit_once(':').map_or(session.from.as_str(), |(name, _)| name);
    [session.from.clone()].into_iter().chain(addresses(name, names).await.iter().cloned()).collect()
}

/// The addresses of a name.
async fn addresses<'n>(name: &str, names: &'n mut Names) -> &'n [String] {
    if !names.contains_key(name) {
        let found = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((name, 0))).await;
        let found = found.ok().and_then(Result::ok).into_iter().flatten().map(|address| address.ip().to_string());
        names.insert(name.to_owned(), found.collect());
    }
    &names[name]
}

/// The proxies that stand before the target of a credential.
fn proxies_of<'a>(rotation: &'a Rotation<'_>, item: &'a Item, credential: &Credential) -> Vec<&'a dyn Target> {
    let stands = |name: &TargetName| rotation.subject.targets[name].stands;
    if stands(&credential.target) == Stands::Between {
        return Vec::new();
    }
    let proxies = item.credentials.iter().filter(|other| stands(&other.target) == Stands::Between);
    proxies.map(|proxy| &*rotation.subject.targets[&proxy.target].target).collect()
}

async fn sessions(
    rotation: &Rotation<'_>,
    both: &Values,
    target: &TargetName,
    users: &[String],
    began: &BTreeMap<String, Began>,
) -> Result<Vec<(String, Session)>, Failure> {
    let login = both.administrator(target);
    let known = login.values();
    let admin = login.admin(&known, None);
    let reached = &rotation.subject.targets[target].target;
    let at = async |node: &Node, began: Began| {
        let mut found = Vec::new();
        for user in users {
            let sessions = reached.sessions(&admin, node, user, began).await?;
            found.extend(sessions.into_iter().map(|session| (node.name.clone(), session)));
        }
        Ok(found)
    };
    let asked = reached.nodes().iter().filter_map(|node| Some(at(node, *began.get(&node.name)?)));
    let mut all = Vec::new();
    for found in join_all(asked).await {
        all.extend(found.map_err(|error| probe::failed(rotation.subject, target, &error))?);
    }
    Ok(all)
}

/// A mark of now at every node of every target that tells its sessions.
pub async fn marks(rotation: &Rotation<'_>, both: &Values) -> Result<Marks, Failure> {
    let mut marks = Marks::new();
    for (name, reached) in &rotation.subject.targets {
        let has_it = accept::credentials(rotation).iter().any(|(_, c)| c.target == *name);
        if !has_it || reached.target.capabilities().sessions == Sessions::Untold {
            continue;
        }
        let login = both.administrator(name);
        let known = login.values();
        let admin = login.admin(&known, None);
        let nodes = reached.target.nodes();
        let taken = join_all(nodes.iter().map(|node| reached.target.mark(&admin, node))).await;
        for (node, mark) in nodes.iter().zip(taken) {
            let mark = mark.map_err(|error| probe::failed(rotation.subject, name, &error))?;
            marks.entry(name.clone()).or_default().insert(node.name.clone(), mark);
        }
    }
    Ok(marks)
}

fn tells(rotation: &Rotation<'_>, credential: &Credential) -> bool {
    rotation.subject.targets[&credential.target].target.capabilities().sessions != Sessions::Untold
}

fn known<'a>(rotation: &'a Rotation<'_>, instance: &Instance) -> Option<&'a Restarted> {
    let same = |r: &&Restarted| r.service == instance.service && r.host == instance.host;
    rotation.journal().restarted.iter().find(same)
}

fn acknowledged(rotation: &Rotation<'_>, instance: &Instance) -> bool {
    known(rotation, instance).is_some_and(|known| known.acknowledged)
}

/// Whether nothing is missing of it: it was proven, or the operator goes on without it.
pub(super) fn proven_or_left(rotation: &Rotation<'_>, instance: &Instance) -> bool {
    acknowledged(rotation, instance) || rotation.leave.contains(&instance.place())
}

fn left(rotation: &Rotation<'_>, instance: &Instance) -> bool {
    let place = instance.place();
    let left = rotation.leave.contains(&place);
    if left {
        rotation
            .told(format!("{place}: neither restarted nor proven, as asked; it is cut off once the old value goes"));
    }
    left
}

fn untouched(instance: &Instance) -> Restarted {
    let (service, host) = (instance.service.clone(), instance.host.clone());
    Restarted { service, host, acknowledged: false, standing: None, before: Marks::new() }
}

fn remember(rotation: &mut Rotation<'_>, restarted: Restarted) {
    let known = &mut rotation.held.journal.restarted;
    match known.iter_mut().find(|r| r.service == restarted.service && r.host == restarted.host) {
        Some(same) => *same = restarted,
        None => known.push(restarted),
    }
}

/// A point in time, as people are told it.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

const POLL: Duration = Duration::from_millis(25);
const RESOLVING: Duration = Duration::from_secs(2);
