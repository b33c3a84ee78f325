//! KV version 2, reading: a version of a record, a record's versions, a folder's names.

use super::{
    answer::Answer,
    grants::{Decision, Grants},
    lookup::Lookup,
    request::{Entry, Query},
    witness::Outcome,
};
use donjon_drivers::store::{RecordPath, StoreError, Stored, Version, VersionInfo, VersionState, Which};
use donjon_policies::name::RoleName;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::IntErrorKind,
};

/// A version of a record, as KV version 2 shows it.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    data: &'a RawValue,
    metadata: VersionOf,
}

#[derive(Serialize)]
struct VersionOf {
    created_time: String,
    custom_metadata: Option<()>,
    deletion_time: &'static str,
    destroyed: bool,
    version: u64,
}

#[derive(Serialize)]
struct Metadata {
    cas_required: bool,
    created_time: String,
    current_metadata_version: u64,
    current_version: u64,
    custom_metadata: Option<()>,
    delete_version_after: &'static str,
    max_versions: u64,
    metadata_cas_required: bool,
    oldest_version: u64,
    updated_time: String,
    versions: BTreeMap<u64, VersionLine>,
}

#[derive(Serialize)]
struct VersionLine {
    created_time: String,
    deletion_time: &'static str,
    destroyed: bool,
}

#[derive(Serialize)]
struct Keys {
    keys: BTreeSet<String>,
}

/// One version of a record.
pub(super) async fn data(lookup: &dyn Lookup, role: &RoleName, path: &RecordPath, query: &Query) -> (Outcome, Answer) {
    let which = match which(query) {
        Ok(which) => which,
        Err(answer) => return (Outcome::Refused, answer),
    };
    let stored = match lookup.read(role, path, which).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return (Outcome::Missing, Answer::missing()),
        Err(error) => return (Outcome::Failed, failure(&error)),
    };
    match shown(&stored) {
        Some(data) => (Outcome::Done, Answer::data(data)),
        None => (Outcome::Failed, Answer::failed()),
    }
}

/// What is shown of a version that was read.
pub(super) fn shown(stored: &Stored) -> Option<Data<'_>> {
    let metadata = VersionOf {
        created_time: time(stored.created),
        custom_metadata: None,
        deletion_time: "",
        destroyed: false,
        version: stored.version.0,
    };
    // EXPOSE: into the answer to a role that was granted this record
    serde_json::from_slice(stored.document.text().expose()).ok().map(|data| Data { data, metadata })
}

fn which(query: &Query) -> Result<Which, Answer> {
    let refused = |text| Err(Answer::errors(400, &[text]));
    match query.version.as_slice() {
        [] => Ok(Which::Latest),
        [one] if one.is_empty() => Ok(Which::Latest),
        [one] => match one.parse::<i64>() {
            Ok(number) => {
                Ok(u64::try_from(number).ok().filter(|n| *n > 0).map_or(Which::Latest, |n| Which::Number(Version(n))))
            }
            Err(error) => {
                refused(match matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) {
                    true => OUT_OF_RANGE,
                    false => NO_NUMBER,
                })
            }
        },
        _ => refused(TWO_NUMBERS),
    }
}

/// A record's versions.
pub(super) async fn versions(lookup: &dyn Lookup, path: &RecordPath) -> (Outcome, Answer) {
    match lookup.versions(path).await {
        Ok(versions) => match (versions.first(), versions.last()) {
            (Some(first), Some(last)) => (Outcome::Done, Answer::data(metadata(&versions, first, last))),
            _ => (Outcome::Missing, Answer::missing()),
        },
        Err(error) => (Outcome::Failed, failure(&error)),
    }
}

fn metadata(versions: &[VersionInfo], first: &VersionInfo, last: &VersionInfo) -> Metadata {
    let line = |info: &VersionInfo| {
        let destroyed = info.state == VersionState::Destroyed;
        (info.version.0, VersionLine { created_time: time(info.created), deletion_time: "", destroyed })
    };
    Metadata {
        cas_required: false,
        created_time: time(first.created),
        current_metadata_version: 0,
        current_version: last.version.0,
        custom_metadata: None,
        delete_version_after: "0s",
        max_versions: 0,
        metadata_cas_required: false,
        oldest_version: if first.version.0 > 1 { first.version.0 } else { 0 },
        updated_time: time(last.created),
        versions: versions.iter().map(line).collect(),
    }
}

/// The names in a folder that are there and that the role may read. OpenBao shows those that it may not, too.
pub(super) async fn names(lookup: &dyn Lookup, grants: &Grants, role: &RoleName, entry: &Entry) -> (Outcome, Answer) {
    let folder = match entry {
        Entry::Root => None,
        Entry::Named(path) | Entry::Folder(path) => Some(path),
        Entry::Unnamed => return (Outcome::Refused, Answer::denied()),
    };
    let mut keys = grants.below(role, folder);
    if keys.is_empty() {
        return (Outcome::Refused, Answer::denied());
    }
    if let Some(folder) = folder {
        match lookup.list(folder).await {
            Ok(there) => keys.retain(|name| there.contains(name)),
            Err(error) => return (Outcome::Failed, failure(&error)),
        }
    }
    if keys.is_empty() { (Outcome::Missing, Answer::missing()) } else { (Outcome::Done, Answer::data(Keys { keys })) }
}

/// Whether a role may read a record; what is no record is nobody's.
pub(super) fn granted<'a>(grants: &Grants, role: &RoleName, path: Option<&'a RecordPath>) -> Option<&'a RecordPath> {
    path.filter(|path| grants.decide(role, path) == Decision::Granted)
}

pub(super) fn failure(error: &StoreError) -> Answer {
    match error {
        StoreError::Sealed | StoreError::Unreachable { .. } => Answer::errors(503, &["Vault is sealed"]),
        StoreError::Denied { .. }
        | StoreError::Conflict { .. }
        | StoreError::Full { .. }
        | StoreError::Damaged { .. }
        | StoreError::Answer { .. } => Answer::failed(),
    }
}

pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

const NO_NUMBER: &str = "Field validation failed: error converting input for field \"version\": '' cannot parse value as 'int': strconv.ParseInt: invalid syntax";
const OUT_OF_RANGE: &str = "Field validation failed: error converting input for field \"version\": '' cannot parse value as 'int': strconv.ParseInt: value out of range";
const TWO_NUMBERS: &str = "Field validation failed: error converting input for field \"version\": '' expected type 'int', got unconvertible type '[]string'";
