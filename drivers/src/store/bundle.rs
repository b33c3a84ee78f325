//! An opened bundle as a store: read-only, in memory, with the versions that the bundle names.

use super::{
    Capabilities, Document, Expected, RecordPath, Rotation, Store, StoreError, Stored, Version, VersionInfo,
    VersionState, Which,
};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};

/// The records of one bundle. Nothing can be written to them.
#[derive(Debug)]
pub struct Bundle {
    created: i64,
    records: BTreeMap<RecordPath, BTreeMap<Version, Document>>,
}

impl Bundle {
    /// A store of these records. `created` is when the bundle was made, in seconds since 1970.
    pub fn new(created: i64, records: impl IntoIterator<Item = (RecordPath, Version, Document)>) -> Self {
        let mut all = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (path, version, document) in records {
            all.entry(path).or_default().insert(version, document);
        }
        Self { created, records: all }
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[async_trait]
impl Store for Bundle {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "bundle", rotation: Rotation::Refused }
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        let Some(versions) = self.records.get(path) else { return Ok(None) };
        let found = match which {
            Which::Latest => versions.last_key_value(),
            Which::Number(number) => versions.get_key_value(&number),
        };
        let stored = |(version, document): (&Version, &Document)| Stored {
            document: document.duplicate(),
            version: *version,
            created: self.created,
        };
        Ok(found.map(stored))
    }

    async fn write(&self, path: &RecordPath, _: &Document, _: Expected) -> Result<Version, StoreError> {
        Err(StoreError::Denied { path: path.clone() })
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        let prefix = format!("{folder}/");
        let below = self.records.keys().filter_map(|path| path.as_str().strip_prefix(&prefix));
        let first = |rest: &str| rest.split_once('/').map_or_else(|| rest.to_owned(), |(name, _)| format!("{name}/"));
        Ok(below.map(first).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        let Some(versions) = self.records.get(path) else { return Ok(Vec::new()) };
        let newest = versions.last_key_value().map_or(0, |(version, _)| version.0);
        let state = |version| match versions.contains_key(&version) {
            true => VersionState::Present,
            false => VersionState::Destroyed,
        };
        // Numbers below the newest that the bundle does not hold are as good as destroyed here. Few are listed, however
        // large the numbers that a bundle names.
        let first = versions.first_key_value().map_or(1, |(version, _)| version.0);
        let all = first..=newest;
        Ok(all
            .take(LONGEST_HISTORY)
            .map(|n| VersionInfo { version: Version(n), created: self.created, state: state(Version(n)) })
            .collect())
    }

    async fn destroy(&self, path: &RecordPath, _: &[Version]) -> Result<(), StoreError> {
        Err(StoreError::Denied { path: path.clone() })
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        Err(StoreError::Denied { path: path.clone() })
    }
}

const LONGEST_HISTORY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::material::Material;

    fn path(text: &str) -> RecordPath {
        text.parse().unwrap()
    }

    fn document(text: &str) -> Document {
        Document::from_json(Material::from(text.to_owned())).unwrap()
    }

    #[tokio::test]
    async fn it_reads_what_it_was_made_of_and_takes_nothing() {
        let one = (path("d/a"), Version(3), document(r#"{"n":3}"#));
        let two = (path("d/a"), Version(5), document(r#"{"n":5}"#));
        let three = (path("d/f/b"), Version(1), document("{}"));
        let store = Bundle::new(7, [one, two, three]);
        let read = async |which| store.read(&path("d/a"), which).await.unwrap().map(|stored| stored.version.0);
        assert_eq!(read(Which::Latest).await, Some(5));
        assert_eq!(read(Which::Number(Version(3))).await, Some(3));
        assert_eq!(read(Which::Number(Version(4))).await, None);
        assert_eq!(store.list(&path("d")).await.unwrap(), ["a", "f/"]);
        let versions = store.versions(&path("d/a")).await.unwrap();
        let states: Vec<_> = versions.iter().map(|info| (info.version.0, info.state)).collect();
        assert_eq!(states, [(3, VersionState::Present), (4, VersionState::Destroyed), (5, VersionState::Present)]);
        let refused = store.write(&path("d/a"), &document("{}"), Expected::Newest(Version(5))).await;
        assert!(matches!(refused, Err(StoreError::Denied { .. })));
        assert!(store.remove(&path("d/a")).await.is_err() && store.destroy(&path("d/a"), &[]).await.is_err());
    }
}
