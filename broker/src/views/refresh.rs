//! Bringing a view's record up to date with the secrets that it is made of.

use super::{ViewError, assemble};
use crate::records::{Layout, secrets};
use donjon_drivers::{
    material::Material,
    store::{
        Store, StoreError, Which,
        secret::{Origin, SecretRecord, SecretValue},
    },
};
use donjon_policies::{deployment::placeholders, name::SecretName};
use std::collections::BTreeMap;

/// Why a view could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It cannot be assembled.
    #[error("it cannot be assembled")]
    View(#[from] ViewError),
    /// The store did not do its part.
    #[error("its record cannot be read or written")]
    Store(#[from] StoreError),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// A new version was written.
    Written,
    /// Its newest version was right already.
    Unchanged,
}

/// Assembles a view from the newest versions of its secrets and writes it where it differs. `now` is in seconds since 1970.
pub async fn refresh(
    store: &dyn Store,
    layout: &Layout,
    view: &SecretName,
    template: &str,
    now: i64,
) -> Result<Refreshed, RefreshError> {
    let mut values = BTreeMap::new();
    for placeholder in placeholders(template).filter_map(Result::ok) {
        if let Some(held) = secrets::read(store, layout, &placeholder.secret, Which::Latest).await? {
            values.insert(placeholder.secret, held.record.value);
        }
    }
    let parts: BTreeMap<SecretName, &Material> = values.iter().map(|(n, v)| (n.clone(), v.material())).collect();
    let assembled = assemble(template, &parts)?;
    let newest = secrets::read(store, layout, view, Which::Latest).await?;
    if newest.is_some_and(|held| held.record.value.material().matches(&assembled)) {
        return Ok(Refreshed::Unchanged);
    }
    let value = SecretValue::Whole(assembled);
    let record = SecretRecord { name: view.clone(), value, created: now, origin: Origin::Assembled };
    secrets::write(store, layout, &record).await?;
    Ok(Refreshed::Written)
}
