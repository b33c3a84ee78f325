//! Which version of each record a store has taken in: a bundle of another role that is older brings no earlier value back.
//!
//! Versions are counted by the authority, so they are compared among bundles of one key alone: a successor's begin anew, and
//! what the key before has signed is refused as a whole by then.

use crate::transfer::{
    bundle::Opened,
    key::PublicKey,
    private::{self, Places, Recorded},
};
use donjon_drivers::store::{RecordPath, Store, StoreError, Version};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The versions that were taken in of one authority.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Taken {
    format: u32,
    authority: PublicKey,
    versions: BTreeMap<String, Version>,
}

impl Recorded for Taken {
    const FORMAT: u32 = 1;
}

impl Taken {
    /// Those of the bundle's authority.
    pub(super) async fn read(store: &dyn Store, places: &Places, authority: &PublicKey) -> Result<Self, StoreError> {
        Ok(Self::of(private::look::<Self>(store, &places.imported()).await?, authority))
    }

    fn of(known: Option<Self>, authority: &PublicKey) -> Self {
        let none = || Self { format: Self::FORMAT, authority: *authority, versions: BTreeMap::new() };
        known.filter(|known| known.authority == *authority).unwrap_or_else(none)
    }

    /// The records that came with bundles of any authority.
    pub(super) async fn all(store: &dyn Store, places: &Places) -> Result<BTreeSet<String>, StoreError> {
        let known = private::look::<Self>(store, &places.imported()).await?;
        Ok(known.map(|known| known.versions.into_keys().collect()).unwrap_or_default())
    }

    /// The version that was taken in of a record.
    pub(super) fn version(&self, record: &RecordPath) -> Option<Version> {
        self.versions.get(record.as_str()).copied()
    }

    /// Remembers what a bundle holds, beside whoever does the same.
    pub(super) async fn remember(store: &dyn Store, places: &Places, opened: &Opened) -> Result<(), StoreError> {
        let path = places.imported();
        for _ in 0..MOST_RACES {
            let (known, expected) = private::read::<Self>(store, &path).await?;
            let mut taken = Self::of(known, &opened.manifest().authority);
            for record in opened.records() {
                let version = taken.versions.entry(record.path.to_string()).or_insert(record.version);
                *version = record.version.max(*version);
            }
            match private::write(store, &path, &taken, expected).await {
                Err(StoreError::Conflict { .. }) => {}
                written => return written,
            }
        }
        Err(StoreError::Conflict { path })
    }
}

const MOST_RACES: usize = 20;
