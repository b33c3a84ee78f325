//! What every store must do, as one kit that runs over each of them.

use super::{
    Document, Expected, RecordPath, Store, StoreError, Version, VersionState, Which, document::NoObject,
    path::PathError,
};
use crate::material::Material;
use serde_json::{Value, json};
use std::sync::Arc;

/// A store that broke a rule.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// It answered otherwise than the rule says.
    #[error("{rule}: found {found}")]
    Rule {
        /// The rule.
        rule: &'static str,
        /// What was found instead; the kit's records hold no secret.
        found: String,
    },
    /// It failed where the rule wants an answer.
    #[error("the store failed")]
    Failed(#[from] StoreError),
    /// The kit itself is wrong.
    #[error("the kit is wrong")]
    Path(#[from] PathError),
    /// The kit itself is wrong.
    #[error("the kit is wrong")]
    Document(#[from] NoObject),
    /// A racing writer ended early.
    #[error("a racing writer ended early")]
    Racer(#[from] tokio::task::JoinError),
}

/// Runs every rule below an empty folder of a store. Needs a runtime with several threads for the races to be real.
pub async fn check(store: &Arc<dyn Store>, below: &RecordPath) -> Result<(), Violation> {
    let folder = |name: &str| below.join(name);
    compare_and_set(&**store, &folder("cas")?).await?;
    versions(&**store, &folder("versions")?).await?;
    removal(&**store, &folder("removal")?).await?;
    folders(&**store, &folder("folders")?).await?;
    odd_values(&**store, &folder("odd")?).await?;
    many_parts(&**store, &folder("many")?).await?;
    race(store, &folder("race")?).await
}

async fn compare_and_set(store: &dyn Store, path: &RecordPath) -> Result<(), Violation> {
    let nothing = store.read(path, Which::Latest).await?;
    rule("what was never written is None", nothing.is_none(), &nothing)?;
    let early = store.write(path, &document(0)?, Expected::Newest(Version(1))).await;
    rule("no version follows one that is not there", is_conflict(&early), &early)?;
    let first = store.write(path, &document(1)?, Expected::Absent).await?;
    rule("the first version is 1", first == Version(1), &first)?;
    let again = store.write(path, &document(2)?, Expected::Absent).await;
    rule("what is there is not absent", is_conflict(&again), &again)?;
    let zero = store.write(path, &document(2)?, Expected::Newest(Version(0))).await;
    rule("nothing follows version 0", is_conflict(&zero), &zero)?;
    let second = store.write(path, &document(2)?, Expected::Newest(Version(1))).await?;
    rule("the version after 1 is 2", second == Version(2), &second)?;
    let stale = store.write(path, &document(3)?, Expected::Newest(Version(1))).await;
    rule("a stale writer loses", is_conflict(&stale), &stale)?;
    let ahead = store.write(path, &document(3)?, Expected::Newest(Version(3))).await;
    rule("a writer ahead of the store loses", is_conflict(&ahead), &ahead)?;
    holds(store, path, Which::Latest, 2, &json!({"n": 2})).await
}

async fn versions(store: &dyn Store, path: &RecordPath) -> Result<(), Violation> {
    let none = store.versions(path).await?;
    rule("what was never written has no versions", none.is_empty(), &none)?;
    for n in 1..=4 {
        let expected = if n == 1 { Expected::Absent } else { Expected::Newest(Version(n - 1)) };
        store.write(path, &document(n)?, expected).await?;
    }
    for n in 1..=4 {
        holds(store, path, Which::Number(Version(n)), n, &json!({"n": n})).await?;
    }
    for n in [0, 5, 1 << 40] {
        let read = store.read(path, Which::Number(Version(n))).await?;
        rule("a version that never was is None", read.is_none(), &read)?;
    }
    store.destroy(path, &[Version(1), Version(3)]).await?;
    store.destroy(path, &[Version(1)]).await?;
    let gone = store.read(path, Which::Number(Version(3))).await?;
    rule("a destroyed version is None", gone.is_none(), &gone)?;
    let known = store.versions(path).await?;
    let seen: Vec<_> = known.iter().map(|v| (v.version.0, v.state)).collect();
    use VersionState::{Destroyed, Present};
    let wanted = [(1, Destroyed), (2, Present), (3, Destroyed), (4, Present)];
    rule("destroyed versions stay known, in order", seen == wanted, &seen)?;
    store.destroy(path, &[Version(4)]).await?;
    let latest = store.read(path, Which::Latest).await?;
    rule("with the newest destroyed, the latest is None", latest.is_none(), &latest)?;
    let absent = store.write(path, &document(5)?, Expected::Absent).await;
    rule("a record of destroyed versions is not absent", is_conflict(&absent), &absent)?;
    let next = store.write(path, &document(5)?, Expected::Newest(Version(4))).await?;
    rule("numbers go on after a destroyed version", next == Version(5), &next)
}

/// A ledger of a large deployment: ten thousand names.
async fn many_parts(store: &dyn Store, path: &RecordPath) -> Result<(), Violation> {
    let part = |n: usize| json!({"path": format!("site1/secret_{n}"), "version": n});
    let value = json!({"format": 1, "contents": (0..10_000).map(part).collect::<Vec<_>>()});
    store.write(path, &Document::plain(&value)?, Expected::Absent).await?;
    holds(store, path, Which::Latest, 1, &value).await
}

async fn removal(store: &dyn Store, path: &RecordPath) -> Result<(), Violation> {
    store.remove(path).await?;
    store.destroy(path, &[Version(1)]).await?;
    store.write(path, &document(1)?, Expected::Absent).await?;
    store.write(path, &document(2)?, Expected::Newest(Version(1))).await?;
    store.remove(path).await?;
    let read = store.read(path, Which::Latest).await?;
    rule("a removed record is None", read.is_none(), &read)?;
    let old = store.read(path, Which::Number(Version(1))).await?;
    rule("so are its versions", old.is_none(), &old)?;
    let known = store.versions(path).await?;
    rule("a removed record has no versions", known.is_empty(), &known)?;
    let first = store.write(path, &document(3)?, Expected::Absent).await?;
    rule("a record written after a removal starts at 1", first == Version(1), &first)?;
    holds(store, path, Which::Latest, 1, &json!({"n": 3})).await
}

async fn folders(store: &dyn Store, folder: &RecordPath) -> Result<(), Violation> {
    let empty = store.list(folder).await?;
    rule("a folder that is not there is empty", empty.is_empty(), &empty)?;
    for name in ["b", "a", "b/c", "b.d/e", "x/y/z", "_1.age", "A-1"] {
        store.write(&folder.join(name)?, &document(1)?, Expected::Absent).await?;
    }
    let names = store.list(folder).await?;
    rule("names are listed once, folders with `/`", names == ["A-1", "_1.age", "a", "b", "b.d/", "b/", "x/"], &names)?;
    let inner = store.list(&folder.join("x")?).await?;
    rule("a folder lists what is directly below it", inner == ["y/"], &inner)?;
    let record = store.list(&folder.join("a")?).await?;
    rule("a record is no folder", record.is_empty(), &record)?;
    store.remove(&folder.join("x/y/z")?).await?;
    store.remove(&folder.join("b")?).await?;
    let left = store.list(folder).await?;
    rule(
        "removal empties folders, and spares a folder of the same name",
        left == ["A-1", "_1.age", "a", "b.d/", "b/"],
        &left,
    )?;
    holds(store, &folder.join("b/c")?, Which::Latest, 1, &json!({"n": 1})).await
}

async fn odd_values(store: &dyn Store, folder: &RecordPath) -> Result<(), Violation> {
    let every_ascii: String = (0..128u8).map(char::from).collect();
    let values = [
        json!({}),
        json!({"": "", "null": null, "deep": [[[[{"x": [1, 2.5, true]}]]]]}),
        json!({"text": every_ascii, "unicode": "\u{2028}\u{feff}\u{10ffff}é<>&", "html": "</script>"}),
        // OpenBao reads numbers as 64-bit floats, so no more is promised.
        json!({"numbers": [0, -1, 1i64 << 53, -(1i64 << 53), 1_763_841_600, 0.5]}),
        json!({"path": "../../etc/passwd", "quotes": "\"'`\\", "dollar": "$x ${x} %(x)s {{ x }}"}),
        json!({"long": "0123456789abcdef".repeat(1 << 16)}),
    ];
    for (n, value) in values.iter().enumerate() {
        let path = folder.join(&format!("v{n}"))?;
        let written = Document::from_json(Material::from(value.to_string()))?;
        store.write(&path, &written, Expected::Absent).await?;
        holds(store, &path, Which::Latest, 1, value).await?;
    }
    Ok(())
}

async fn race(store: &Arc<dyn Store>, path: &RecordPath) -> Result<(), Violation> {
    for round in 0..ROUNDS {
        let expected = if round == 0 { Expected::Absent } else { Expected::Newest(Version(round)) };
        let mut racers = Vec::new();
        for racer in 0..4 {
            let (store, path, document) = (Arc::clone(store), path.clone(), document(racer)?);
            racers.push(tokio::spawn(async move { store.write(&path, &document, expected).await }));
        }
        let mut winner = None;
        for (number, racer) in racers.into_iter().enumerate() {
            match racer.await? {
                Ok(version) => {
                    rule("the winner gets the next number", version == Version(round + 1), &version)?;
                    rule("a race has one winner", winner.replace(number).is_none(), &number)?;
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(winner) = winner else {
            return rule("a race has a winner", false, &round);
        };
        holds(store.as_ref(), path, Which::Latest, round + 1, &json!({"n": winner})).await?;
    }
    Ok(())
}

async fn holds(
    store: &dyn Store,
    path: &RecordPath,
    which: Which,
    version: u64,
    value: &Value,
) -> Result<(), Violation> {
    let Some(read) = store.read(path, which).await? else {
        return rule("what was written is there", false, &path);
    };
    rule("it has the number that writing it gave", read.version == Version(version), &read.version)?;
    let found: Value = read.document.parse()?;
    let short: String = found.to_string().chars().take(200).collect();
    rule("it holds what was written", found == *value, &short)
}

fn document(n: u64) -> Result<Document, NoObject> {
    Document::plain(&json!({"n": n}))
}

fn is_conflict(written: &Result<Version, StoreError>) -> bool {
    matches!(written, Err(StoreError::Conflict { .. }))
}

fn rule(rule: &'static str, kept: bool, found: &impl std::fmt::Debug) -> Result<(), Violation> {
    if kept { Ok(()) } else { Err(Violation::Rule { rule, found: format!("{found:?}") }) }
}

/// Enough that a store which merely looks atomic loses.
const ROUNDS: u64 = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Capabilities, Stored, VersionInfo, memory::Memory};
    use async_trait::async_trait;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_keeps_every_rule() {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        check(&store, &"kit".parse().unwrap()).await.unwrap();
    }

    /// A store that reads, then writes: the fault the race is there to find.
    struct Careless(Memory);

    #[async_trait]
    impl Store for Careless {
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
            self.0.read(path, which).await
        }
        async fn write(
            &self,
            path: &RecordPath,
            document: &Document,
            expected: Expected,
        ) -> Result<Version, StoreError> {
            let newest = self.0.versions(path).await?.last().map_or(0, |v| v.version.0);
            let wanted = match expected {
                Expected::Absent => 0,
                Expected::Newest(Version(n)) => n,
            };
            if newest != wanted {
                return Err(StoreError::Conflict { path: path.clone() });
            }
            tokio::task::yield_now().await;
            let now = self.0.versions(path).await?.last().map_or(0, |v| v.version.0);
            let now = if now == 0 { Expected::Absent } else { Expected::Newest(Version(now)) };
            self.0.write(path, document, now).await
        }
        async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
            self.0.list(folder).await
        }
        async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
            self.0.versions(path).await
        }
        async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
            self.0.destroy(path, versions).await
        }
        async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
            self.0.remove(path).await
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_store_that_checks_before_it_writes_is_caught() {
        let store: Arc<dyn Store> = Arc::new(Careless(Memory::default()));
        let caught = race(&store, &"kit/race".parse().unwrap()).await;
        assert!(matches!(caught, Err(Violation::Rule { .. })), "{caught:?}");
    }
}
