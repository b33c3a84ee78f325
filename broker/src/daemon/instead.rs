//! Secrets of another deployment, where the store has none of this one: most likely `deployment:` in donjon.yaml says another
//! name than it did, and what is made now would be second values of what servers have.

use super::{Daemon, translate};
use crate::{
    failure::{Exit, Failure},
    records::{Layout, secrets},
};
use donjon_drivers::store::{Store, StoreError};

/// Says so, where it is so.
pub(super) async fn told(store: &dyn Store, layout: &Layout) -> Result<Option<String>, StoreError> {
    if !secrets::names(store, layout).await?.is_empty() {
        return Ok(None);
    }
    let others = match secrets::of_others(store, layout).await {
        // In a Vault that was there before, the broker need not see what others have.
        Err(StoreError::Denied { .. }) => return Ok(None),
        others => others?,
    };
    Ok(others.into_iter().next().map(|(other, count)| {
        format!("the store holds {count} secrets of the deployment `{other}`, and none of `{}`", layout.deployment())
    }))
}

/// Refuses to begin this deployment beside the other, unless that is meant.
pub(super) async fn none(daemon: &Daemon, store: &dyn Store, meant: bool) -> Result<(), Failure> {
    if meant {
        return Ok(());
    }
    let told = told(store, &daemon.layout).await;
    match told.map_err(|error| translate::store("cannot look at what is there already", &error))? {
        None => Ok(()),
        Some(cause) => {
            let message = format!("there is nothing yet of the deployment `{}`", daemon.layout.deployment());
            Err(Failure::new(Exit::Conflict, message)
                .cause(cause)
                .state("nothing was stored")
                .hint(format!("{PUT_BACK}; `--new-deployment` with generate, adopt or put begins another beside it")))
        }
    }
}

/// What to do.
pub(super) const PUT_BACK: &str = "where this is that deployment, put its name back as `deployment:` in donjon.yaml, and end \
                                   this daemon: `donjon up` then serves them";
