//! Who was ever able to open what: for each recipient the values in every bundle that was encrypted to it.
//!
//! It is written before a bundle leaves, and nothing is ever taken out of it: a recipient that was removed keeps what it
//! has, so only a rotation takes the worth away.

use super::{
    bundle::{Recipients, Scope, as_written},
    by_site,
    ledger::{self, Content},
    pending::{self, Became},
    private::{self, Places, Recorded, records_below},
};
use donjon_drivers::store::{
    Expected, RecordPath, Store, StoreError, Stored, Version, VersionState, Which,
    secret::{Origin, SecretRecord},
};
use donjon_policies::name::{SecretName, SiteName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// One recipient: a node, a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    format: u32,
    /// Its age public key.
    pub recipient: String,
    /// Whose it is: a host, a person.
    pub name: Option<String>,
    /// The sites whose bundles are encrypted to it, besides what the deployment file says.
    pub sites: BTreeSet<SiteName>,
    /// The sites whose bundles were ever encrypted to it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub had: BTreeSet<SiteName>,
    /// When it was first known, in seconds since 1970.
    pub added: i64,
    /// When it was removed, in seconds since 1970.
    pub removed: Option<i64>,
    /// What it could open: the versions of each record, and since when.
    pub opened: BTreeMap<String, BTreeMap<u64, i64>>,
}

/// One value that a recipient could open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// The record.
    pub path: RecordPath,
    /// The newest version of it that was exposed.
    pub version: Version,
    /// When the record was first exposed, in seconds since 1970.
    pub since: i64,
    /// Whether what is served was exposed: no other value has taken its place.
    pub in_use: bool,
}

/// Notes that all of these recipients can open all of these records from now on, as a bundle for a scope.
pub(super) async fn note(
    store: &dyn Store,
    places: &Places,
    (recipients, scope): (&Recipients, &Scope),
    contents: &[Content],
    now: i64,
) -> Result<(), StoreError> {
    for recipient in recipients.texts() {
        change(store, places, &recipient, now, |known| {
            if let Scope::Site { site, .. } = scope {
                known.had.insert(site.clone());
            }
            for content in contents {
                known.opened.entry(content.path.clone()).or_default().entry(content.version.0).or_insert(now);
            }
        })
        .await?;
    }
    Ok(())
}

/// Adds a recipient, or gives a known one another name or site.
pub async fn add(
    store: &dyn Store,
    places: &Places,
    recipient: &str,
    name: Option<&str>,
    site: Option<&SiteName>,
    now: i64,
) -> Result<Known, StoreError> {
    by_site::note(store, places, &digest(recipient), site).await?;
    change(store, places, recipient, now, |known| {
        known.name = name.map(str::to_owned).or_else(|| known.name.take());
        known.sites.extend(site.cloned());
        known.removed = None;
    })
    .await
}

/// Removes a recipient: no bundle is encrypted to it from now on.
pub async fn remove(store: &dyn Store, places: &Places, recipient: &str, now: i64) -> Result<Known, StoreError> {
    change(store, places, recipient, now, |known| {
        known.removed = known.removed.or(Some(now));
        known.sites.clear();
    })
    .await
}

/// Takes a recipient out of one site: it stays one of those that it has besides.
pub(super) async fn leave(
    store: &dyn Store,
    places: &Places,
    recipient: &str,
    site: &str,
    now: i64,
) -> Result<Known, StoreError> {
    change(store, places, recipient, now, |known| known.sites.retain(|known| known.as_str() != site)).await
}

/// What people call a recipient: its name, or its key.
pub(super) async fn called(store: &dyn Store, places: &Places, recipient: &str) -> Result<String, StoreError> {
    let (known, _) = read(store, &places.recipient(&digest(recipient))).await?;
    Ok(known.and_then(|known| known.name).unwrap_or_else(|| recipient.to_owned()))
}

/// Every recipient that was ever known, with what the ledger of exports says besides.
pub async fn all(store: &dyn Store, places: &Places) -> Result<Vec<Known>, StoreError> {
    let mut all = noted(store, places).await?;
    // Bundles that were exported before this was kept.
    for exported in ledger::all(store, places).await? {
        for recipient in &exported.recipients {
            let known = all.entry(recipient.clone()).or_insert_with(|| Known::new(recipient, exported.created));
            for content in &exported.contents {
                let versions = known.opened.entry(content.path.clone()).or_default();
                versions.entry(content.version.0).or_insert(exported.created);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// Every recipient that has a record of its own.
pub(super) async fn noted(store: &dyn Store, places: &Places) -> Result<BTreeMap<String, Known>, StoreError> {
    let mut noted = BTreeMap::new();
    for path in records_below(store, &places.recipients()).await? {
        if let (Some(known), _) = read(store, &path).await? {
            noted.insert(known.recipient.clone(), known);
        }
    }
    Ok(noted)
}

/// The recipients of a site's bundles: those given, and those added, but none that was removed. What is read does not grow
/// with the number of sites.
pub async fn effective(
    store: &dyn Store,
    places: &Places,
    scope: &Scope,
    given: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    let mut effective = Vec::with_capacity(given.len());
    for text in given {
        let text = as_written(&text);
        // What only the ledger knows of was neither added nor removed.
        let (known, _) = read(store, &places.recipient(&digest(&text))).await?;
        if known.is_none_or(|known| known.removed.is_none()) {
            effective.push(text);
        }
    }
    if let Scope::Site { site, .. } = scope {
        index(store, places).await?;
        for digest in by_site::of(store, places, site).await? {
            let (known, _) = read(store, &places.recipient(&digest)).await?;
            let added = known.filter(|known| known.removed.is_none() && known.sites.contains(site));
            effective.extend(added.map(|known| known.recipient));
        }
    }
    Ok(effective)
}

/// Makes the index of the sites where a store has none yet.
async fn index(store: &dyn Store, places: &Places) -> Result<(), StoreError> {
    if by_site::is_whole(store, places).await? {
        return Ok(());
    }
    for known in noted(store, places).await?.values() {
        by_site::note(store, places, &digest(&known.recipient), &known.sites).await?;
    }
    by_site::is_whole_now(store, places).await
}

/// The newest version of each record, looked up once however many recipients could open it, and which earlier ones had its value.
#[derive(Debug, Default)]
pub struct Newest {
    served: BTreeMap<RecordPath, Option<Stored>>,
    compared: BTreeMap<(RecordPath, Version), bool>,
}

impl Newest {
    /// Whether what is served of a record is what one of these versions was: the same version, or the same value under a later
    /// number, as after a rotation that went back.
    async fn is_any_of(
        &mut self,
        store: &dyn Store,
        path: &RecordPath,
        versions: impl Iterator<Item = Version>,
    ) -> Result<bool, StoreError> {
        if !self.served.contains_key(path) {
            let newest = store.read(path, Which::Latest).await?;
            self.served.insert(path.clone(), newest);
        }
        let Some(Some(newest)) = self.served.get(path) else { return Ok(false) };
        for version in versions {
            if version == newest.version {
                return Ok(true);
            }
            let place = (path.clone(), version);
            let is_same = match self.compared.get(&place) {
                Some(known) => *known,
                None => is_served(path, newest, store.read(path, Which::Number(version)).await?.as_ref()),
            };
            self.compared.insert(place, is_same);
            if is_same {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether an earlier version has the value that is served. One that is destroyed nobody can compare any more: a value that
/// came back, or from elsewhere, may be that one.
fn is_served(path: &RecordPath, newest: &Stored, earlier: Option<&Stored>) -> bool {
    let served = record(path, newest);
    match earlier {
        Some(earlier) => same(served.as_ref(), record(path, earlier).as_ref()),
        None => served.is_some_and(|served| [Origin::Restored, Origin::Imported].contains(&served.origin)),
    }
}

fn record(path: &RecordPath, stored: &Stored) -> Option<SecretRecord> {
    let name: SecretName = path.as_str().rsplit('/').next()?.parse().ok()?;
    SecretRecord::from_document(&name, &stored.document).ok()
}

fn same(a: Option<&SecretRecord>, b: Option<&SecretRecord>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.value.matches(&b.value))
}

/// What a recipient could ever open of the records that consumers read, the oldest exposure first.
pub async fn exposed(
    store: &dyn Store,
    places: &Places,
    known: &Known,
    newest: &mut Newest,
) -> Result<Vec<Exposed>, StoreError> {
    let mut exposed = Vec::new();
    for (path, Opened { versions, awaited }) in opened(store, places, known).await? {
        let since = versions.values().copied().chain(awaited).min();
        let last = match awaited {
            // The number that it is about to get.
            Some(_) => store.versions(&path).await?.iter().map(|info| info.version.0 + 1).max(),
            None => versions.keys().max().copied(),
        };
        let (Some(last), Some(since)) = (last, since) else { continue };
        // The last first: it is what is served, as a rule.
        let served = newest.is_any_of(store, &path, versions.keys().rev().copied().map(Version)).await?;
        exposed.push(Exposed { path, version: Version(last), since, in_use: served || awaited.is_some() });
    }
    exposed.sort_by(|a, b| (a.since, &a.path).cmp(&(b.since, &b.path)));
    Ok(exposed)
}

/// What a recipient could open of one record.
#[derive(Debug, Default)]
struct Opened {
    /// Its versions, and since when.
    versions: BTreeMap<u64, i64>,
    /// Since when a value that is about to be its next one.
    awaited: Option<i64>,
}

/// What a recipient could open of the records that consumers read; of what was pending, what it has become.
async fn opened(store: &dyn Store, places: &Places, known: &Known) -> Result<BTreeMap<RecordPath, Opened>, StoreError> {
    let folder = format!("{}/", places.public_folder());
    let mut all = BTreeMap::<RecordPath, Opened>::new();
    let earliest = |known: &mut i64, since: i64| *known = since.min(*known);
    for (path, versions) in &known.opened {
        if path.starts_with(&folder) {
            let Ok(path) = path.parse() else { continue };
            let of = &mut all.entry(path).or_default().versions;
            versions.iter().for_each(|(version, since)| earliest(of.entry(*version).or_insert(*since), *since));
            continue;
        }
        let Some(since) = versions.values().min().copied() else { continue };
        let Some((path, became)) = pending::became(store, places, path, since).await? else { continue };
        match became {
            Became::Published(Version(version)) => {
                earliest(all.entry(path).or_default().versions.entry(version).or_insert(since), since);
            }
            Became::Waits => earliest(all.entry(path).or_default().awaited.get_or_insert(since), since),
            Became::Nothing => {}
        }
    }
    Ok(all)
}

/// Whether a recipient could open the key that the authority has named its next one, and could sign in its place.
pub async fn had_heir(store: &dyn Store, places: &Places, known: &Known) -> Result<bool, StoreError> {
    let heir = places.heir();
    let Some(opened) = known.opened.get(heir.as_str()) else { return Ok(false) };
    let held = store.versions(&heir).await?.into_iter().filter(|info| info.state == VersionState::Present);
    Ok(held.map(|info| info.version.0).any(|version| opened.contains_key(&version)))
}

impl Recorded for Known {
    const FORMAT: u32 = 1;
}

impl Known {
    /// Whether it is, or was until it was removed, one of a site's: not where it left that one and stays another's.
    pub fn is_of(&self, site: &str) -> bool {
        let is_it = |known: &SiteName| known.as_str() == site;
        self.sites.iter().any(is_it) || (self.sites.is_empty() && self.had.iter().any(is_it))
    }

    fn new(recipient: &str, added: i64) -> Self {
        Self {
            format: Self::FORMAT,
            recipient: recipient.to_owned(),
            name: None,
            sites: BTreeSet::new(),
            had: BTreeSet::new(),
            added,
            removed: None,
            opened: BTreeMap::new(),
        }
    }
}

async fn change(
    store: &dyn Store,
    places: &Places,
    recipient: &str,
    now: i64,
    edit: impl Fn(&mut Known),
) -> Result<Known, StoreError> {
    let path = places.recipient(&digest(recipient));
    for _ in 1..MOST_RACES {
        match once(store, &path, recipient, now, &edit).await {
            Err(StoreError::Conflict { .. }) => {}
            done => return done,
        }
    }
    once(store, &path, recipient, now, &edit).await
}

async fn once(
    store: &dyn Store,
    path: &RecordPath,
    recipient: &str,
    now: i64,
    edit: &impl Fn(&mut Known),
) -> Result<Known, StoreError> {
    let (held, expected) = read(store, path).await?;
    let mut known = held.clone().unwrap_or_else(|| Known::new(recipient, now));
    edit(&mut known);
    if held.as_ref() != Some(&known) {
        private::write_newest(store, path, &known, expected).await?;
    }
    Ok(known)
}

/// Where the record of a recipient is.
pub(super) fn place(places: &Places, recipient: &str) -> RecordPath {
    places.recipient(&digest(recipient))
}

/// What the record of a recipient is named by.
fn digest(recipient: &str) -> String {
    hex::encode(&Sha256::digest(recipient)[..16])
}

async fn read(store: &dyn Store, path: &RecordPath) -> Result<(Option<Known>, Expected), StoreError> {
    private::read(store, path).await
}

const MOST_RACES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::{
        material::Material,
        store::{Document, memory::Memory, secret::SecretValue},
    };

    const NODE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    async fn put(store: &Memory, at: &str, value: &str) {
        let path: RecordPath = at.parse().unwrap();
        let expected = private::next(store, &path).await.unwrap();
        let document = Document::from_json(Material::from(format!("{{\"password\":\"{value}\"}}"))).unwrap();
        store.write(&path, &document, expected).await.unwrap();
    }

    fn content(path: &str, version: u64) -> Content {
        Content { path: path.to_owned(), version: Version(version) }
    }

    #[tokio::test]
    async fn what_was_once_exposed_stays_so_until_it_is_rotated() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        for path in ["kolla/a", "kolla/b", "kolla/never"] {
            put(&store, path, "one").await;
        }
        let recipients = Recipients::parse([NODE]).unwrap();
        note(&store, &places, (&recipients, &Scope::Custodians {}), &[content("kolla/b", 1)], 100).await.unwrap();
        let both = [content("kolla/a", 1), content("kolla/b", 1), content("donjon-public/kolla/epoch", 1)];
        note(&store, &places, (&recipients, &Scope::Custodians {}), &both, 200).await.unwrap();
        put(&store, "kolla/a", "two").await;
        let known = remove(&store, &places, NODE, 300).await.unwrap();
        let told: Vec<_> = exposed(&store, &places, &known, &mut Newest::default()).await.unwrap();
        let told: Vec<_> = told.iter().map(|e| (e.path.as_str(), e.since, e.in_use)).collect();
        assert_eq!(told, [("kolla/b", 100, true), ("kolla/a", 200, false)], "the oldest exposure first");
    }

    #[tokio::test]
    async fn a_value_that_came_back_is_in_use_under_its_later_number() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        let path: RecordPath = "kolla/a".parse().unwrap();
        let put = async |value: &str, origin: Origin| {
            let value = SecretValue::Whole(Material::from(value.to_owned()));
            let record = SecretRecord { name: "a".parse().unwrap(), value, created: 1, origin, user: None };
            let expected = private::next(&store, &path).await.unwrap();
            store.write(&path, &record.to_document().unwrap(), expected).await.unwrap();
        };
        let recipients = Recipients::parse([NODE]).unwrap();
        put("one", Origin::Generated).await;
        note(&store, &places, (&recipients, &Scope::Custodians {}), &[content("kolla/a", 1)], 100).await.unwrap();
        let known = remove(&store, &places, NODE, 200).await.unwrap();
        let in_use = async || exposed(&store, &places, &known, &mut Newest::default()).await.unwrap()[0].in_use;
        put("two", Origin::Rotated).await;
        assert!(!in_use().await);
        put("one", Origin::Restored).await;
        assert!(in_use().await, "the rotation went back");
        put("one", Origin::Put).await;
        assert!(in_use().await, "a person put it back");
        put("three", Origin::Restored).await;
        assert!(!in_use().await, "another one came back");
        store.destroy(&path, &[Version(1)]).await.unwrap();
        assert!(in_use().await, "nobody can tell which one came back");
        put("four", Origin::Rotated).await;
        assert!(!in_use().await);
    }

    #[tokio::test]
    async fn nothing_is_encrypted_to_one_that_was_removed() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let site = "edge1".parse().unwrap();
        let asked = async |given: &[&str]| {
            let given = given.iter().map(|text| (*text).to_owned()).collect();
            effective(&store, &places, &scope, given).await.unwrap()
        };
        assert_eq!(asked(&["one"]).await, ["one"]);
        add(&store, &places, NODE, Some("compute1"), Some(&site), 1).await.unwrap();
        assert_eq!(asked(&["one"]).await, ["one", NODE]);
        remove(&store, &places, "one", 2).await.unwrap();
        assert_eq!(asked(&["one"]).await, [NODE]);
        remove(&store, &places, NODE, 2).await.unwrap();
        assert_eq!(asked(&["one", NODE]).await, [""; 0]);
        add(&store, &places, NODE, None, Some(&site), 3).await.unwrap();
        assert_eq!(asked(&[]).await, [NODE], "it may come back");
    }
}
