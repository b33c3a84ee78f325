//! Many records in one answer, for Donjon's own driver: a service's start is one request. It is not Vault's.

use super::{
    answer::Answer,
    grants::{Decision, Grants},
    kv::{self, Data},
    lookup::Lookup,
    witness::Outcome,
};
use donjon_drivers::{
    material::Material,
    store::{RecordPath, Stored},
};
use donjon_policies::name::RoleName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Wanted {
    mount: String,
    paths: Vec<String>,
}

#[derive(Serialize)]
struct Records<'a> {
    records: Vec<Data<'a>>,
}

/// Which of what was asked for is the matter, by its place: what a client typed never comes back.
#[derive(Serialize)]
struct Refused {
    errors: [&'static str; 1],
    data: Places,
}

#[derive(Serialize)]
struct Places {
    places: Vec<usize>,
}

/// What the audit log says: of what was read a line for each record, however often it was named; else one line for all.
pub(super) struct Said {
    pub(super) paths: Vec<RecordPath>,
    pub(super) asked: Option<u32>,
    pub(super) outcome: Outcome,
}

impl Said {
    /// One line, with the first of these that is the matter.
    fn of(paths: &[Option<RecordPath>], first: Option<usize>, outcome: Outcome) -> Self {
        let first = first.and_then(|place| paths.get(place)?.clone());
        Self { paths: first.into_iter().collect(), asked: u32::try_from(paths.len()).ok(), outcome }
    }
}

/// The newest version of each record that is named, all of one epoch, or of none. With it, what the audit log says.
pub(super) async fn records(
    lookup: &dyn Lookup,
    grants: &Grants,
    role: &RoleName,
    mount: &RecordPath,
    body: &Material,
) -> (Said, Answer) {
    // EXPOSE: names, parsed in place
    let wanted = serde_json::from_slice::<Wanted>(body.expose()).ok();
    let Some(Wanted { paths, .. }) = wanted.filter(|w| w.mount == mount.as_str() && w.paths.len() <= MOST) else {
        return (Said::of(&[], None, Outcome::Refused), Answer::errors(400, &["failed to decode JSON input"]));
    };
    let paths: Vec<Option<RecordPath>> = paths.iter().map(|path| path.parse().ok()).collect();
    let may = |path: &Option<RecordPath>| path.as_ref().is_some_and(|p| grants.decide(role, p) == Decision::Granted);
    let denied: Vec<usize> = places(&paths, |path| !may(path));
    if !denied.is_empty() {
        return (
            Said::of(&paths, denied.first().copied(), Outcome::Refused),
            refused(403, "permission denied", denied),
        );
    }
    // Each is granted, so each is a path.
    let granted: Vec<RecordPath> = paths.iter().flatten().cloned().collect();
    // One that is named more than once, for several options, is read once.
    let once: BTreeSet<&RecordPath> = granted.iter().collect();
    let once: Vec<RecordPath> = once.into_iter().cloned().collect();
    let read = match lookup.read_together(role, &once).await {
        Ok(read) => read,
        Err(error) => {
            return (Said::of(&paths, Some(0), Outcome::Failed), kv::failure(&error));
        }
    };
    let found: BTreeMap<&RecordPath, &Option<Stored>> = once.iter().zip(&read).collect();
    let read: Vec<Option<&Stored>> = granted.iter().map(|path| found.get(path)?.as_ref()).collect();
    if read.iter().flatten().map(|stored| stored.document.text().len()).sum::<usize>() > LARGEST {
        let said = Said::of(&paths, None, Outcome::Refused);
        return (said, Answer::errors(400, &["the answer would be too large: ask for fewer records at once"]));
    }
    let missing = places(&read, Option::is_none);
    if !missing.is_empty() {
        return (Said::of(&paths, missing.first().copied(), Outcome::Missing), refused(404, "not there", missing));
    }
    let all: Option<Vec<Data<'_>>> = read.into_iter().flatten().map(kv::shown).collect();
    let (outcome, answer) = match all {
        Some(records) => (Outcome::Done, Answer::data(Records { records })),
        None => (Outcome::Failed, Answer::failed()),
    };
    match outcome {
        Outcome::Done => (Said { paths: once, asked: None, outcome }, answer),
        Outcome::Refused | Outcome::Missing | Outcome::Failed => (Said::of(&paths, None, outcome), answer),
    }
}

fn places<T>(all: &[T], is: impl Fn(&T) -> bool) -> Vec<usize> {
    all.iter().enumerate().filter(|(_, one)| is(one)).map(|(place, _)| place).collect()
}

fn refused(status: u16, error: &'static str, places: Vec<usize>) -> Answer {
    let answer = Answer::plain(&Refused { errors: [error], data: Places { places } });
    if answer.status == 200 { Answer { status, ..answer } } else { answer }
}

/// More than a service has options that are secret.
const MOST: usize = 1024;
/// The bytes of all records of an answer: fifty of the longest keys. Whoever reads it slowly keeps as much here.
const LARGEST: usize = 1 << 20;
