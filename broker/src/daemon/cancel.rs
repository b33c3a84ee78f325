//! `export cancel` for a caller on the socket: a move of the authority that has not arrived is taken back.

use super::{Daemon, lookup::Answered, push, rotate, transfer, translate};
use crate::{
    audit::{About, Act, Actor, Outcome, Override},
    failure::{Exit, Failure},
    lifecycle::Backing,
    socket::message::VaultAsked,
    transfer::{
        Places,
        mark::{self, Mark, Marked, Move},
        push::{Destination, OtherEnd, PushError},
        snapshot::{self, BY_SNAPSHOT, OfCluster},
        told,
    },
};
use donjon_drivers::{material::Material, store::Store};
use serde_json::json;
use std::io::ErrorKind;

/// Takes it back, or says that there is nothing to take back. `lost` is what somebody says of the other end.
pub(super) async fn cancel(
    daemon: &Daemon,
    actor: Actor,
    there: Option<VaultAsked>,
    lost: bool,
    materials: Vec<Material>,
) -> Answered {
    let (store, places) = (daemon.store()?, transfer::places(daemon)?);
    // A move that goes on meanwhile would arrive.
    let _alone = rotate::alone(daemon).await?;
    let _still = daemon.moving.write().await;
    let marked = mark::read(&*store, &places).await;
    let marked = marked.map_err(|error| translate::store("cannot see where the authority is", &error))?;
    let moving = match marked.mark.clone() {
        None | Some(Mark::Here { .. }) => {
            let waits = match there {
                Some(there) => release(daemon, actor, (&*store, &places), there, materials).await?,
                None => None,
            };
            return Ok((json!({"from": waits}), Vec::new()));
        }
        Some(Mark::Moving(moving)) => moving,
        Some(Mark::Arriving { .. } | Mark::Withdrawn { .. })
            if own(daemon, actor, (&*store, &places), &marked).await? =>
        {
            return Ok((json!({"from": "this very store", "snapshot": false}), Vec::new()));
        }
        Some(other) => return Err(other.refusal().map_or_else(nobody, |elsewhere| told::elsewhere(&elsewhere))),
    };
    let end = match (there, lost) {
        (_, true) => None,
        (Some(there), false) => {
            let opened = Destination::open(push::named(there, materials)?).await;
            Some(opened.map_err(|error| told::looked(REFUSED, &error))?)
        }
        (None, false) if moving.to == BY_SNAPSHOT => None,
        (None, false) => return Err(unknown(&moving.to)),
    };
    let overrides = if lost { vec![Override::ClusterLost] } else { Vec::new() };
    let about = || About { overrides: overrides.clone(), ..About::default() };
    let record = |outcome| {
        daemon.audit.record_about(actor, Act::Export, about(), outcome).map_err(|error| translate::audit(&error))
    };
    record(Outcome::Intent)?;
    let done = take_back(daemon, &*store, &places, (&marked, &moving), (end.as_ref(), lost)).await;
    record(if done.is_ok() { Outcome::Done } else { Outcome::Failed })?;
    done?;
    Ok((json!({"from": moving.to, "snapshot": moving.to == BY_SNAPSHOT}), Vec::new()))
}

/// Of a push of this store into itself.
async fn own(
    daemon: &Daemon,
    actor: Actor,
    (store, places): (&dyn Store, &Places),
    marked: &Marked,
) -> Result<bool, Failure> {
    daemon.record(actor, Act::Export, &[], Outcome::Intent)?;
    let done = crate::transfer::push::cancel_own(store, places, marked, transfer::now()).await;
    daemon.record(actor, Act::Export, &[], if matches!(done, Ok(true)) { Outcome::Done } else { Outcome::Failed })?;
    done.map_err(|error| told::push(REFUSED, &error))
}

/// Of a push that never fenced this store: where it was claimed, if it was.
async fn release(
    daemon: &Daemon,
    actor: Actor,
    (store, places): (&dyn Store, &Places),
    there: VaultAsked,
    materials: Vec<Material>,
) -> Result<Option<String>, Failure> {
    let told = |error: PushError| told::push(REFUSED, &error).state("this store is the authority as before");
    let destination = Destination::open(push::named(there, materials)?).await.map_err(told)?;
    daemon.record(actor, Act::Export, &[], Outcome::Intent)?;
    let released = crate::transfer::push::release(store, places, &destination, transfer::now()).await;
    daemon.record(actor, Act::Export, &[], if released.is_ok() { Outcome::Done } else { Outcome::Failed })?;
    Ok(released.map_err(told)?.then(|| destination.place()))
}

async fn take_back(
    daemon: &Daemon,
    store: &dyn Store,
    places: &Places,
    (marked, moving): (&Marked, &Move),
    (end, lost): (Option<&Destination>, bool),
) -> Result<(), Failure> {
    let now = transfer::now();
    if moving.to != BY_SNAPSHOT {
        let end = end.map_or(OtherEnd::Lost, OtherEnd::There);
        let cancelled = crate::transfer::push::cancel(store, places, (marked, moving), end, now).await;
        return cancelled.map_err(|error| {
            let told = told::push(REFUSED, &error);
            match (matches!(error, PushError::Store { .. }), matches!(error, PushError::Overtaken)) {
                (true, _) => told.state(FENCED),
                (_, true) => told,
                (false, false) => told.state("nothing was changed"),
            }
        });
    }
    let vault = match &daemon.backing {
        Backing::Temporary { vault, .. } => Some(&**vault),
        Backing::Existing { .. } | Backing::Folder { .. } => None,
    };
    let cluster = if lost { OfCluster::Lost } else { OfCluster::AsWritten };
    let cancelled = snapshot::cancel(vault, store, places, marked, cluster, now).await;
    cancelled.map_err(|error| told::snapshot(REFUSED, &error))?;
    // Shares of a cluster that is none: the next one would be believed to open with them.
    match std::fs::remove_dir_all(daemon.home.overcloud()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::new(Exit::Failed, format!("cannot remove {}", daemon.home.overcloud().display()))
                .because(&error)
                .state("this store is the authority again")
                .hint("remove that folder before another `donjon export snapshot`"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unknown(to: &str) -> Failure {
    Failure::new(Exit::Usage, "whether the authority has arrived is not known")
        .cause(format!("it is on its way to {to}, which is to be asked"))
        .state("nothing was changed")
        .hint("the --address, --cacert and token of then; where that store is gone for good, --lost: if it is not, two stores rotate and sign")
}

fn nobody() -> Failure {
    Failure::new(Exit::Bug, "a store that is the authority was told to be none")
}

const FENCED: &str = "nothing is rotated or signed here until this command, or the export, has gone through";
const REFUSED: &str = "the move of the authority is not taken back";
