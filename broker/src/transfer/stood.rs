//! How sites and recipients stand, as far as it would be missed: a custodians' bundle of before that changed brings back the
//! older ledger, with epochs that sites have seen already, and recipients who have left.
//!
//! What a bundle has of it is kept beside its entry in the ledger, as digests. A receipt that comes later is no change: its
//! node can give it anew. Nor is what a recipient could open: an export notes that after it has read everything.

use super::{
    bundle::Scope,
    exposure::{self, Known},
    ledger::{self, Exported},
    private::Places,
};
use donjon_drivers::store::{Document, RecordPath, Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How each site's bundle and each recipient stood, by the path of its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stood(BTreeMap<String, String>);

impl Stood {
    /// Whether it knows of none.
    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a record in, if it is one of those.
    pub(super) fn note(&mut self, places: &Places, path: &RecordPath, document: &Document) {
        let is_below = |folder: RecordPath| path.as_str().starts_with(&format!("{folder}/"));
        let stood = match (is_below(places.exports()), is_below(places.recipients())) {
            (true, _) => document.parse::<Exported>().ok().and_then(|exported| of_bundle(&exported)),
            (_, true) => document.parse::<Known>().ok().and_then(|known| of_recipient(&known)),
            (false, false) => None,
        };
        self.0.extend(stood.map(|stood| (path.to_string(), stood)));
    }

    /// What stands otherwise by now, in words.
    pub(super) async fn otherwise(&self, store: &dyn Store, places: &Places) -> Result<Vec<String>, StoreError> {
        let is_other = |path: RecordPath, now: Option<String>| self.0.get(path.as_str()) != now.as_ref();
        let mut otherwise = Vec::new();
        for exported in ledger::all(store, places).await? {
            if is_other(places.export(&exported.scope), of_bundle(&exported)) {
                let scope = &exported.scope;
                otherwise.push(match (exported.retired, exported.left.is_empty()) {
                    (Some(_), _) => format!("{scope} was retired"),
                    (None, false) => format!("a bundle was exported for {scope}, or one of its recipients has left"),
                    (None, true) => format!("a bundle was exported for {scope}"),
                });
            }
        }
        for known in exposure::noted(store, places).await?.into_values() {
            if is_other(exposure::place(places, &known.recipient), of_recipient(&known)) {
                let called = known.name.as_deref().unwrap_or(&known.recipient);
                let became = if known.removed.is_some() { "removed" } else { "added or changed" };
                otherwise.push(format!("the recipient {called} was {became}"));
            }
        }
        Ok(otherwise)
    }
}

/// Nothing of the custodians' own, which is about to be written.
fn of_bundle(exported: &Exported) -> Option<String> {
    match exported.scope {
        Scope::Site { .. } => Some(digest(&(exported.epoch, exported.retired, &exported.left))),
        Scope::Custodians {} => None,
    }
}

/// Nothing of one that is known by its bundles alone.
fn of_recipient(known: &Known) -> Option<String> {
    let Known { name, sites, removed, .. } = known;
    (name.is_some() || !sites.is_empty() || removed.is_some()).then(|| digest(&(name, sites, removed)))
}

fn digest(of: &impl Serialize) -> String {
    let json = serde_json::to_vec(of).expect("names and numbers always have a JSON text");
    hex::encode(&Sha256::digest(json)[..16])
}
