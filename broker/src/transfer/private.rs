//! Transfer's own records in a store: where they lie, and how they are read and written.
//!
//! ```text
//! donjon-private/<deployment>/signing/key                             the authority's key; never in a bundle
//! donjon-private/<deployment>/signing/chain                           the links from earlier keys
//! donjon-private/<deployment>/signing/receipts                        the key that signs this store's receipts; never in a bundle
//! donjon-private/<deployment>/heir                                    a key that the authority's has named; in a bundle where asked for
//! donjon-private/<deployment>/authority                               which store rotates and signs; never in a bundle
//! donjon-private/<deployment>/handover                            how far the database was carried into a cluster; never in a bundle
//! donjon-private/<deployment>/exports/sites/<site>/<role>/any|host.<host>   the last bundle for a scope, and its receipts
//! donjon-private/<deployment>/drill                               the last restore drill
//! donjon-private/<deployment>/exports/custodians                      the same for the custodians' bundle
//! donjon-private/<deployment>/recipients/<digest>                     one recipient, and all that it could ever open
//! donjon-private/<deployment>/sites/<site>/<digest>                   that this recipient may be one of this site; made from those
//! donjon-private/<deployment>/sites-whole                             that every recipient is among these
//! donjon-private/<deployment>/pin                                     whose bundles this store takes in; never in a bundle
//! donjon-private/<deployment>/imports/<site>/<role>/any|host.<host>   the last bundle that this store took in
//! donjon-private/<deployment>/imported                            which version of each record it took in; never in a bundle
//! ```

use super::{bundle::Scope, json};
use crate::{
    edition::Edition,
    records::{Layout, layout::Reserved},
};
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, StoreError, Version, Which, document::NoObject},
};
use donjon_policies::name::{DeploymentName, SecretName, SiteName};
use serde::{Serialize, de::DeserializeOwned};

/// The paths of one deployment's transfer records.
#[derive(Debug, Clone)]
pub struct Places(Layout);

impl Places {
    /// The paths of a deployment.
    pub fn new(deployment: DeploymentName) -> Result<Self, Reserved> {
        Layout::new(deployment).map(Self)
    }

    /// Whose paths these are.
    pub fn deployment(&self) -> &DeploymentName {
        self.0.deployment()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.0
    }

    /// The record that consumers read.
    pub(super) fn secret(&self, name: &SecretName) -> RecordPath {
        self.0.secret(name)
    }

    /// The rotation and the secret of a pending value, if the path is one of such a value.
    pub(super) fn pending_at<'a>(&self, path: &'a str) -> Option<(&'a str, SecretName)> {
        let folder = self.private("pending");
        let (rotation, name) = path.strip_prefix(folder.as_str())?.strip_prefix('/')?.split_once('/')?;
        Some((rotation, name.parse().ok()?))
    }

    /// The three folders in which a deployment has records: what consumers read, what every reader may read, what none may.
    pub(super) fn folders(&self) -> [RecordPath; 3] {
        let deployment = self.deployment();
        let below = |folder| path(&format!("{folder}/{deployment}"));
        [self.0.folder(), below("donjon-public"), below("donjon-private")]
    }

    /// What consumers read.
    pub(super) fn public_folder(&self) -> RecordPath {
        self.0.folder()
    }

    /// Whether a record stays where it is, even when everything is exported: what makes this store the authority, whose
    /// bundles it takes in, who caches what is in it, and which deployers run beside it.
    pub(super) fn stays(&self, record: &RecordPath) -> bool {
        let own = self.alone_that_stay();
        let folders = FOLDERS_THAT_STAY.map(|folder| format!("{}/", self.private(folder)));
        own.contains(record)
            || *record == self.heir()
            || folders.iter().any(|folder| record.as_str().starts_with(folder))
    }

    fn alone_that_stay(&self) -> [RecordPath; 4] {
        [self.authority(), self.pin(), self.handover(), self.imported()]
    }

    /// Whether only the newest version of a record says anything: each has all that the ones before had, and nobody names it
    /// by its number. A ledger of many sites would otherwise go along as often as it was written.
    pub(super) fn counts_newest(&self, record: &RecordPath) -> bool {
        *record == self.heir()
            || [self.exports(), self.recipients()]
                .iter()
                .any(|folder| record.as_str().starts_with(&format!("{folder}/")))
    }

    /// What a bundle for this scope may hold: a site's what lies where consumers read and the epoch, the custodians' all that
    /// a deployment has but what stays or is made anew. So whoever signs a bundle says what values are, and not who signs.
    pub(super) fn travels(&self, scope: &Scope) -> Travels {
        let below = |folder: RecordPath| format!("{folder}/");
        match scope {
            Scope::Site { .. } => Travels {
                folders: vec![below(self.0.folder())],
                alone: vec![self.0.epoch()],
                folders_left: Vec::new(),
                left: Vec::new(),
            },
            Scope::Custodians {} => Travels {
                folders: self.folders().map(below).to_vec(),
                alone: Vec::new(),
                // What stays, and the index of the sites, which is made anew where its recipients arrive: one that was added
                // while a bundle was being collected is in one of them and perhaps not in the other.
                folders_left: FOLDERS_THAT_STAY.iter().chain(&["sites"]).map(|f| below(self.private(f))).collect(),
                left: self.alone_that_stay().into_iter().chain([self.sites_whole()]).collect(),
            },
        }
    }

    /// Whether a record is the journal of a rotation, which is laid aside once that has ended.
    pub(super) fn is_journal(&self, record: &RecordPath) -> bool {
        record.as_str().starts_with(&format!("{}/", self.0.journals()))
    }

    pub(super) fn heir(&self) -> RecordPath {
        self.private("heir")
    }

    pub(super) fn epoch(&self) -> RecordPath {
        self.0.epoch()
    }

    pub(super) fn authority(&self) -> RecordPath {
        self.private("authority")
    }

    pub(super) fn drill(&self) -> RecordPath {
        self.private("drill")
    }

    pub(super) fn handover(&self) -> RecordPath {
        self.private("handover")
    }

    /// The folders of what a store keeps for itself while it is the authority: keys, values that nobody reads yet,
    /// journals, who drives them, who caches, which deployers run.
    pub(super) fn of_the_authority(&self) -> [RecordPath; 7] {
        ["signing", "pending", "journal", "ended", "heartbeat", "readers", "deployers"]
            .map(|folder| self.private(folder))
    }

    pub(super) fn recipients(&self) -> RecordPath {
        self.private("recipients")
    }

    pub(super) fn recipient(&self, digest: &str) -> RecordPath {
        self.private(&format!("recipients/{digest}"))
    }

    pub(super) fn site(&self, site: &SiteName) -> RecordPath {
        self.private(&format!("sites/{site}"))
    }

    pub(super) fn of_site(&self, site: &SiteName, digest: &str) -> RecordPath {
        self.private(&format!("sites/{site}/{digest}"))
    }

    pub(super) fn sites_whole(&self) -> RecordPath {
        self.private("sites-whole")
    }

    pub(super) fn signing_key(&self) -> RecordPath {
        self.private("signing/key")
    }

    pub(super) fn signing_chain(&self) -> RecordPath {
        self.private("signing/chain")
    }

    /// The key of a store that takes bundles in.
    pub(super) fn receipt_key(&self) -> RecordPath {
        self.private("signing/receipts")
    }

    pub(super) fn exports(&self) -> RecordPath {
        self.private("exports")
    }

    pub(super) fn exports_of(&self, site: &SiteName) -> RecordPath {
        self.private(&format!("exports/sites/{site}"))
    }

    pub(super) fn export(&self, scope: &Scope) -> RecordPath {
        match scope_name(scope) {
            Some(name) => self.private(&format!("exports/sites/{name}")),
            None => self.private("exports/custodians"),
        }
    }

    pub(super) fn pin(&self) -> RecordPath {
        self.private("pin")
    }

    pub(super) fn imports(&self) -> RecordPath {
        self.private("imports")
    }

    pub(super) fn imported(&self) -> RecordPath {
        self.private("imported")
    }

    pub(super) fn import(&self, scope: &Scope) -> RecordPath {
        let name = scope_name(scope).unwrap_or_else(|| "custodians".into());
        self.private(&format!("imports/{name}"))
    }

    fn private(&self, name: &str) -> RecordPath {
        self.0.private(name)
    }
}

/// What a bundle for one scope may hold, made once for all of its records.
#[derive(Debug)]
pub(super) struct Travels {
    folders: Vec<String>,
    alone: Vec<RecordPath>,
    folders_left: Vec<String>,
    left: Vec<RecordPath>,
}

impl Travels {
    /// Whether it may hold this record.
    pub(super) fn holds(&self, record: &RecordPath) -> bool {
        let below = |folders: &[String]| folders.iter().any(|folder| record.as_str().starts_with(folder.as_str()));
        let left = below(&self.folders_left) || self.left.contains(record);
        !left && (below(&self.folders) || self.alone.contains(record))
    }
}

fn scope_name(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Site { site, role, host: Some(host) } => Some(format!("{site}/{role}/host.{host}")),
        Scope::Site { site, role, host: None } => Some(format!("{site}/{role}/any")),
        Scope::Custodians {} => None,
    }
}

fn path(text: &str) -> RecordPath {
    text.parse().expect("made of checked names and of literals that fit the same rules")
}

/// Every record below a folder, in order.
pub(super) async fn records_below(store: &dyn Store, folder: &RecordPath) -> Result<Vec<RecordPath>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(folder) = folders.pop() {
        for name in store.list(&folder).await? {
            let below = |name: &str| {
                let damaged = |_| StoreError::Damaged { path: folder.clone(), what: "holds a name that is none" };
                folder.join(name).map_err(damaged)
            };
            match name.strip_suffix('/') {
                Some(name) => folders.push(below(name)?),
                None => found.push(below(&name)?),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A record of ours. Each holds its `format`.
pub(super) trait Recorded: DeserializeOwned {
    /// The newest version of it; those before are read.
    const FORMAT: u32;
}

/// Reads a record of ours, and what to expect when it is written next.
pub(super) async fn read<T: Recorded>(
    store: &dyn Store,
    path: &RecordPath,
) -> Result<(Option<T>, Expected), StoreError> {
    match store.read(path, Which::Latest).await? {
        None => Ok((None, next(store, path).await?)),
        Some(stored) => Ok((Some(parse(path, &stored.document)?), Expected::Newest(stored.version))),
    }
}

/// Reads a record of ours that is not to be written here.
pub(super) async fn look<T: Recorded>(store: &dyn Store, path: &RecordPath) -> Result<Option<T>, StoreError> {
    Ok(look_dated(store, path).await?.map(|(record, _)| record))
}

/// As [`look`], and when the record was written, by the store's own clock in seconds since 1970.
pub(super) async fn look_dated<T: Recorded>(
    store: &dyn Store,
    path: &RecordPath,
) -> Result<Option<(T, i64)>, StoreError> {
    let stored = store.read(path, Which::Latest).await?;
    stored.map(|stored| Ok((parse(path, &stored.document)?, stored.created))).transpose()
}

/// What a document says, as a record of ours.
pub(super) fn parse<T: Recorded>(path: &RecordPath, document: &Document) -> Result<T, StoreError> {
    let damaged = |what| StoreError::Damaged { path: path.clone(), what };
    let unreadable = |_| damaged("not a record that this donjon reads");
    let edition: Edition = document.parse().map_err(unreadable)?;
    if edition.is_above(T::FORMAT) {
        return Err(damaged("written by a newer donjon"));
    }
    document.parse().map_err(unreadable)
}

/// What to expect of a record whose newest version may have been destroyed.
pub(super) async fn next(store: &dyn Store, path: &RecordPath) -> Result<Expected, StoreError> {
    let newest = store.versions(path).await?.into_iter().map(|info| info.version).max();
    Ok(newest.map_or(Expected::Absent, Expected::Newest))
}

/// Writes a record of ours.
pub(super) async fn write<T: Serialize>(
    store: &dyn Store,
    path: &RecordPath,
    value: &T,
    expected: Expected,
) -> Result<(), StoreError> {
    put(store, path, value, expected).await.map(drop)
}

async fn put<T: Serialize>(
    store: &dyn Store,
    path: &RecordPath,
    value: &T,
    expected: Expected,
) -> Result<Version, StoreError> {
    let unwritable = |_| StoreError::Damaged { path: path.clone(), what: "cannot be written as JSON" };
    store.write(path, &document(value).map_err(unwritable)?, expected).await
}

/// Writes a record of which only the newest version [counts](Places::counts_newest), and destroys those before it, four at a
/// time: so at most four hold anything, whatever the store keeps. One that could not be destroyed is in nobody's way.
pub(super) async fn write_newest<T: Serialize>(
    store: &dyn Store,
    path: &RecordPath,
    value: &T,
    expected: Expected,
) -> Result<(), StoreError> {
    let Version(written) = put(store, path, value, expected).await?;
    if written % DESTROYED_AT_ONCE == 0 {
        let before: Vec<_> = (written.saturating_sub(DESTROYED_AT_ONCE).max(1)..written).map(Version).collect();
        let _ = store.destroy(path, &before).await;
    }
    Ok(())
}

/// A record with secrets in it.
fn document<T: Serialize>(value: &T) -> Result<Document, NoObject> {
    let mut json = json::exact(value).map_err(|_| NoObject)?;
    Document::written(Material::new(std::mem::take(&mut *json)))
}

/// How many versions of a record that counts by its newest are destroyed together.
const DESTROYED_AT_ONCE: u64 = 4;

/// What makes a store the authority, who caches what is in it, and which deployers run beside it.
const FOLDERS_THAT_STAY: [&str; 4] = ["signing", "readers", "deployers", "authority"];

/// Secret bytes as hexadecimal text inside a private record.
pub(super) mod secret_hex {
    use donjon_drivers::material::Material;
    use serde::{Deserialize, Deserializer, Serializer, de};
    use zeroize::Zeroizing;

    pub(crate) fn serialize<S: Serializer>(secret: &Material, to: S) -> Result<S::Ok, S::Error> {
        // EXPOSE: written into a private record, which is held as Material again
        to.serialize_str(&Zeroizing::new(hex::encode(secret.expose())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Material, D::Error> {
        let text = Material::deserialize(from)?;
        // EXPOSE: decoded into another Material
        hex::decode(text.expose()).map(Material::new).map_err(|_| de::Error::custom("not hexadecimal"))
    }
}
