//! The deployment's views, kept as its file says: a view is there as soon as its secrets are, and follows its template.

use super::{Daemon, rotate, transfer, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    records::epoch,
    views::{RefreshError, Refreshed, View, ViewError},
};
use donjon_drivers::store::Store;
use donjon_policies::{deployment::Deployment, name::SecretName};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Looks again and again whether the file says something else, until the daemon ends.
pub async fn run(daemon: Arc<Daemon>) {
    let own = Actor::own();
    let mut followed: Option<Arc<Deployment>> = None;
    let mut pause = EVERY;
    loop {
        tokio::time::sleep(pause).await;
        pause = EVERY;
        let Ok(deployment) = daemon.deployment() else { continue };
        if followed.as_ref().is_some_and(|followed| Arc::ptr_eq(followed, &deployment)) {
            continue;
        }
        match follow(&daemon, own).await {
            Ok(Followed::All) => followed = Some(deployment),
            Ok(Followed::NotNow) => {}
            Err(failure) => {
                tracing::warn!(%failure, "the views of the deployment file are not all as it says");
                pause = AGAIN;
            }
        }
    }
}

/// Whether the views are as the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// All whose secrets are there.
    All,
    /// Nobody has looked: the store is closed or follows another, or a rotation or a deployer run would be disturbed.
    NotNow,
}

/// Brings all of them up to date, and tells readers where one has changed.
pub async fn follow(daemon: &Daemon, actor: Actor) -> Result<Followed, Failure> {
    let deployment = daemon.deployment()?;
    let (Ok(store), Ok(_still)) = (daemon.store(), daemon.moving.try_read()) else { return Ok(Followed::NotNow) };
    // A deployer run is pinned to the epoch.
    if !rotate::is_free(daemon) || transfer::authority_is_here(daemon).await.is_err() {
        return Ok(Followed::NotNow);
    }
    publish(daemon, actor, &*store, deployment.views.keys().cloned().collect()).await?;
    Ok(Followed::All)
}

/// As [`follow`], for what is to have them as the file says now: who holds for a moment what would keep it back is waited for.
pub async fn follow_now(daemon: &Daemon, actor: Actor) -> Result<Followed, Failure> {
    rotate::soon(|| rotate::is_free(daemon).then_some(())).await;
    follow(daemon, actor).await
}

/// As [`assemble`], and tells readers.
pub async fn publish(
    daemon: &Daemon,
    actor: Actor,
    store: &dyn Store,
    some: BTreeSet<SecretName>,
) -> Result<(), Failure> {
    if assemble(daemon, actor, store, some).await? {
        let failed = |error| translate::store("cannot tell readers of the new views", &error);
        epoch::bump(store, &daemon.layout).await.map_err(failed)?;
    }
    Ok(())
}

/// Assembles some anew, each where it differs; one that lacks a secret still is left for later. Whether any was written, of
/// which readers are to be told.
pub async fn assemble(
    daemon: &Daemon,
    actor: Actor,
    store: &dyn Store,
    some: BTreeSet<SecretName>,
) -> Result<bool, Failure> {
    if some.is_empty() {
        return Ok(false);
    }
    let deployment = daemon.deployment()?;
    let names: Vec<SecretName> = some.into_iter().collect();
    daemon.record(actor, Act::Assemble, &names, Outcome::Intent)?;
    let mut written = Vec::new();
    for view in names {
        let now = jiff::Timestamp::now().as_second();
        let described = View { store, layout: &daemon.layout, name: &view, template: &deployment.views[&view] };
        match described.refresh(now).await {
            Ok(Refreshed::Written) => written.push(view),
            Ok(Refreshed::Unchanged) | Err(RefreshError::View(ViewError::Missing(_))) => {}
            Err(RefreshError::Store(error)) => {
                return Err(translate::store(format!("cannot write the view `{view}`"), &error));
            }
            Err(RefreshError::View(error)) => {
                return Err(Failure::new(Exit::Usage, format!("cannot assemble the view `{view}`")).because(&error));
            }
        }
    }
    daemon.record(actor, Act::Assemble, &written, Outcome::Done)?;
    Ok(!written.is_empty())
}

/// How often the file is looked at: it is read again where it has changed only.
const EVERY: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::Scene;

    #[tokio::test]
    async fn what_is_held_for_a_moment_keeps_no_command_from_the_views_of_now() {
        let scene = Scene::new();
        let held = scene.daemon.rotating.try_write().unwrap();
        assert_eq!(follow(&scene.daemon, Actor::own()).await.unwrap(), Followed::NotNow, "the control");
        let lets_go = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(held);
        };
        let (followed, ()) = tokio::join!(follow_now(&scene.daemon, Actor::own()), lets_go);
        assert_eq!(followed.unwrap(), Followed::All);
    }
}
