//! Which file is which version of which record.

use crate::{
    material::Material,
    store::{RecordPath, Version, VersionInfo, VersionState},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The index of a store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Index {
    /// The version of this format.
    pub(super) format: u32,
    /// Counts the changes: an index with a smaller one is an old copy.
    pub(super) changes: u64,
    records: BTreeMap<String, Vec<Entry>>,
}

/// One version.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    /// The digest of its file, which is the file's name too; `None` once it was destroyed.
    object: Option<String>,
    created: i64,
}

/// The format that is written.
pub(super) const FORMAT: u32 = 1;

impl Index {
    pub(super) fn empty() -> Self {
        Self { format: FORMAT, changes: 0, records: BTreeMap::new() }
    }

    pub(super) fn from_json(text: &Material) -> Option<Self> {
        // EXPOSE: names and digests, parsed in place
        serde_json::from_slice(text.expose()).ok()
    }

    pub(super) fn to_json(&self) -> Option<Material> {
        serde_json::to_vec(self).ok().map(Material::new)
    }

    /// The newest version of a record; `None` where there is no such record.
    pub(super) fn newest(&self, path: &RecordPath) -> Option<Version> {
        self.records.get(path.as_str()).map(|entries| Version(entries.len() as u64))
    }

    /// The file of a version, where its bytes are there.
    pub(super) fn object(&self, path: &RecordPath, version: Version) -> Option<&str> {
        self.entries(path).get(place(version)?)?.object.as_deref()
    }

    /// Adds the next version.
    pub(super) fn add(&mut self, path: &RecordPath, object: String, created: i64) -> Version {
        let entries = self.records.entry(path.to_string()).or_default();
        entries.push(Entry { object: Some(object), created });
        self.changes += 1;
        Version(entries.len() as u64)
    }

    /// Forgets the files of versions, and gives back their names.
    pub(super) fn destroy(&mut self, path: &RecordPath, versions: &[Version]) -> Vec<String> {
        let Some(entries) = self.records.get_mut(path.as_str()) else {
            return Vec::new();
        };
        self.changes += 1;
        let mut gone = Vec::new();
        for version in versions {
            gone.extend(place(*version).and_then(|i| entries.get_mut(i)).and_then(|entry| entry.object.take()));
        }
        gone
    }

    /// Forgets a record, and gives back the names of its files.
    pub(super) fn remove(&mut self, path: &RecordPath) -> Vec<String> {
        self.changes += 1;
        self.records.remove(path.as_str()).unwrap_or_default().into_iter().filter_map(|entry| entry.object).collect()
    }

    /// The names directly below a folder; folders end in `/`.
    pub(super) fn list(&self, folder: &RecordPath) -> Vec<String> {
        let prefix = format!("{folder}/");
        let below = self.records.range(prefix.clone()..).map_while(|(path, _)| path.strip_prefix(&prefix));
        let names: BTreeSet<String> = below
            .map(|rest| rest.split_once('/').map_or_else(|| rest.to_owned(), |(first, _)| format!("{first}/")))
            .collect();
        names.into_iter().collect()
    }

    /// Every version of a record, oldest first.
    pub(super) fn versions(&self, path: &RecordPath) -> Vec<VersionInfo> {
        let info = |(i, entry): (usize, &Entry)| VersionInfo {
            version: Version(i as u64 + 1),
            created: entry.created,
            state: if entry.object.is_some() { VersionState::Present } else { VersionState::Destroyed },
        };
        self.entries(path).iter().enumerate().map(info).collect()
    }

    /// Every file that is part of the store.
    pub(super) fn objects(&self) -> BTreeSet<&str> {
        self.records.values().flatten().filter_map(|entry| entry.object.as_deref()).collect()
    }

    fn entries(&self, path: &RecordPath) -> &[Entry] {
        self.records.get(path.as_str()).map_or(&[], Vec::as_slice)
    }
}

fn place(version: Version) -> Option<usize> {
    usize::try_from(version.0.checked_sub(1)?).ok()
}
