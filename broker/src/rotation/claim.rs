//! Claims: a secret's labels name the one rotation that may change it.

use super::{Journal, checkpoint};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{
        Layout,
        labels::{self, Labels},
    },
};
use donjon_drivers::store::{Store, StoreError};
use donjon_policies::name::SecretName;
use std::collections::BTreeSet;

/// Makes this rotation the one that holds its secrets, in the order of their names; does nothing where it is already.
pub async fn claim(store: &dyn Store, layout: &Layout, journal: &Journal) -> Result<(), Failure> {
    for secret in journal.names() {
        one(store, layout, journal, &secret).await?;
    }
    Ok(())
}

async fn one(store: &dyn Store, layout: &Layout, journal: &Journal, secret: &SecretName) -> Result<(), Failure> {
    let failed = |error: StoreError| translate::store(format!("cannot rotate `{secret}`"), &error);
    let held = labels::read(store, layout, secret).await.map_err(failed)?;
    match &held.labels.rotation {
        Some(id) if *id == journal.id => Ok(()),
        Some(id) => Err(taken(secret, id)),
        None => {
            let claimed = Labels { rotation: Some(journal.id.clone()), ..held.labels.clone() };
            labels::write(store, layout, secret, &held, &claimed).await.map_err(|error| match error {
                StoreError::Conflict { .. } => {
                    Failure::new(Exit::Conflict, format!("another broker was faster to claim `{secret}`"))
                        .state("nothing was changed")
                        .hint("`donjon rotate status` shows what is under way")
                }
                other @ (StoreError::Sealed
                | StoreError::Unreachable { .. }
                | StoreError::Denied { .. }
                | StoreError::Full { .. }
                | StoreError::Damaged { .. }
                | StoreError::Answer { .. }) => failed(other),
            })?;
            checkpoint::reached("rotation.claimed");
            Ok(())
        }
    }
}

/// Which of its secrets a rotation holds. Where it does not hold one that it began with, it was ended for that one but for
/// the last line of its journal, and the secret may be another's by now.
pub async fn held(store: &dyn Store, layout: &Layout, journal: &Journal) -> Result<BTreeSet<SecretName>, Failure> {
    let mut held = BTreeSet::new();
    for secret in journal.names() {
        let read = labels::read(store, layout, &secret).await;
        let read = read.map_err(|error| translate::store(format!("cannot read the labels of `{secret}`"), &error))?;
        if read.labels.rotation.as_deref() == Some(journal.id.as_str()) {
            held.insert(secret);
        }
    }
    Ok(held)
}

/// Lets go of secrets that were claimed before another one turned out to be taken.
pub async fn let_go(store: &dyn Store, layout: &Layout, journal: &Journal) -> Result<(), Failure> {
    for secret in held(store, layout, journal).await? {
        release(store, layout, journal, &secret, |labels| labels).await?;
    }
    Ok(())
}

/// Lets one secret go for other rotations, with changed labels, and removes what is pending of it.
pub async fn release(
    store: &dyn Store,
    layout: &Layout,
    journal: &Journal,
    secret: &SecretName,
    change: impl FnOnce(Labels) -> Labels,
) -> Result<(), Failure> {
    let failed = |error: StoreError| translate::store(format!("cannot end the rotation of `{secret}`"), &error);
    let held = labels::read(store, layout, secret).await.map_err(failed)?;
    if held.labels.rotation.as_deref() == Some(journal.id.as_str()) {
        store.remove(&layout.pending(&journal.id, secret)).await.map_err(failed)?;
        checkpoint::reached("rotation.pending-removed");
        let labels = Labels { rotation: None, ..change(held.labels.clone()) };
        labels::write(store, layout, secret, &held, &labels).await.map_err(failed)?;
        checkpoint::reached("rotation.labels-written");
    }
    Ok(())
}

/// A secret is another rotation's.
pub fn taken(secret: &SecretName, id: &str) -> Failure {
    Failure::new(Exit::Conflict, format!("`{secret}` is being rotated already ({id})"))
        .state("nothing was changed")
        .hint("`donjon rotate status` shows it; `donjon rotate resume` goes on with one that was interrupted")
}
