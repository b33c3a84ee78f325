//! `status`, `unseal` and `down`, for a caller on the socket.

use super::{Daemon, generation, instead, lookup::Answered, rotate, state::Ending, transfer, translate};
use crate::{
    audit::{self, Act, Actor, Outcome},
    failure::{Exit, Failure},
    lifecycle::{Backing, Sealing, Taken},
    records::secrets,
    rotation::journal::Held,
    transfer::{bundle::Scope, import::store as into_store, ledger, mark, standing},
    vault::Why,
};
use donjon_drivers::{material::Material, memory::Kind, store::Store};
use serde_json::{Value, json};
use std::{sync::PoisonError, time::Duration};
use tokio::sync::RwLockWriteGuard;

/// How things are, with what the store has to tell, where it does so at once: where the authority is, where not here,
/// rotations that have not ended, bundles that end soon.
pub async fn status_by_store(daemon: &Daemon) -> Value {
    let mut status = status(daemon);
    if let Backing::Existing { vault, .. } = &daemon.backing {
        // Nobody here unseals it or brings it back, so it is asked.
        match tokio::time::timeout(AT_ONCE, vault.sealing()).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((given, needed)))) => status["state"] = sealed(given, needed, Why::Sealed),
            Ok(Err(error)) => (status["state"], status["trouble"]) = (json!(AWAY), json!(error.to_string())),
            Err(_) => (status["state"], status["trouble"]) = (json!(AWAY), json!(SILENT)),
        }
    }
    let (Ok(store), true) = (daemon.store(), status["state"] == READY) else { return status };
    let told = async {
        // At the same time: each asks the store on its own, and the one who waits does so for a moment alone.
        let (elsewhere, rotations, ending, secrets, instead) = tokio::join!(
            elsewhere(daemon, &*store),
            Held::unfinished(&*store, &daemon.layout),
            ending(daemon, &*store),
            secrets::names(&*store, &daemon.layout),
            instead::told(&*store, &daemon.layout),
        );
        let (elsewhere, rotations, ending) = (elsewhere.ok()?, rotations.ok()?, ending.ok()?);
        let (secrets, instead) = (secrets.ok()?.len(), instead.ok()?);
        let named = |held: &Held| held.journal.named();
        let names: Vec<String> = rotations.iter().map(named).collect();
        let driven: Vec<String> = rotations.iter().filter(|held| drives(daemon, held)).map(named).collect();
        let unfinished = unfinished(daemon, &rotations);
        let other = instead.clone().map(|instead| format!("{instead}: {}", instead::PUT_BACK));
        let told: Vec<String> = elsewhere.into_iter().chain(unfinished).chain(ending).chain(other).collect();
        Some((told, (names, driven), secrets, instead))
    };
    let Ok(Some((told, (names, driven), secrets, instead))) = tokio::time::timeout(AT_ONCE, told).await else {
        return status;
    };
    (status["unfinished"], status["driven"]) = (json!(names), json!(driven));
    (status["secrets"], status["instead"]) = (json!(secrets), json!(instead));
    if let Some(warnings) = status["warnings"].as_array_mut() {
        warnings.extend(told.into_iter().map(Value::from));
    }
    status
}

/// Where the authority is, where it is not here.
async fn elsewhere(daemon: &Daemon, store: &dyn Store) -> Result<Option<String>, Failure> {
    let failed = |error| translate::store("cannot see where the authority is", &error);
    let elsewhere = mark::elsewhere(store, &transfer::places(daemon)?).await.map_err(failed)?;
    Ok(elsewhere.map(|elsewhere| elsewhere.warning()))
}

/// Whether this daemon drives this rotation at this moment.
fn drives(daemon: &Daemon, held: &Held) -> bool {
    let driven = daemon.driven.lock().unwrap_or_else(PoisonError::into_inner);
    driven.as_ref() == Some(&held.journal.id)
}

/// A warning of each rotation that has not ended.
fn unfinished(daemon: &Daemon, rotations: &[Held]) -> Vec<String> {
    let warning = |held: &Held| {
        let (names, state) = (held.journal.named(), held.journal.state);
        let driven = if drives(daemon, held) { "this daemon drives it now" } else { "nobody here drives it" };
        format!("the rotation of {names} has not ended ({state}; {driven}): `donjon rotate status`")
    };
    rotations.iter().map(warning).collect()
}

/// The bundles that end soon, or have ended.
async fn ending(daemon: &Daemon, store: &dyn Store) -> Result<Vec<String>, Failure> {
    let failed = |error| translate::store("cannot read the ledger", &error);
    let places = transfer::places(daemon)?;
    let ending = standing::ending(store, &places, transfer::now() + standing::SOON).await.map_err(failed)?;
    let warning = |(scope, end): (Scope, i64)| {
        let end = jiff::Timestamp::from_second(end)
            .map_or_else(|_| end.to_string(), |end| end.strftime("%Y-%m-%d").to_string());
        format!("the bundle for {scope} is good until {end}: `donjon export bundle` makes another")
    };
    Ok(ending.into_iter().map(warning).collect())
}

fn sealed(given: usize, needed: usize, why: Why) -> Value {
    let why = match why {
        Why::Sealed => "sealed",
        Why::NoCredential => "no-credential",
    };
    json!({"sealed": {"needed": needed, "given": given, "why": why}})
}

/// How things are.
pub fn status(daemon: &Daemon) -> Value {
    let (state, trouble) = match (daemon.backing.sealing(), daemon.store()) {
        (Some(Sealing { given, needed, why }), _) => (sealed(given, needed, why), None),
        (None, Ok(_)) => (json!(READY), None),
        (None, Err(failure)) => (json!(AWAY), Some(failure.message)),
    };
    let (store, place, (custodians, threshold)) = match &daemon.backing {
        Backing::Temporary { vault, .. } => ("temporary Vault", Some(vault.url()), vault.custodians()),
        Backing::Existing { vault, .. } => ("Vault that was there already", Some(vault.place()), (Vec::new(), None)),
        Backing::Folder { .. } => ("encrypted folder", None, (Vec::new(), None)),
    };
    json!({
        "state": state,
        "trouble": trouble,
        "store": store,
        "place": place,
        "host_identity": daemon.backing.host_mode(),
        "custodians": custodians,
        "threshold": threshold,
        "deployment": daemon.layout.deployment(),
        "home": daemon.home.folder(),
        "file": daemon.home.deployment_file(),
        "memory": {
            "kept": daemon.cache.count(),
            "lease": daemon.cache.lease().as_secs(),
            "pages": daemon.cache.pages().map(|kind| kind.to_string()),
        },
        "warnings": warnings(daemon),
        // What only an open store tells.
        "secrets": null,
        "unfinished": null,
        "driven": null,
        "instead": null,
        "deployer": rotate::deployer_runs(daemon),
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// What an operator should know before it stops anything.
fn warnings(daemon: &Daemon) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(room) = daemon.audit.room().filter(|room| *room < audit::LITTLE_ROOM) {
        warnings.push(format!(
            "the disk of DONJON_HOME has {} MB left; when it is full, nothing is read or changed any more",
            room >> 20
        ));
    }
    match daemon.cache.pages() {
        Some(Kind::Secret) => {}
        Some(Kind::Locked) => warnings.push(
            "this kernel has no memfd_secret, so root can read the key of what is kept in memory; it is in no swap or dump".to_owned(),
        ),
        Some(Kind::Ordinary) => warnings.push(
            "RLIMIT_MEMLOCK has no room for the key of what is kept in memory, so it may be swapped out".to_owned(),
        ),
        None => warnings.push("there is no memory for values, so each is read from the store".to_owned()),
    }
    // What is described is read anew for each rotation, and where a daemon starts.
    if let Err(failure) = daemon.deployment() {
        warnings.push(format!(
            "{}: {}; until that is mended nothing is rotated, and a new daemon would not serve this deployment",
            failure.message,
            failure.causes.join("; ")
        ));
    }
    if rotate::deployer_runs(daemon) {
        warnings.push("a deployer run is under way (`donjon run --deploy`): rotations wait for it".to_owned());
    }
    if let Some(path) = daemon.missing_lookup_socket() {
        warnings.push(format!(
            "donjon.yaml asks for the lookup socket {}, which this daemon began without: end process {} by SIGTERM, then `donjon up`; the store is kept, and custodians unseal it anew",
            path.display(),
            std::process::id()
        ));
    }
    warnings
}

/// Takes unseal shares in.
pub async fn unseal(daemon: &Daemon, actor: Actor, shares: Vec<Material>) -> Answered {
    if shares.is_empty() {
        return Err(Failure::new(Exit::NotAllowed, "no share was given").state("nothing was changed"));
    }
    daemon.record(actor, Act::Unseal, &[], Outcome::Intent)?;
    let (mut new, mut before) = (0, None);
    for share in shares {
        let taken = daemon.backing.unseal(share).await;
        daemon.record(actor, Act::Unseal, &[], if taken.is_ok() { Outcome::Done } else { Outcome::Failed })?;
        match taken? {
            Taken::Now => new += 1,
            Taken::Before(failure) => before = Some(failure),
        }
    }
    // Of several, those that were given before do no harm.
    if let Some(failure) = before.filter(|_| new == 0) {
        return Err(failure);
    }
    generation::ahead(daemon).await;
    Ok((status(daemon), Vec::new()))
}

/// Ends the daemon; a temporary Vault is destroyed, where its secrets are safe elsewhere or the operator says so. Never under a
/// deployer, which would stop half-way: whoever cannot wait ends that one first.
pub async fn down(daemon: &Daemon, actor: Actor, force: bool) -> Answered {
    let _undisturbed = undisturbed(daemon, force).await?;
    daemon.record(actor, Act::Down, &[], Outcome::Intent)?;
    let warning = transfer::ends_soon(daemon).await;
    daemon.backing.destroy().await?;
    daemon.ending.send_replace(Ending::Destroyed);
    Ok((json!({"destroyed": is_temporary(daemon), "warning": warning}), Vec::new()))
}

/// What is held until the end: nothing begins meanwhile that would be lost with the store.
#[derive(Debug)]
struct Undisturbed<'a> {
    /// No rotation and no deployer begins. Nothing where a rotation is driven, which only force passes over; then none begins
    /// either.
    _alone: Option<RwLockWriteGuard<'a, ()>>,
    /// Nothing is stored. Nothing where something is being stored, which only force passes over.
    _still: Option<RwLockWriteGuard<'a, ()>>,
}

/// Whether anything stands against the end, from before the looks on: what is acknowledged after them would be nowhere else.
async fn undisturbed(daemon: &Daemon, force: bool) -> Result<Undisturbed<'_>, Failure> {
    let mut alone = rotate::soon(|| daemon.rotating.try_write().ok()).await;
    if alone.is_none() {
        if rotate::deployer_stays(daemon).await {
            return Err(deploys(
                "wait until it has ended, which `donjon status` tells, or end its process, which the audit log names",
            ));
        }
        // One that has ended between the two looks is no rotation, and another one shall not begin behind it.
        alone = rotate::soon(|| daemon.rotating.try_write().ok()).await;
    }
    let still = rotate::soon(|| daemon.moving.try_write().ok()).await;
    let driven = if alone.is_some() { Driven::NotHere } else { Driven::Here };
    // What the looks refuse says more than what comes after them.
    looked_at(daemon, force, driven).await?;
    if still.is_none() && !force {
        return Err(Failure::new(Exit::Waiting, "something is being stored or exported at this moment")
            .state("nothing was changed")
            .hint("the same command again, once that has ended"));
    }
    Ok(Undisturbed { _alone: alone, _still: still })
}

/// Whether what is only in a temporary Vault may end with it.
async fn looked_at(daemon: &Daemon, force: bool, driven: Driven) -> Result<(), Failure> {
    if !is_temporary(daemon) || daemon.backing.is_over() {
        return Ok(());
    }
    // A store that is not open serves no deployer.
    if let Ok(store) = daemon.store() {
        none_under_others(daemon, &*store, force).await?;
    }
    match force {
        true => Ok(()),
        false => safe_elsewhere(daemon, driven).await,
    }
}

fn is_temporary(daemon: &Daemon) -> bool {
    matches!(daemon.backing, Backing::Temporary { .. })
}

/// Whether this daemon drives a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driven {
    Here,
    NotHere,
}

fn deploys(hint: &str) -> Failure {
    rotate::deploys("it reads its secrets here (`donjon run --deploy`), and would stop half-way")
        .state("nothing was changed; the deployer goes on")
        .hint(hint)
}

/// Refused while a deployer runs under another broker of this Vault. One that does not answer cannot tell, and serves nobody:
/// whoever forces its end is not kept from it.
async fn none_under_others(daemon: &Daemon, store: &dyn Store, force: bool) -> Result<(), Failure> {
    match rotate::deployer_elsewhere(daemon, store).await {
        Ok(None) => Ok(()),
        Ok(Some(broker)) => {
            let hint = "wait until it has ended, which `donjon status` tells there, or end its process, which the audit log there names";
            Err(deploys(hint).cause(rotate::under(&broker)))
        }
        Err(failure) if force => {
            tracing::warn!(%failure, "it was not seen whether a deployer runs under another broker");
            Ok(())
        }
        Err(failure) => Err(failure.state("nothing was changed")),
    }
}

/// Refused while a rotation has not ended: servers may have values that nothing but this store holds. One that nobody drives
/// here may go on elsewhere, where the custodians' bundle has it as it is.
async fn none_unfinished(daemon: &Daemon, driven: Driven) -> Result<(), Failure> {
    let failed = |error| translate::store("cannot see whether a rotation is under way", &error);
    let (store, places) = (daemon.store()?, transfer::places(daemon)?);
    let mut unfinished = Held::unfinished(&*store, &daemon.layout).await.map_err(failed)?;
    if driven == Driven::NotHere {
        let (exported, _) = ledger::read(&*store, &places, &Scope::Custodians {}).await.map_err(failed)?;
        let contents = exported.map_or_else(Vec::new, |exported| exported.contents);
        let is_there = |held: &Held| {
            let path = daemon.layout.journal(&held.journal.id);
            contents.iter().any(|content| content.path == path.as_str() && content.version == held.version())
        };
        unfinished.retain(|held| !is_there(held));
    }
    if unfinished.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Waiting, "a rotation has not ended");
    failure.causes = unfinished
        .iter()
        .map(|held| format!("{} is {}: {}", held.journal.named(), held.journal.state, held.journal.meaning()))
        .collect();
    Err(failure.state("nothing was changed").hint(
        "`donjon rotate resume` ends it, or `donjon rotate abort`; one that waits for a site goes on elsewhere, where a new `donjon export bundle --custodians` carries it along; `donjon down --force` loses values that servers have been given",
    ))
}

async fn safe_elsewhere(daemon: &Daemon, driven: Driven) -> Result<(), Failure> {
    let store = daemon.store()?;
    let failed = |error| translate::store("cannot see whether the secrets are safe elsewhere", &error);
    let mut names = secrets::names(&*store, &daemon.layout).await.map_err(failed)?;
    let followed = into_store::followed(&*store, &transfer::places(daemon)?).await.map_err(failed)?;
    names.retain(|name| !followed.contains(daemon.layout.secret(name).as_str()));
    let others = secrets::of_others(&*store, &daemon.layout).await.map_err(failed)?;
    if !others.is_empty() {
        let mut failure = Failure::new(Exit::Waiting, "the temporary Vault holds secrets of other deployments");
        failure.causes = others.iter().map(|(name, count)| format!("{count} of `{name}`")).collect();
        return Err(failure.state("nothing was changed").hint(format!(
            "`deployment:` in donjon.yaml names `{}` now: put the other name back, and end that one first; or `donjon down --force` to lose them",
            daemon.layout.deployment()
        )));
    }
    if names.is_empty() {
        return Ok(());
    }
    let standing = transfer::standing(daemon, &*store).await?;
    if standing.moved.is_some() {
        return Ok(());
    }
    none_unfinished(daemon, driven).await?;
    if standing.may_end() {
        return Ok(());
    }
    let mut failure = Failure::new(
        Exit::Waiting,
        format!("what the temporary Vault holds, {} secrets and views, is not all safe elsewhere", names.len()),
    );
    failure.causes = standing.missing();
    let mut steps = Vec::new();
    if standing.waiting().next().is_some() {
        steps.push("`donjon receipt FILE` with what each site sends back");
    }
    if !standing.comes_back() {
        steps.push(
            "`donjon export bundle --custodians --recipient age1… -o FILE`, then `donjon doctor --drill FILE -i IDENTITY`",
        );
    }
    let steps = steps.join("; ");
    Err(failure.state("nothing was changed").hint(format!("{steps}; or `donjon down --force` to lose them")))
}

const READY: &str = "ready";
const AWAY: &str = "unavailable";
const SILENT: &str = "the Vault does not answer at once";
/// How long `status` waits for the store.
const AT_ONCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::{deploy, tests::Scene},
        rotation::{heartbeat::Pace, journal::Journal, others::Deployer},
    };
    use donjon_drivers::store::memory::Memory;
    use donjon_policies::transition::Path;
    use std::sync::Arc;

    #[tokio::test]
    async fn no_deployer_begins_from_the_looks_on() {
        let scene = Scene::new();
        let begins = async || deploy::begin(&scene.daemon, Actor::own()).await.map_err(|failure| failure.code);
        let undisturbed = undisturbed(&scene.daemon, true).await.unwrap();
        assert_eq!(begins().await.unwrap_err(), Exit::Waiting);
        drop(undisturbed);
        begins().await.unwrap();
        assert_eq!(down(&scene.daemon, Actor::own(), true).await.unwrap_err().code, Exit::Waiting);
    }

    #[tokio::test]
    async fn nothing_is_stored_from_the_looks_on_and_what_is_being_stored_is_waited_for() {
        let scene = Scene::new();
        let storing = scene.daemon.moving.read().await;
        let refused = undisturbed(&scene.daemon, false).await.unwrap_err();
        assert_eq!(refused.code, Exit::Waiting, "{refused}");
        undisturbed(&scene.daemon, true).await.unwrap();
        drop(storing);
        let undisturbed = undisturbed(&scene.daemon, false).await.unwrap();
        assert!(scene.daemon.moving.try_read().is_err());
        drop(undisturbed);
        assert!(scene.daemon.moving.try_read().is_ok());
    }

    #[tokio::test]
    async fn a_deployer_under_another_broker_keeps_the_vault_and_one_that_was_killed_does_not() {
        let shared: Arc<dyn Store> = Arc::new(Memory::default());
        let (own, other) = (Scene::on(shared.clone()), Scene::on(shared));
        let (store, layout) = (other.daemon.store().unwrap(), &other.daemon.layout);
        let runs = Deployer::announce(&*store, layout, &other.daemon.id).await.unwrap();
        let here = own.daemon.store().unwrap();
        let asked = none_under_others(&own.daemon, &*here, true);
        let refused = runs.beating(&*store, Pace::USUAL, asked).await.unwrap_err();
        assert_eq!(refused.code, Exit::Waiting, "{refused}");
        // Its record stays, and nobody beats.
        drop(runs);
        none_under_others(&own.daemon, &*here, false).await.unwrap();
        assert!(store.list(&layout.private("deployers")).await.unwrap().is_empty(), "it was taken back");
    }

    #[tokio::test]
    async fn only_what_is_driven_at_this_moment_is_told_as_driven() {
        let scene = Scene::new();
        let (store, layout) = (scene.daemon.store().unwrap(), &scene.daemon.layout);
        let mut ids = Vec::new();
        for id in ["a.1", "b.1"] {
            let journal = Journal::new(id.to_owned(), Path::Overlap, Vec::new(), &scene.daemon.id.to_string(), 0);
            ids.push(Held::create(&*store, layout, journal).await.unwrap());
        }
        let driving = rotate::Driving::of(&scene.daemon, "b.1");
        assert_eq!(ids.iter().map(|held| drives(&scene.daemon, held)).collect::<Vec<_>>(), [false, true]);
        drop(driving);
        assert!(!drives(&scene.daemon, &ids[1]));
    }
}
