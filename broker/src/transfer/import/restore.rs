//! Becoming the authority again: a custodians' bundle goes into an empty store, version by version.
//!
//! Labels and journals name versions by number, so each record gets its old numbers: versions that are no longer
//! there are written as an empty object and destroyed at once; of ledgers, only the newest is needed. The new store signs with a key of its own, and its
//! epochs begin so far above those it knows of that no bundle of the old authority is taken for a newer one.

use super::ImportError;
use crate::transfer::{
    authority::Authority,
    bundle::{Epoch, Opened, Record},
    heir::Heir,
    ledger,
    mark::{self, Mark},
    pin,
    private::{self, Places},
    receipt::{Act, Receipt},
};
use donjon_drivers::store::{Document, Expected, Store, StoreError, Version, Which};
use std::collections::BTreeMap;

/// What came of it.
#[derive(Debug)]
pub struct Restored {
    /// How many records there are now.
    pub records: usize,
    /// The new authority.
    pub authority: Authority,
    /// The file that tells the old authority, if it still lives, that its custodians' bundle was reopened.
    pub receipt: Vec<u8>,
}

/// Writes everything, then makes the new authority's key. A second run goes on where the first one ended.
pub async fn restore(store: &dyn Store, places: &Places, opened: &Opened, now: i64) -> Result<Restored, ImportError> {
    let heir = Heir::of(places, opened)?;
    let mut records: BTreeMap<_, BTreeMap<u64, &Record>> = BTreeMap::new();
    // The heir names the new key, and stays nowhere.
    for record in opened.records().iter().filter(|record| record.path != places.heir()) {
        records.entry(&record.path).or_default().insert(record.version.0, record);
    }
    // Nobody names these by number, and a number may be high.
    for (_, versions) in records.iter_mut().filter(|(path, _)| places.counts_newest(path)) {
        if let Some((_, newest)) = versions.pop_last() {
            *versions = BTreeMap::from([(1, newest)]);
        }
    }
    let wanted = records.len();
    let failed = |written| move |source| ImportError::Store { written, wanted, source };
    // All that is there is looked at before anything is written.
    for (path, versions) in &records {
        if !fits(store, versions).await.map_err(failed(0))? {
            return Err(ImportError::Occupied { path: (*path).clone() });
        }
    }
    // Before the first record: a second run finds whom the first one trusted.
    pin::keep(store, places, opened, now).await.map_err(failed(0))?;
    for (written, versions) in records.values().enumerate() {
        fill(store, versions).await.map_err(failed(written))?;
    }
    let known = ledger::all(store, places).await.map_err(failed(wanted))?;
    let last = known.iter().map(|entry| entry.epoch.0).max().unwrap_or(0).max(opened.manifest().epoch.0);
    let mut authority = Authority::ensure_above(store, places, Epoch(last + EPOCHS_LEFT_OUT), now).await?;
    if let Some(heir) = heir.filter(|_| authority.earlier() == 0) {
        Authority::adopt_chain(store, places, heir.succeed(places, authority.public(), now)).await?;
        authority = Authority::ensure(store, places, now).await?;
    }
    let marked = mark::read(store, places).await.map_err(failed(wanted))?;
    if marked.mark.as_ref().is_some_and(Mark::is_following) {
        mark::write(store, places, &marked, Mark::Here { from: None, id: None }, now).await.map_err(failed(wanted))?;
    }
    let receipt = Receipt::of(opened, Act::Reopened, &authority.key, now).to_file(&authority.key);
    Ok(Restored { records: wanted, authority, receipt })
}

/// Whether what the store holds at a path is a beginning of what is to be restored there.
async fn fits(store: &dyn Store, versions: &BTreeMap<u64, &Record>) -> Result<bool, StoreError> {
    let Some((newest, record)) = versions.last_key_value() else { return Ok(true) };
    for info in store.versions(&record.path).await? {
        let number = info.version.0;
        let held = store.read(&record.path, Which::Number(info.version)).await?;
        let same = match (held, versions.get(&number)) {
            (Some(held), Some(record)) => held.document.matches(&record.document),
            // A gap that was written and not yet destroyed holds the empty object.
            (Some(held), None) => held.document.text().len() == EMPTY.len(),
            (None, None) => true,
            (None, Some(_)) => false,
        };
        if number > *newest || !same {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn fill(store: &dyn Store, versions: &BTreeMap<u64, &Record>) -> Result<(), StoreError> {
    let Some((newest, record)) = versions.last_key_value() else { return Ok(()) };
    let path = &record.path;
    let held = match private::next(store, path).await? {
        Expected::Absent => 0,
        Expected::Newest(Version(number)) => number,
    };
    let unreadable = |_| StoreError::Damaged { path: path.clone(), what: "cannot be written as JSON" };
    let empty = Document::from_json(donjon_drivers::material::Material::from(EMPTY.to_owned())).map_err(unreadable)?;
    for number in held + 1..=*newest {
        let expected = if number == 1 { Expected::Absent } else { Expected::Newest(Version(number - 1)) };
        let document = versions.get(&number).map_or(&empty, |record| &record.document);
        store.write(path, document, expected).await?;
    }
    let gaps: Vec<_> = (1..*newest).filter(|number| !versions.contains_key(number)).map(Version).collect();
    if gaps.is_empty() { Ok(()) } else { store.destroy(path, &gaps).await }
}

const EMPTY: &str = "{}";
/// More bundles than the old authority can have made between its last custodians' bundle and its end.
const EPOCHS_LEFT_OUT: u64 = 1_000_000;
