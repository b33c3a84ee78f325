//! The ledger: for each scope, the last bundle that was exported, and who has shown to have opened it.

use super::{
    bundle::{Epoch, ManifestDigest, ReceiptKey, Scope},
    key::KeyId,
    private::{self, Places, Recorded},
    stood::Stood,
};
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, StoreError, Version},
};
use donjon_policies::name::SiteName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The last bundle of one scope.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exported {
    pub(super) format: u32,
    /// For whom it was.
    pub scope: Scope,
    /// Its epoch.
    pub epoch: Epoch,
    /// Which bundle it is.
    pub digest: ManifestDigest,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// Who can open it.
    pub recipients: Vec<String>,
    /// What it holds: paths and versions.
    pub contents: Vec<Content>,
    /// What a receipt proves to know.
    #[serde(with = "private::secret_hex")]
    pub(super) receipt_key: Material,
    /// What the receipt of each recipient proves to know besides; none of a bundle of format 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) receipt_keys: Vec<ReceiptKey>,
    /// Who has opened it.
    pub receipts: Vec<Receipted>,
    /// When its host or site left, in seconds since 1970: nobody waits for its receipts any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<i64>,
    /// The recipients that have left, while others have the same bundle: nobody waits for theirs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<String>,
    /// Of the custodians' bundle: how it holds sites and recipients to stand.
    #[serde(default, skip_serializing_if = "Stood::is_nothing")]
    pub(super) stood: Stood,
}

/// One record of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its path.
    pub path: String,
    /// Its version.
    pub version: Version,
}

/// A receipt that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipted {
    /// Which node signed it.
    pub node: KeyId,
    /// As which recipient it has opened the bundle; not known of a bundle of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// When it says to have opened the bundle, in seconds since 1970.
    pub at: i64,
    /// When it was accepted, in seconds since 1970.
    pub recorded: i64,
    /// When the node says that all its consumers run on the bundle, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<i64>,
}

impl Recorded for Exported {
    /// Version 1 has no receipt keys of recipients.
    const FORMAT: u32 = 2;
}

/// How many recipients have answered for a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    /// How many have shown to have opened it.
    pub imported: usize,
    /// Of how many every node that has it runs on it.
    pub drained: usize,
}

impl Exported {
    /// The recipients whose receipts are waited for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = &String> {
        self.recipients.iter().filter(|recipient| !self.left.contains(*recipient))
    }

    /// Counted by recipients, each of which proves that it is that one: a node that was made anew, or made itself another
    /// key, is no second one. Of a bundle of format 1 all that is known is that some recipient has answered.
    pub(super) fn answered(&self) -> Answered {
        let nodes = self.nodes();
        let drained = nodes.values().filter(|nodes| have_drained(nodes)).count();
        Answered { imported: nodes.len(), drained }
    }

    /// The recipients of which every node runs on the bundle.
    pub(super) fn drained(&self) -> BTreeSet<&str> {
        let nodes = self.nodes().into_iter().filter(|(_, nodes)| have_drained(nodes));
        nodes.filter_map(|(recipient, _)| recipient).collect()
    }

    /// The nodes that have answered as each recipient.
    fn nodes(&self) -> BTreeMap<Option<&str>, Vec<&Receipted>> {
        let mut nodes: BTreeMap<Option<&str>, Vec<&Receipted>> = BTreeMap::new();
        for receipt in &self.receipts {
            let known = receipt.recipient.as_deref().is_none_or(|one| self.awaited().any(|other| other == one));
            if known {
                nodes.entry(receipt.recipient.as_deref()).or_default().push(receipt);
            }
        }
        nodes
    }
}

fn have_drained(nodes: &[&Receipted]) -> bool {
    nodes.iter().all(|node| node.drained.is_some())
}

/// The entry of a scope, and what to expect when it is written next.
pub(crate) async fn read(
    store: &dyn Store,
    places: &Places,
    scope: &Scope,
) -> Result<(Option<Exported>, Expected), StoreError> {
    read_at(store, &places.export(scope)).await
}

async fn read_at(store: &dyn Store, path: &RecordPath) -> Result<(Option<Exported>, Expected), StoreError> {
    private::read(store, path).await
}

/// Writes the entry of a scope.
pub(super) async fn write(
    store: &dyn Store,
    places: &Places,
    entry: &Exported,
    expected: Expected,
) -> Result<(), StoreError> {
    private::write_newest(store, &places.export(&entry.scope), entry, expected).await
}

/// Every entry.
pub(super) async fn all(store: &dyn Store, places: &Places) -> Result<Vec<Exported>, StoreError> {
    below(store, &places.exports()).await
}

/// The recipients of the last bundles for a host.
pub async fn of_host(store: &dyn Store, places: &Places, host: &str) -> Result<BTreeSet<String>, StoreError> {
    let is_it = |scope: &Scope| matches!(scope, Scope::Site { host: Some(of), .. } if of.as_str() == host);
    let all = all(store, places).await?.into_iter().filter(|exported| is_it(&exported.scope));
    Ok(all.flat_map(|exported| exported.recipients).collect())
}

/// The last epoch that a record speaks of, if it is one of an entry: before it is in any store.
pub(super) fn epoch_in(places: &Places, path: &RecordPath, document: &Document) -> Result<Option<Epoch>, StoreError> {
    let is_entry = path.as_str().starts_with(&format!("{}/", places.exports()));
    is_entry.then(|| private::parse::<Exported>(path, document).map(|entry| entry.epoch)).transpose()
}

/// Every entry of one site.
pub(super) async fn of_site(store: &dyn Store, places: &Places, site: &SiteName) -> Result<Vec<Exported>, StoreError> {
    below(store, &places.exports_of(site)).await
}

async fn below(store: &dyn Store, folder: &RecordPath) -> Result<Vec<Exported>, StoreError> {
    let mut entries = Vec::new();
    for path in private::records_below(store, folder).await? {
        entries.extend(read_at(store, &path).await?.0);
    }
    Ok(entries)
}
