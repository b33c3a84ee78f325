//! Becoming the authority again: a custodians' bundle goes into an empty store, version by version.
//!
//! Labels and journals name versions by number, so each record gets its old numbers: versions that are no longer
//! there are written as an empty object and destroyed at once; of ledgers, only the newest is needed. The new store signs with a key of its own, and its
//! epochs begin so far above those it knows of that no bundle of the old authority is taken for a newer one.
//!
//! ```text
//! all that is there fits ──▶ mark: restoring ──▶ pin ──▶ key, with its floor ──▶ records ──▶ mark: here
//! ```
//! From the mark on the store is no authority before it has everything, whoever ends in between; and a key that signs has its
//! floor before there is anything to sign.

use super::ImportError;
use crate::{
    rotation::checkpoint::reached,
    transfer::{
        authority::Authority,
        bundle::{Epoch, Opened, Record},
        heir::Heir,
        ledger,
        mark::{self, Mark},
        pin,
        private::{self, Places},
        receipt::{Act, Receipt},
    },
};
use donjon_drivers::store::{Document, Expected, RecordPath, Store, StoreError, Version, Which};
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

/// Makes the new authority's key, then writes everything. A second run goes on where the first one ended.
pub async fn restore(store: &dyn Store, places: &Places, opened: &Opened, now: i64) -> Result<Restored, ImportError> {
    let heir = Heir::of(places, opened)?;
    let records = by_path(places, opened);
    let wanted = records.len();
    let failed = |written| move |source| ImportError::Store { written, wanted, source };
    begin(store, places, opened, &records, now).await?;
    reached("restore.begun");
    // Before a key of its own, which would be the pin of a second run: that is to find whom the first one trusted.
    pin::keep(store, places, opened, now).await.map_err(failed(0))?;
    let floor = floor(store, places, opened).await.map_err(failed(0))?;
    let mut authority = Authority::ensure_above(store, places, floor, now).await?;
    if let Some(heir) = heir.filter(|_| authority.earlier() == 0) {
        Authority::adopt_chain(store, places, heir.succeed(places, authority.public(), now)).await?;
        authority = Authority::ensure(store, places, now).await?;
    }
    for (written, versions) in records.values().enumerate() {
        fill(store, versions).await.map_err(failed(written))?;
        reached("restore.written");
    }
    let marked = mark::read(store, places).await.map_err(failed(wanted))?;
    if let Some(Mark::Restoring { .. }) = &marked.mark {
        mark::write(store, places, &marked, Mark::Here { from: None, id: None }, now).await.map_err(failed(wanted))?;
    }
    let receipt = Receipt::of(opened, Act::Reopened, &authority.key, now).to_file(&authority.key);
    Ok(Restored { records: wanted, authority, receipt })
}

/// The versions of each record, by their numbers.
type Records<'a> = BTreeMap<&'a RecordPath, BTreeMap<u64, &'a Record>>;

fn by_path<'a>(places: &Places, opened: &'a Opened) -> Records<'a> {
    let mut records = Records::new();
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
    records
}

/// Looks at all that is there before anything is written, then marks the store: whoever has looked before finds it changed.
async fn begin(
    store: &dyn Store,
    places: &Places,
    opened: &Opened,
    records: &Records<'_>,
    now: i64,
) -> Result<(), ImportError> {
    let wanted = records.len();
    let failed = |source| ImportError::Store { written: 0, wanted, source };
    let marked = mark::read(store, places).await.map_err(failed)?;
    let bundle = opened.digest();
    let is_authority = match &marked.mark {
        None | Some(Mark::Here { .. }) => true,
        Some(mark) if mark.is_following() => false,
        Some(Mark::Restoring { bundle: begun }) if *begun == bundle => false,
        Some(Mark::Restoring { .. }) => return Err(ImportError::OtherBundle),
        Some(other) => return other.refusal().map_or(Ok(()), |elsewhere| Err(ImportError::Elsewhere(elsewhere))),
    };
    let mut all_there = true;
    for (path, versions) in records {
        match held(store, versions).await.map_err(failed)? {
            Held::All => {}
            Held::Beginning => all_there = false,
            Held::Other => return Err(ImportError::Occupied { path: (*path).clone() }),
        }
    }
    // One that was restored before, and asks for its receipt again.
    if is_authority && all_there || matches!(marked.mark, Some(Mark::Restoring { .. })) {
        return Ok(());
    }
    mark::write(store, places, &marked, Mark::Restoring { bundle }, now).await.map_err(failed)
}

/// The epoch above which the new authority begins: it is known from the bundle, before any of it is written.
async fn floor(store: &dyn Store, places: &Places, opened: &Opened) -> Result<Epoch, StoreError> {
    let mut last = opened.manifest().epoch;
    for record in opened.records() {
        last = ledger::epoch_in(places, &record.path, &record.document)?.map_or(last, |epoch| epoch.max(last));
    }
    let known = ledger::all(store, places).await?;
    let last = known.iter().map(|entry| entry.epoch).max().map_or(last, |epoch| epoch.max(last));
    Ok(Epoch(last.0 + EPOCHS_LEFT_OUT))
}

/// What the store holds at a path of what is to be restored there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    All,
    Beginning,
    Other,
}

async fn held(store: &dyn Store, versions: &BTreeMap<u64, &Record>) -> Result<Held, StoreError> {
    let Some((newest, record)) = versions.last_key_value() else { return Ok(Held::All) };
    let (mut last, mut gap_written) = (0, false);
    for info in store.versions(&record.path).await? {
        let number = info.version.0;
        let stored = store.read(&record.path, Which::Number(info.version)).await?;
        let same = match (stored, versions.get(&number)) {
            (Some(stored), Some(record)) => stored.document.matches(&record.document),
            // A gap that was written and not yet destroyed holds the empty object.
            (Some(stored), None) => {
                gap_written = true;
                stored.document.text().len() == EMPTY.len()
            }
            (None, None) => true,
            (None, Some(_)) => false,
        };
        if number > *newest || !same {
            return Ok(Held::Other);
        }
        last = last.max(number);
    }
    Ok(if last == *newest && !gap_written { Held::All } else { Held::Beginning })
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

/// Every point at which a test kills a restore.
pub const POINTS: &[&str] = &["restore.begun", "restore.written"];
