//! A store in memory: the reference for the conformance kit, and for simulations.

use super::{
    Capabilities, Document, Expected, RecordPath, Rotation, Store, StoreError, Stored, Version, VersionInfo,
    VersionState, Which,
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Records in memory, gone with the process.
#[derive(Debug, Default)]
pub struct Memory {
    records: Mutex<BTreeMap<RecordPath, Vec<Option<Document>>>>,
}

impl Memory {
    fn records(&self) -> MutexGuard<'_, BTreeMap<RecordPath, Vec<Option<Document>>>> {
        // Each change below is a single insertion, so a panic elsewhere leaves the map whole.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "memory", rotation: Rotation::Allowed }
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        let records = self.records();
        let Some(versions) = records.get(path) else {
            return Ok(None);
        };
        let number = match which {
            Which::Latest => versions.len() as u64,
            Which::Number(Version(number)) => number,
        };
        let Some(Some(document)) = number.checked_sub(1).and_then(|i| versions.get(i as usize)) else {
            return Ok(None);
        };
        Ok(Some(Stored { document: document.duplicate(), version: Version(number), created: 0 }))
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        let mut records = self.records();
        let newest = records.get(path).map_or(0, Vec::len) as u64;
        let wanted = match expected {
            Expected::Absent => 0,
            Expected::Newest(Version(number)) => number,
        };
        if newest != wanted {
            return Err(StoreError::Conflict { path: path.clone() });
        }
        records.entry(path.clone()).or_default().push(Some(document.duplicate()));
        Ok(Version(newest + 1))
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        let prefix = format!("{folder}/");
        let names: BTreeSet<String> = self
            .records()
            .keys()
            .filter_map(|path| path.as_str().strip_prefix(&prefix))
            .map(|rest| rest.split_once('/').map_or_else(|| rest.to_owned(), |(first, _)| format!("{first}/")))
            .collect();
        Ok(names.into_iter().collect())
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        let records = self.records();
        let Some(versions) = records.get(path) else {
            return Ok(Vec::new());
        };
        let info = |(i, document): (usize, &Option<Document>)| VersionInfo {
            version: Version(i as u64 + 1),
            created: 0,
            state: if document.is_some() { VersionState::Present } else { VersionState::Destroyed },
        };
        Ok(versions.iter().enumerate().map(info).collect())
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        if let Some(record) = self.records().get_mut(path) {
            for Version(number) in versions {
                if let Some(text) = number.checked_sub(1).and_then(|i| record.get_mut(i as usize)) {
                    *text = None;
                }
            }
        }
        Ok(())
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        self.records().remove(path);
        Ok(())
    }
}
