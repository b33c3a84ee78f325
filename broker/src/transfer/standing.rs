//! Whether the temporary store may end: are the bundles where they should be, and can the authority come back?

use super::{
    bundle::{Epoch, Scope},
    exposure,
    ledger::{self, Answered, Exported},
    mark::{self, Mark},
    private::{Places, records_below},
};
use donjon_drivers::store::{RecordPath, Store, StoreError};
use donjon_policies::name::SiteName;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What the ledger and the store say together.
#[derive(Debug)]
pub struct Standing {
    /// Where the authority is, where it has moved with all that is here.
    pub moved: Option<String>,
    /// Each scope that a bundle was exported for, the custodians apart.
    pub sites: Vec<SiteStanding>,
    /// The custodians' bundle, if there is one.
    pub custodians: Option<CustodiansStanding>,
    /// When this was looked at, in seconds since 1970.
    pub now: i64,
}

/// One scope's last bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStanding {
    /// For whom.
    pub scope: Scope,
    /// Its epoch.
    pub epoch: Epoch,
    /// How many recipients have sent a receipt for it.
    pub receipts: usize,
    /// How many of them run on it with all their consumers.
    pub drained: usize,
    /// How many recipients can open it.
    pub recipients: usize,
}

/// The last custodians' bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodiansStanding {
    /// Its epoch.
    pub epoch: Epoch,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// When it was last reopened, in a drill or as the new authority, in seconds since 1970.
    pub reopened: Option<i64>,
    /// Records that consumers read and that it does not hold as they are now.
    pub changed_since: Vec<String>,
    /// Sites and recipients that would come back from it otherwise than they are now, and what became of them, in words.
    pub stood_otherwise: Vec<String>,
}

impl CustodiansStanding {
    /// Whether it holds everything as it is now.
    fn is_current(&self) -> bool {
        self.changed_since.is_empty() && self.stood_otherwise.is_empty()
    }

    /// Whether whoever carries it to where it is opened has the time for that.
    fn is_good(&self, now: i64) -> bool {
        self.not_after >= now.saturating_add(CARRIED_WITHIN)
    }
}

impl Standing {
    /// Whether nothing would be lost for ever, and nobody left without: the authority has moved with everything, the ledger
    /// of what sites are waited for included; or a custodians' bundle that holds every record, site and recipient as it is now was
    /// reopened, and each recipient of each site's last bundle has shown to have it.
    pub fn may_end(&self) -> bool {
        self.moved.is_some() || self.comes_back() && self.waiting().next().is_none()
    }

    /// Whether a custodians' bundle that was reopened holds every record as it is now, and every site and recipient, and is good
    /// for long enough to be opened elsewhere.
    pub fn comes_back(&self) -> bool {
        self.custodians.as_ref().is_some_and(|c| c.reopened.is_some() && c.is_current() && c.is_good(self.now))
    }

    /// That the custodians' bundle, by which the authority is to come back, ends soon.
    pub fn ends_soon(&self) -> Option<String> {
        let custodians = self.custodians.as_ref().filter(|c| c.not_after < self.now.saturating_add(SOON))?;
        let end = day(custodians.not_after);
        Some(format!("the custodians' bundle is good until {end}: until then `donjon up --from` takes it as it is"))
    }

    /// What is missing, in words; for when it may not end.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<_> = self
            .waiting()
            .map(|site| {
                let SiteStanding { scope, epoch, receipts, recipients, .. } = site;
                format!("of {recipients} recipients of the bundle of epoch {epoch} for {scope}, {receipts} have sent a receipt")
            })
            .collect();
        match &self.custodians {
            None => missing.push("there is no custodians' bundle, so no authority could come back".to_owned()),
            Some(CustodiansStanding { reopened: None, .. }) => {
                missing.push("the custodians' bundle was never reopened".to_owned());
            }
            Some(CustodiansStanding { changed_since, stood_otherwise, .. }) => {
                let changed = changed_since.len();
                if changed > 0 {
                    missing.push(format!("{changed} records have changed since the custodians' bundle was made"));
                }
                let since = |what: &String| format!("since the custodians' bundle was made, {what}");
                missing.extend(stood_otherwise.iter().map(since));
            }
        }
        if let Some(custodians) = self.custodians.as_ref().filter(|c| !c.is_good(self.now)) {
            let ends =
                if custodians.not_after < self.now { "has ended" } else { "ends before it could be carried elsewhere" };
            missing.push(format!("the custodians' bundle {ends} ({})", day(custodians.not_after)));
        }
        missing
    }

    /// The scopes whose last bundle not every recipient has shown to have opened.
    pub fn waiting(&self) -> impl Iterator<Item = &SiteStanding> {
        self.sites.iter().filter(|site| site.receipts < site.recipients)
    }
}

/// Reads how things stand now, in seconds since 1970.
pub async fn standing(store: &dyn Store, places: &Places, now: i64) -> Result<Standing, StoreError> {
    let moved = match mark::read(store, places).await?.mark {
        Some(Mark::Moved { to, .. }) => Some(to),
        None
        | Some(
            Mark::Here { .. }
            | Mark::Moving { .. }
            | Mark::Arriving { .. }
            | Mark::Withdrawn { .. }
            | Mark::Following {}
            | Mark::Restoring { .. },
        ) => None,
    };
    let mut standing = Standing { moved, sites: Vec::new(), custodians: None, now };
    for entry in ledger::all(store, places).await? {
        match entry.scope {
            Scope::Site { .. } if entry.retired.is_some() => {}
            Scope::Site { .. } => {
                let Answered { imported, drained } = entry.answered();
                standing.sites.push(SiteStanding {
                    epoch: entry.epoch,
                    receipts: imported,
                    drained,
                    recipients: entry.awaited().count(),
                    scope: entry.scope,
                });
            }
            Scope::Custodians {} => {
                standing.custodians = Some(CustodiansStanding {
                    epoch: entry.epoch,
                    not_after: entry.not_after,
                    reopened: entry.receipts.iter().map(|receipt| receipt.at).max(),
                    changed_since: changed_since(store, places, &entry).await?,
                    stood_otherwise: entry.stood.otherwise(store, places).await?,
                });
            }
        }
    }
    Ok(standing)
}

/// A day of the calendar, for people.
fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.strftime("%Y-%m-%d").to_string())
}

/// A custodians' bundle that is the last copy is good for longer than this: a store is put up on another host, and the bundle
/// and a custodian are brought there, within a working day. Who needs longer takes it with `--expired`.
const CARRIED_WITHIN: i64 = 86_400;

/// A bundle that is good for less than this is spoken of, at its site and at the authority, in seconds.
pub const SOON: i64 = 30 * 86_400;

/// The scopes whose last bundle ends before this second of 1970, and when it does: nothing reads it then.
pub async fn ending(store: &dyn Store, places: &Places, before: i64) -> Result<Vec<(Scope, i64)>, StoreError> {
    let entries = ledger::all(store, places).await?.into_iter().filter(|entry| entry.retired.is_none());
    Ok(entries.filter(|entry| entry.not_after < before).map(|entry| (entry.scope, entry.not_after)).collect())
}

/// A site that may still run on an older version of what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The site.
    pub site: SiteName,
    /// Which of its bundles.
    pub scope: Scope,
    /// What is missing.
    pub missing: Missing,
    /// Whose consumers may run on an older value: the names of recipients, or their keys; of many, the first.
    pub who: Vec<String>,
    /// How many more.
    pub more: usize,
}

/// What a site is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// Its last bundle holds an older version.
    Bundle,
    /// Recipients have not shown that their consumers run on the bundle.
    Drained {
        /// The bundle's epoch.
        epoch: Epoch,
        /// How many recipients have opened it.
        imported: usize,
        /// How many of them have drained.
        drained: usize,
        /// How many recipients there are.
        recipients: usize,
    },
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.missing {
            Missing::Bundle => write!(f, "{}: its last bundle holds an older value", self.scope),
            Missing::Drained { epoch, imported, drained, recipients } => write!(
                f,
                "{}: of {recipients} recipients of epoch {epoch}, {imported} have imported and {drained} have drained it",
                self.scope
            ),
        }?;
        match (self.who.is_empty(), self.more) {
            (true, _) => Ok(()),
            (false, 0) => write!(f, " ({})", self.who.join(", ")),
            (false, more) => write!(f, " ({}, {more} more)", self.who.join(", ")),
        }
    }
}

/// The scopes of these sites that hold any of these records and have not shown that all their consumers run on the newest
/// version. Hosts and sites that left are not waited for. What is read does not grow with the number of other sites.
pub async fn behind(
    store: &dyn Store,
    places: &Places,
    sites: impl IntoIterator<Item = &SiteName>,
    records: &[RecordPath],
) -> Result<Vec<Behind>, StoreError> {
    let mut entries = Vec::new();
    for site in sites {
        entries.extend(ledger::of_site(store, places, site).await?);
    }
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut newest = BTreeMap::new();
    for path in records {
        let version = store.versions(path).await?.iter().map(|info| info.version.0).max().unwrap_or(0);
        newest.insert(path.as_str(), version);
    }
    let mut behind = Vec::new();
    for entry in entries {
        let Scope::Site { site, .. } = &entry.scope else { continue };
        let Some((missing, left)) = missing(&entry, &newest) else { continue };
        let mut who = Vec::new();
        for recipient in left.iter().take(MOST_NAMED) {
            who.push(exposure::called(store, places, recipient).await?);
        }
        let more = left.len() - who.len();
        behind.push(Behind { site: site.clone(), scope: entry.scope.clone(), missing, who, more });
    }
    Ok(behind)
}

/// What a scope is waited for, if it has any of these records, and by which of its recipients.
fn missing(entry: &Exported, newest: &BTreeMap<&str, u64>) -> Option<(Missing, Vec<String>)> {
    let held = entry.contents.iter().filter_map(|c| Some((c.version.0, newest.get(c.path.as_str())?)));
    let held: Vec<bool> = held.map(|(version, newest)| version < *newest).collect();
    if entry.retired.is_some() || held.is_empty() {
        return None;
    }
    let left = |done: &BTreeSet<&str>| entry.awaited().filter(|one| !done.contains(one.as_str())).cloned().collect();
    if held.contains(&true) {
        return Some((Missing::Bundle, left(&BTreeSet::new())));
    }
    let Answered { imported, drained } = entry.answered();
    let recipients = entry.awaited().count();
    let missing = Missing::Drained { epoch: entry.epoch, imported, drained, recipients };
    (drained < recipients).then(|| (missing, left(&entry.drained())))
}

async fn changed_since(store: &dyn Store, places: &Places, entry: &Exported) -> Result<Vec<String>, StoreError> {
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for content in &entry.contents {
        let newest = held.entry(content.path.as_str()).or_default();
        *newest = content.version.0.max(*newest);
    }
    let mut changed = Vec::new();
    for path in records_below(store, &places.public_folder()).await? {
        let newest = store.versions(&path).await?.iter().map(|info| info.version.0).max().unwrap_or(0);
        if held.get(path.as_str()).is_none_or(|version| *version < newest) {
            changed.push(path.to_string());
        }
    }
    Ok(changed)
}

/// How many recipients of a bundle are named.
const MOST_NAMED: usize = 5;
