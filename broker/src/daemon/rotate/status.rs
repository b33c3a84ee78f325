//! `rotate status`: the rotations that have not ended, what each waits for now, and what may be typed next.

use super::{describe, described};
use crate::{
    daemon::{Daemon, lookup::Answered, translate},
    failure::Failure,
    rotation::{
        Journal,
        journal::Held,
        plan::{self, PlannedRotation},
        sites,
    },
    socket::message::RotateAsked,
};
use donjon_drivers::store::{Store, StoreError};
use donjon_policies::{catalogue::Catalogue, deployment::Deployment};
use serde_json::{Value, json};

/// The rotations that have not ended.
pub async fn status(daemon: &Daemon) -> Answered {
    let store = daemon.store()?;
    let failed = |error: StoreError| translate::store("cannot read the journals", &error);
    let journals = Held::unfinished(&*store, &daemon.layout).await.map_err(failed)?;
    let (mut shown, place) = (Vec::new(), described(daemon).await);
    for held in &journals {
        let planned = place.as_ref().ok().and_then(|(deployment, catalogue)| planned(catalogue, deployment, held));
        shown.push(one(daemon, &*store, &held.journal, planned).await.map_err(failed)?);
    }
    Ok((json!({"rotations": shown, "driven": daemon.rotating.try_read().is_err()}), Vec::new()))
}

/// A rotation as of now. Where the deployment file no longer describes it, what it has written is what there is.
async fn one(
    daemon: &Daemon,
    store: &dyn Store,
    journal: &Journal,
    planned: Option<PlannedRotation>,
) -> Result<Value, StoreError> {
    let mut shown = describe(journal);
    let behind = match &planned {
        Some(planned) => sites::behind_of(store, &daemon.layout, journal, planned).await?,
        None => Vec::new(),
    };
    if planned.is_some() {
        shown["waiting"] = json!(sites::waiting(journal, &behind));
    }
    shown["next"] = json!(match behind.as_slice() {
        [] if journal.may_abort() => {
            format!("`donjon rotate resume` goes on with {}, `donjon rotate abort` goes back", journal.named())
        }
        [] => format!("`donjon rotate resume` goes on with {}", journal.named()),
        behind => sites::hint(behind),
    });
    Ok(shown)
}

fn planned(catalogue: &Catalogue, deployment: &Deployment, held: &Held) -> Option<PlannedRotation> {
    let asked = RotateAsked {
        names: held.journal.names().iter().map(ToString::to_string).collect(),
        compromised: held.journal.compromised,
        ..RotateAsked::default()
    };
    let planned: Result<_, Failure> = plan::plan(catalogue, deployment, &asked);
    planned.ok()?.rotations.into_iter().next()
}
