//! A bundle that was opened: all in memory, and good until its end.

use super::{Lookup, Standing};
use async_trait::async_trait;
use donjon_drivers::store::{RecordPath, Store, StoreError, Stored, VersionInfo, Which, bundle::Bundle};
use donjon_policies::name::RoleName;

/// An opened bundle.
#[derive(Debug)]
pub struct OfBundle {
    bundle: Bundle,
    ends: i64,
    clock: fn() -> i64,
}

impl OfBundle {
    /// A bundle that is good until this second of 1970; `clock` tells the second that is now.
    pub fn new(bundle: Bundle, ends: i64, clock: fn() -> i64) -> Self {
        Self { bundle, ends, clock }
    }
}

#[async_trait]
impl Lookup for OfBundle {
    async fn standing(&self) -> Standing {
        if (self.clock)() > self.ends { Standing::Sealed } else { Standing::Open }
    }

    async fn read(&self, _: &RoleName, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        self.bundle.read(path, which).await
    }

    async fn read_together(&self, _: &RoleName, paths: &[RecordPath]) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut all = Vec::with_capacity(paths.len());
        for path in paths {
            all.push(self.bundle.read(path, Which::Latest).await?);
        }
        Ok(all)
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        self.bundle.versions(path).await
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        self.bundle.list(folder).await
    }
}
