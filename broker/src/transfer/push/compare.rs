//! The difference between the two stores, record by record, without a value.

use super::{PushError, Side};
use crate::transfer::private::{Places, records_below};
use donjon_drivers::store::{RecordPath, Store, Version, VersionInfo, VersionState, Which};
use std::collections::BTreeMap;

/// One record on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its path, here and there.
    pub path: RecordPath,
    /// What is to happen there.
    pub change: Change,
}

/// What is to happen to a record there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is not there: all its versions are written.
    Create {
        /// How many.
        versions: u64,
    },
    /// It is there with some of its versions: the later ones are written, and what was destroyed here is destroyed.
    Extend {
        /// The newest that is there.
        after: u64,
        /// How many are written.
        versions: u64,
        /// Which are destroyed.
        destroy: Vec<Version>,
    },
    /// It is the same.
    Keep,
    /// It is another record: nothing is written.
    Differs,
}

/// Whether what is there was begun by a push from here, or may be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// It may be anybody's.
    Unknown,
    /// A push from here has begun it.
    Ours,
}

/// What of this store goes along: everything but the keys and the mark of the authority.
pub(super) async fn paths(here: &dyn Store, places: &Places) -> Result<Vec<RecordPath>, PushError> {
    let mut paths = Vec::new();
    for folder in places.folders() {
        let found = records_below(here, &folder).await.map_err(Side::Here.failed())?;
        paths.extend(found.into_iter().filter(|path| !places.stays(path)));
    }
    Ok(paths)
}

/// Compares one record by its versions and what they say.
pub(super) async fn compare(
    here: &dyn Store,
    there: &dyn Store,
    path: &RecordPath,
    begun: There,
) -> Result<Change, PushError> {
    let ours = by_number(here.versions(path).await.map_err(Side::Here.failed())?);
    let theirs = by_number(there.versions(path).await.map_err(Side::There.failed())?);
    let (newest, held) = (last(&ours), last(&theirs));
    if held == 0 {
        return Ok(match newest {
            0 => Change::Keep,
            versions => Change::Create { versions },
        });
    }
    if held > newest {
        return Ok(Change::Differs);
    }
    let mut destroy = Vec::new();
    for (number, state) in &theirs {
        let version = Version(*number);
        let at_hand = ours.get(number).copied();
        match (at_hand, state) {
            (Some(VersionState::Present), VersionState::Present) => {
                let ours = here.read(path, Which::Number(version)).await.map_err(Side::Here.failed())?;
                let theirs = there.read(path, Which::Number(version)).await.map_err(Side::There.failed())?;
                match ours.zip(theirs) {
                    Some((ours, theirs)) if ours.document.matches(&theirs.document) => {}
                    Some(_) | None => return Ok(Change::Differs),
                }
            }
            (Some(VersionState::Present), VersionState::Destroyed) => return Ok(Change::Differs),
            (Some(VersionState::Destroyed) | None, VersionState::Present) => {
                let theirs = there.read(path, Which::Number(version)).await.map_err(Side::There.failed())?;
                // A gap that was written and not yet destroyed holds the empty object.
                let empty = theirs.is_some_and(|stored| stored.document.text().len() == super::fill::EMPTY.len());
                if begun == There::Unknown && !empty {
                    return Ok(Change::Differs);
                }
                destroy.push(version);
            }
            (Some(VersionState::Destroyed) | None, VersionState::Destroyed) => {}
        }
    }
    Ok(match (newest - held, destroy.is_empty()) {
        (0, true) => Change::Keep,
        (versions, _) => Change::Extend { after: held, versions, destroy },
    })
}

fn by_number(versions: Vec<VersionInfo>) -> BTreeMap<u64, VersionState> {
    versions.into_iter().map(|info| (info.version.0, info.state)).collect()
}

fn last(versions: &BTreeMap<u64, VersionState>) -> u64 {
    versions.last_key_value().map_or(0, |(number, _)| *number)
}
