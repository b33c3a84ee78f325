//! Into another store: a plan without values, then writes that each hold only if the plan still fits.

use super::{ImportError, back::take_back, taken::Taken};
use crate::{
    records::{Layout, epoch},
    rotation::checkpoint::reached,
    transfer::{
        authority::Authority,
        bundle::{Accepted, Checks, Epoch, ManifestDigest, OpenError, Opened, Record, Sealed, Verified},
        key::PublicKey,
        mark::{self, Elsewhere, Mark},
        pin,
        private::{self, Places, Recorded},
    },
};
use donjon_drivers::store::{Expected, RecordPath, Store, StoreError, Version, Which};
use donjon_policies::name::DeploymentName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What an import would do.
#[derive(Debug)]
pub struct Plan {
    /// One step for each record, in the bundle's order.
    pub steps: Vec<Step>,
}

/// What an import would do with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its path, here and there.
    pub path: RecordPath,
    /// Its version in the bundle.
    pub version: Version,
    /// What happens.
    pub change: Change,
    pub(super) expected: Expected,
}

/// What happens to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is not there yet.
    Create,
    /// It gets a next version.
    Replace,
    /// It holds that value already.
    Keep,
    /// It holds a later value of the same authority, which stays.
    Newer,
}

/// What a store remembers of the last bundle that it took in for a scope.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    format: u32,
    /// Who had signed it. Whose bundles are taken in is the store's one [pin].
    pin: PublicKey,
    epoch: Epoch,
    digest: ManifestDigest,
    at: i64,
}

impl Recorded for Known {
    const FORMAT: u32 = 1;
}

impl Plan {
    /// What an import does where there is nothing yet.
    pub(super) fn into_nothing(opened: &Opened) -> Self {
        let step = |record: &Record| Step {
            path: record.path.clone(),
            version: record.version,
            change: Change::Create,
            expected: Expected::Absent,
        };
        Self { steps: opened.records().iter().map(step).collect() }
    }
}

impl Step {
    /// How a program is told.
    pub fn told(&self) -> Value {
        told(&self.path, self.version, self.change.word())
    }
}

/// How a program is told what an import does with one record.
pub fn told(path: &RecordPath, version: Version, change: &str) -> Value {
    json!({"name": path.to_string(), "version": version, "change": change})
}

impl Change {
    /// How a program is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Newer => "newer",
        }
    }

    /// Whether something is written.
    pub fn writes(self) -> bool {
        match self {
            Self::Create | Self::Replace => true,
            Self::Keep | Self::Newer => false,
        }
    }
}

/// Checks a file against what the store remembers, and what is asked for besides.
pub async fn verify<'a>(store: &dyn Store, file: &'a [u8], asked: &Checks<'_>) -> Result<Verified<'a>, ImportError> {
    let sealed = Sealed::parse(file)?;
    let places = places(asked.deployment.unwrap_or(sealed.claimed_deployment()))?;
    let pin = match asked.pin {
        Some(given) => Some(*given),
        None => pin::read(store, &places).await?,
    };
    let path = places.import(sealed.claimed_scope());
    let (known, _) = private::read::<Known>(store, &path).await.map_err(ImportError::unwritten(0))?;
    let accepted = known.map(|known| Accepted { epoch: known.epoch, digest: known.digest });
    Ok(sealed.verify(&Checks { pin: pin.as_ref(), accepted, ..asked.clone() })?)
}

/// Compares each record with what the store holds. Nothing is written.
pub async fn plan(store: &dyn Store, opened: &Opened) -> Result<Plan, ImportError> {
    let unwritten = ImportError::unwritten(opened.records().len());
    let (places, authority) = (places(&opened.manifest().deployment)?, &opened.manifest().authority);
    let epoch = places.epoch();
    let taken = Taken::read(store, &places, authority).await.map_err(&unwritten)?;
    // What this store has signed itself it has in later versions, if in others.
    let own = Authority::read(store, &places).await?.is_some_and(|own| own.public() == authority);
    let mut steps = Vec::with_capacity(opened.records().len());
    for record in opened.records() {
        let held = store.read(&record.path, Which::Latest).await.map_err(&unwritten)?;
        let standing = if own { held.as_ref().map(|held| held.version) } else { taken.version(&record.path) };
        let is_older = standing.is_some_and(|standing| record.version < standing);
        let (change, expected) = match held {
            Some(held) if held.document.matches(&record.document) => (Change::Keep, Expected::Newest(held.version)),
            // Its readers go by its own count of publications, which must not be seen to come back to an earlier one.
            Some(held) if record.path == epoch => (Change::Keep, Expected::Newest(held.version)),
            Some(held) if is_older => (Change::Newer, Expected::Newest(held.version)),
            Some(held) => (Change::Replace, Expected::Newest(held.version)),
            None => (Change::Create, private::next(store, &record.path).await.map_err(&unwritten)?),
        };
        steps.push(Step { path: record.path.clone(), version: record.version, change, expected });
    }
    Ok(Plan { steps })
}

/// Writes what the plan says, and reads each record back; then tells readers of it and remembers the bundle. Where the store
/// does not take all of it, what it took is taken back; where the broker ends in between, a second run does what is left.
pub async fn apply(store: &dyn Store, opened: &Opened, plan: &Plan, now: i64) -> Result<usize, ImportError> {
    let wanted = plan.steps.len();
    let mut written = 0;
    let manifest = opened.manifest();
    let places = places(&manifest.deployment)?;
    let unwritten = ImportError::unwritten(wanted);
    pin::keep(store, &places, opened, now).await.map_err(&unwritten)?;
    follow(store, &places, now).await?;
    let mut done = Vec::new();
    for (step, record) in plan.steps.iter().zip(opened.records()).filter(|(step, _)| step.change.writes()) {
        done.push((step, record));
        if let Err(source) = write(store, step, record).await {
            return Err(match take_back(store, &done).await {
                Ok(()) => ImportError::TakenBack { wanted, source },
                Err(_) => ImportError::Store { written, wanted, source },
            });
        }
        written += 1;
        reached("import.written");
    }
    let failed = |source| ImportError::Store { written, wanted, source };
    let path = places.import(&manifest.scope);
    let (before, expected) = private::read::<Known>(store, &path).await.map_err(failed)?;
    // Also where another run wrote the records and came no further.
    if written > 0 || before.as_ref().is_none_or(|before| before.digest != opened.digest()) {
        let layout = Layout::new(manifest.deployment.clone()).map_err(|_| reserved())?;
        epoch::bump(store, &layout).await.map_err(failed)?;
    }
    Taken::remember(store, &places, opened).await.map_err(failed)?;
    if written == 0 && before.is_some_and(|before| before.digest == opened.digest()) {
        // Consumers that have restarted since it came in need not do so again.
        return Ok(written);
    }
    let known = Known {
        format: Known::FORMAT,
        pin: manifest.authority,
        epoch: manifest.epoch,
        digest: opened.digest(),
        at: now,
    };
    private::write(store, &path, &known, expected).await.map_err(failed)?;
    Ok(written)
}

/// When the store had all of this bundle, by its own clock in seconds since 1970; `None` where it took in another one last.
pub(super) async fn since(store: &dyn Store, opened: &Opened) -> Result<Option<i64>, ImportError> {
    let path = places(&opened.manifest().deployment)?.import(&opened.manifest().scope);
    let held = private::look_dated::<Known>(store, &path).await.map_err(ImportError::unwritten(0))?;
    Ok(held.filter(|(known, _)| known.digest == opened.digest()).map(|(_, written)| written))
}

/// The records of a store that follows another one: what it would lose is there still.
pub async fn followed(store: &dyn Store, places: &Places) -> Result<BTreeSet<String>, StoreError> {
    match mark::elsewhere(store, places).await? {
        Some(Elsewhere::Following) => Taken::all(store, places).await,
        None
        | Some(
            Elsewhere::Moving { .. }
            | Elsewhere::Moved { .. }
            | Elsewhere::Arriving
            | Elsewhere::Withdrawn
            | Elsewhere::Restoring,
        ) => Ok(BTreeSet::new()),
    }
}

/// An empty store follows the authority from its first bundle on, before there is anything in it that could be rotated or
/// signed. One that signs, or has values already, goes on as what it is.
async fn follow(store: &dyn Store, places: &Places, now: i64) -> Result<(), ImportError> {
    let unwritten = ImportError::unwritten(0);
    let marked = mark::read(store, places).await.map_err(&unwritten)?;
    if marked.mark.is_some() || Authority::read(store, places).await?.is_some() {
        return Ok(());
    }
    let held = store.list(&places.public_folder()).await.map_err(&unwritten)?;
    if held.is_empty() {
        mark::write(store, places, &marked, Mark::Following {}, now).await.map_err(&unwritten)?;
    }
    Ok(())
}

fn places(deployment: &DeploymentName) -> Result<Places, OpenError> {
    Places::new(deployment.clone()).map_err(|_| reserved())
}

fn reserved() -> OpenError {
    OpenError::Damaged { what: "it names a deployment that cannot be" }
}

async fn write(store: &dyn Store, step: &Step, record: &Record) -> Result<(), StoreError> {
    let version = store.write(&record.path, &record.document, step.expected).await?;
    let back = store.read(&record.path, Which::Number(version)).await?;
    match back.is_some_and(|back| back.document.matches(&record.document)) {
        true => Ok(()),
        false => {
            Err(StoreError::Damaged { path: record.path.clone(), what: "reads back otherwise than it was written" })
        }
    }
}
