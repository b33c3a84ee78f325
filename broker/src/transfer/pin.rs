//! The pin: the one authority whose bundles a store takes in, whatever site and role they are for.
//!
//! Where none was pinned yet, a store that signs takes in what it has signed itself; one that does not trusts the first
//! bundle, once, and pins its authority before anything of it is written.

use super::{
    authority::{Authority, AuthorityError},
    bundle::Opened,
    key::PublicKey,
    private::{self, Places, Recorded, records_below},
    succession::Trust,
};
use donjon_drivers::store::{Store, StoreError};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Pinned {
    format: u32,
    key: PublicKey,
    at: i64,
}

/// What each scope's record held of its authority before there was one pin for all of them.
#[derive(Debug, Deserialize)]
struct OfScope {
    pin: PublicKey,
}

impl Recorded for Pinned {
    const FORMAT: u32 = 1;
}

impl Recorded for OfScope {
    const FORMAT: u32 = 1;
}

/// The key that a bundle is checked against; `None` where the first one may be trusted.
pub(super) async fn read(store: &dyn Store, places: &Places) -> Result<Option<PublicKey>, PinError> {
    if let (Some(pinned), _) = private::read::<Pinned>(store, &places.pin()).await? {
        return Ok(Some(pinned.key));
    }
    if let Some(key) = of_scopes(store, places).await? {
        return Ok(Some(key));
    }
    Ok(Authority::read(store, places).await?.map(|authority| *authority.public()))
}

async fn of_scopes(store: &dyn Store, places: &Places) -> Result<Option<PublicKey>, PinError> {
    let mut found: Option<PublicKey> = None;
    for path in records_below(store, &places.imports()).await? {
        let (record, _) = private::read::<OfScope>(store, &path).await?;
        let Some(OfScope { pin }) = record else { continue };
        if found.is_some_and(|other| other != pin) {
            return Err(PinError::Several);
        }
        found = Some(pin);
    }
    Ok(found)
}

/// Pins the authority of a bundle that was accepted. Of two that both came first, one is refused.
pub(super) async fn keep(store: &dyn Store, places: &Places, opened: &Opened, now: i64) -> Result<(), StoreError> {
    let key = opened.manifest().authority;
    let (known, expected) = private::read::<Pinned>(store, &places.pin()).await?;
    match known {
        Some(known) if known.key == key => return Ok(()),
        Some(_) if opened.trust() == Trust::First => return Err(StoreError::Conflict { path: places.pin() }),
        Some(_) | None => {}
    }
    private::write(store, &places.pin(), &Pinned { format: Pinned::FORMAT, key, at: now }, expected).await
}

/// Why it is not known whose bundles are to be taken in.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// An older Donjon pinned for each site and role apart.
    #[error("bundles of more than one authority were taken in here before")]
    Several,
    /// The store did not do it.
    #[error("cannot read whose bundles this store takes in")]
    Store(#[from] StoreError),
    /// The store's own key cannot be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}
