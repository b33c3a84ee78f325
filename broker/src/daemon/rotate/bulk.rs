//! `--all`, and what is due or exposed: what cannot be rotated here, for the store or the server does not know it, is left alone,
//! and said.

use crate::{
    daemon::{Daemon, translate},
    failure::Failure,
    records::secrets,
    rotation::{Subject, begin, open, plan},
    socket::message::RotateAsked,
};
use donjon_drivers::store::Store;
use donjon_policies::{catalogue::Catalogue, deployment::Deployment, name::SecretName};
use plan::{Left, Plan, Planned, PlannedRotation};
use std::{collections::BTreeMap, time::Duration};

/// A plan without what the store has no value of, where nobody named it. Whatever else keeps such a secret back comes after that.
pub(super) async fn plan(
    daemon: &Daemon,
    catalogue: &Catalogue,
    deployment: &Deployment,
    asked: &RotateAsked,
) -> Result<Plan, Failure> {
    let planned = plan::plan(catalogue, deployment, asked)?;
    if asked.chosen {
        let back = plan::kept_back(catalogue, deployment, &planned.rotations);
        return without(catalogue, deployment, asked, planned, |secret| back.get(secret).cloned());
    }
    // The plan of a store that is away or sealed is still a plan.
    let Ok(store) = daemon.store() else { return Ok(planned) };
    if !asked.all {
        return Ok(planned);
    }
    let stored = secrets::names(&*store, &daemon.layout).await;
    let stored = stored.map_err(|error| translate::store("cannot list the secrets", &error))?;
    let why = |secret: &SecretName| (!stored.contains(secret)).then(|| "the store has no value of it".to_owned());
    let mut plan = without(catalogue, deployment, asked, planned, why)?;
    for left in &mut plan.left {
        if let Some(why) = why(&left.secret) {
            left.why = why;
        }
    }
    Ok(plan)
}

/// A plan as it is shown: without the secrets that nodes fetch full copies with where their accounts need no value. A server
/// that does not answer at once tells nothing: its plan is still a plan. Whoever applies it meets the same by himself.
pub(super) async fn shown(
    daemon: &Daemon,
    catalogue: &Catalogue,
    deployment: &Deployment,
    asked: &RotateAsked,
    planned: Plan,
) -> Result<Plan, Failure> {
    let Ok(store) = daemon.store() else { return Ok(planned) };
    let mut found = BTreeMap::new();
    for rotation in planned.rotations.iter().filter(|rotation| rotation.secrets.iter().any(is_of_transfer)) {
        // What restarts does not matter here.
        let alone = PlannedRotation { restarts: Vec::new(), ..rotation.clone() };
        let Ok(subject) = open::subject(catalogue, deployment, &alone, &daemon.home.connections()) else { continue };
        let of_transfer: Vec<&SecretName> =
            rotation.secrets.iter().filter(|one| is_of_transfer(one)).map(|one| &one.secret).collect();
        for item in subject.secrets.iter().filter(|item| of_transfer.contains(&&item.secret)) {
            let asking = tokio::time::timeout(AT_ONCE, begin::by_socket(&*store, &daemon.layout, &subject, item)).await;
            if let Ok(Some(why)) = asking {
                found.insert(item.secret.clone(), why);
            }
        }
    }
    without(catalogue, deployment, asked, planned, |secret| found.get(secret).cloned())
}

/// Whether nodes fetch full copies from each other with it, so that something would be better than its value.
fn is_of_transfer(planned: &Planned) -> bool {
    planned.advice.is_some()
}

/// How long a plan asks a server.
const AT_ONCE: Duration = Duration::from_secs(3);

/// What a planned rotation touches, without those of its secrets that the servers have no account of, where nobody named
/// them: these are added to `left`. `None` where nothing remains.
pub(super) async fn subject(
    daemon: &Daemon,
    store: &dyn Store,
    place: (&Catalogue, &Deployment),
    asked: &RotateAsked,
    planned: &PlannedRotation,
    left: &mut Vec<Left>,
) -> Result<Option<Subject>, Failure> {
    let (catalogue, deployment) = place;
    let subject = open::subject(catalogue, deployment, planned, &daemon.home.connections())?;
    if !asked.all && !asked.chosen {
        return Ok(Some(subject));
    }
    let absent = begin::absent(store, &daemon.layout, &subject).await?;
    if absent.is_empty() {
        return Ok(Some(subject));
    }
    let rotations = vec![planned.clone()];
    let why = |secret: &SecretName| absent.get(secret).cloned();
    let fewer = without(catalogue, deployment, asked, Plan { rotations, left: Vec::new() }, why)?;
    left.extend(fewer.left);
    let open = |planned| open::subject(catalogue, deployment, planned, &daemon.home.connections());
    fewer.rotations.first().map(open).transpose()
}

/// The same plan without some secrets.
fn without(
    catalogue: &Catalogue,
    deployment: &Deployment,
    asked: &RotateAsked,
    planned: Plan,
    why: impl Fn(&SecretName) -> Option<String>,
) -> Result<Plan, Failure> {
    let Plan { rotations, mut left } = planned;
    let mut kept = Vec::new();
    for rotation in rotations {
        let (gone, stays): (Vec<_>, Vec<_>) =
            rotation.secrets.iter().map(|planned| &planned.secret).partition(|secret| why(secret).is_some());
        left.extend(gone.iter().filter_map(|secret| Some(Left { secret: (*secret).clone(), why: why(secret)? })));
        if gone.is_empty() {
            kept.push(rotation);
        } else if !stays.is_empty() {
            let names = stays.into_iter().map(ToString::to_string).collect();
            let asked = RotateAsked { names, all: false, ..asked.clone() };
            kept.extend(plan::plan(catalogue, deployment, &asked)?.rotations);
        }
    }
    Ok(Plan { rotations: kept, left })
}
