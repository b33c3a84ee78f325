//! Export: a closure of records becomes one sealed file for one scope, and the ledger remembers it.

use super::{
    authority::{Authority, AuthorityError},
    bundle::{BundleFile, Entry, Epoch, Item, Manifest, ManifestDigest, Recipients, Scope, SealError, Sealer, Signing},
    exposure,
    ledger::{self, Content},
    private::{Places, Recorded, records_below},
    stood::Stood,
};
use donjon_drivers::{
    fs::{FileError, Replacement},
    store::{RecordPath, Store, StoreError, Stored, VersionState, Which},
};
use futures_util::{StreamExt, stream};
use std::{collections::BTreeSet, fmt, path::Path};

/// One record that a scope needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its path.
    pub path: RecordPath,
    /// Which version.
    pub which: Which,
}

/// A bundle that is to be made.
#[derive(Debug)]
pub struct Request<'a> {
    /// For whom.
    pub scope: Scope,
    /// What it holds: exactly this.
    pub closure: &'a [Wanted],
    /// Who can open it.
    pub recipients: &'a Recipients,
    /// How long it is good for, in seconds.
    pub lifetime: i64,
    /// A folder of the broker's own, for what of a long one has no room in memory.
    pub folder: &'a Path,
}

/// A bundle that was made and is in the ledger. The file is written by [`Bundle::write`].
#[derive(Debug)]
pub struct Bundle {
    /// The file.
    pub file: BundleFile,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Which bundle it is.
    pub digest: ManifestDigest,
}

impl Bundle {
    /// Writes the file whole. It is encrypted and signed, yet owner-only like every file of ours.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let mut written = Replacement::begin(path)?;
        self.file.copy_to(&mut written).map_err(|error| written.failed(error))?;
        written.finish()
    }
}

/// Makes a bundle. The ledger has its epoch before anyone has the file, so that no epoch is used twice.
pub async fn export(
    store: &dyn Store,
    places: &Places,
    authority: &Authority,
    request: &Request<'_>,
    now: i64,
) -> Result<Bundle, ExportError> {
    export_telling(store, places, authority, request, now, &|_, _| ()).await
}

/// As [`export`]; `tell` hears how many records of how many have been read.
pub async fn export_telling(
    store: &dyn Store,
    places: &Places,
    authority: &Authority,
    request: &Request<'_>,
    now: i64,
    tell: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Bundle, ExportError> {
    let (scope, records) = (request.scope.clone(), request.closure.len());
    let mut sealer = Sealer::begin(places.deployment(), scope, request.recipients, records, request.folder)?;
    let stood = collect(store, places, request.closure, &mut sealer, tell).await?;
    let (last, expected) = ledger::read(store, places, &request.scope).await?;
    let last = last.map_or(Epoch(0), |entry| entry.epoch);
    let sealed = sealer.finish(&Signing {
        epoch: Epoch(last.max(authority.floor).0 + 1),
        created: now,
        not_after: now.saturating_add(request.lifetime),
        authority: &authority.key,
        chain: &authority.chain,
    })?;
    let content = |entry: &Entry| Content { path: entry.path.to_string(), version: entry.version };
    let entry = ledger::Exported {
        format: ledger::Exported::FORMAT,
        scope: request.scope.clone(),
        epoch: sealed.manifest.epoch,
        digest: sealed.digest,
        created: now,
        not_after: sealed.manifest.not_after,
        recipients: request.recipients.texts().collect(),
        contents: sealed.manifest.entries.iter().map(content).collect(),
        receipt_key: sealed.receipt_key,
        receipt_keys: sealed.receipt_keys,
        receipts: Vec::new(),
        retired: None,
        left: BTreeSet::new(),
        stood,
    };
    exposure::note(store, places, (request.recipients, &request.scope), &entry.contents, now).await?;
    ledger::write(store, places, &entry, expected).await?;
    // A bundle by a key that was renewed meanwhile comes too late for sites that have seen the new one.
    if !authority.is_newest(store, places).await? {
        return Err(StoreError::Conflict { path: places.signing_key() }.into());
    }
    Ok(Bundle { file: sealed.file, manifest: sealed.manifest, digest: sealed.digest })
}

/// Whether a custodians' bundle has the key that is to sign after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heir {
    /// Whoever opens it signs with that.
    Goes,
    /// It stays.
    Stays,
}

/// What a custodians' bundle for these recipients has: everything, and that they can open it. It is noted before all is read:
/// who comes back from the bundle knows who else has it.
pub async fn for_custodians(
    store: &dyn Store,
    places: &Places,
    (recipients, heir): (&Recipients, Heir),
    now: i64,
) -> Result<Vec<Wanted>, StoreError> {
    let mut wanted = everything(store, places).await?;
    let held = wanted.iter().filter_map(|Wanted { path, which }| match which {
        Which::Number(version) => Some(Content { path: path.to_string(), version: *version }),
        Which::Latest => None,
    });
    let held: Vec<_> = held.collect();
    exposure::note(store, places, (recipients, &Scope::Custodians {}), &held, now).await?;
    let folder = places.recipients();
    let below = format!("{folder}/");
    wanted.retain(|wanted| !wanted.path.as_str().starts_with(&below));
    present(store, places, &folder, &mut wanted).await?;
    if heir == Heir::Goes {
        wanted.push(Wanted { path: places.heir(), which: Which::Latest });
    }
    Ok(wanted)
}

/// Everything that is needed to become the authority again: each record of the deployment with each version that is
/// still there and says something, but the signing key and its heir, the mark of the authority, and what is made anew from
/// the rest.
pub async fn everything(store: &dyn Store, places: &Places) -> Result<Vec<Wanted>, StoreError> {
    let mut wanted = Vec::new();
    for folder in places.folders() {
        present(store, places, &folder, &mut wanted).await?;
    }
    Ok(wanted)
}

/// The records below a folder that travel, with each version that is there.
async fn present(
    store: &dyn Store,
    places: &Places,
    folder: &RecordPath,
    wanted: &mut Vec<Wanted>,
) -> Result<(), StoreError> {
    let (travels, heir) = (places.travels(&Scope::Custodians {}), places.heir());
    for path in records_below(store, folder).await? {
        if !travels.holds(&path) || path == heir {
            continue;
        }
        let versions = store.versions(&path).await?;
        let present = versions.iter().filter(|info| info.state == VersionState::Present);
        let earlier = if places.counts_newest(&path) { present.clone().count().saturating_sub(1) } else { 0 };
        let numbered = present.skip(earlier).map(|info| Which::Number(info.version));
        wanted.extend(numbered.map(|which| Wanted { path: path.clone(), which }));
    }
    Ok(())
}

/// Reads the records, some at once, and seals each as it comes. Says how sites and recipients stand by them.
async fn collect(
    store: &dyn Store,
    places: &Places,
    closure: &[Wanted],
    sealer: &mut Sealer<'_>,
    tell: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Stood, ExportError> {
    let (mut missing, mut stood) = (Vec::new(), Stood::default());
    let reads: Vec<_> = closure.iter().map(|wanted| store.read(&wanted.path, wanted.which)).collect();
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    for (done, Wanted { path, .. }) in closure.iter().enumerate() {
        match reads.next().await.transpose()?.flatten() {
            Some(Stored { version, document, .. }) => {
                sealer.add(&Item { path, version, document: &document })?;
                stood.note(places, path, &document);
            }
            // It has ended and was laid aside meanwhile: it is there, or in the next bundle.
            None if places.is_journal(path) => {}
            None => missing.push(path.clone()),
        }
        tell(done + 1, closure.len());
    }
    if missing.is_empty() { Ok(stood) } else { Err(ExportError::Missing { paths: Paths(missing) }) }
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Records of the closure are not there.
    #[error("the store does not hold {paths}")]
    Missing {
        /// Which ones, all of them.
        paths: Paths,
    },
    /// The store did not do it; [`StoreError::Conflict`] means that another export of the scope came first.
    #[error("cannot read the records, or write the ledger of exports")]
    Store(#[from] StoreError),
    /// There is no key to sign with.
    #[error("cannot sign")]
    Authority(#[from] AuthorityError),
    /// The bundle cannot be made.
    #[error("cannot make the bundle")]
    Seal(#[from] SealError),
}

/// Paths, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(pub Vec<RecordPath>);

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<_> = self.0.iter().map(|path| format!("`{path}`")).collect();
        f.write_str(&quoted.join(", "))
    }
}

/// Reads of records that are under way together.
const AT_ONCE: usize = 16;
