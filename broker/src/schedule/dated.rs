//! When each stored secret is due, by the age of its current version and the rule that holds for it.

use crate::{
    records::{Layout, secrets},
    rotation::{Journal, plan},
    socket::message::RotateAsked,
};
use donjon_drivers::store::{Store, StoreError, Which};
use donjon_policies::{
    catalogue::{Catalogue, Entry, Standing},
    deployment::Deployment,
    name::SecretName,
    schedule::Due,
    strategy::Outage,
    transition::State,
};
use serde::Serialize;

/// When a secret is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dated {
    /// The secret.
    pub secret: SecretName,
    /// When its current version was made, in seconds since 1970.
    pub made: i64,
    /// How old that is, in seconds.
    pub age: i64,
    /// Whether it is due.
    pub due: When,
    /// When it may change next, in seconds since 1970, where that is known.
    pub next: Option<i64>,
    /// Why.
    pub why: String,
    /// What its change costs; `None` where it is not to be rotated here.
    pub outage: Option<Outage>,
    /// Whether its rule lets it change without being asked, whatever that costs.
    pub accepted: bool,
}

/// Whether a secret is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It is, and may change.
    Now,
    /// It is, and may not change yet.
    Waits,
    /// It is not.
    Later,
    /// It never is by itself.
    Never,
}

/// Where secrets and their rules are.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The paths of its records.
    pub layout: &'a Layout,
    /// The catalogue.
    pub catalogue: &'a Catalogue,
    /// The deployment file.
    pub deployment: &'a Deployment,
}

/// When each stored secret of the catalogue is due, the next one first. `now` is in seconds since 1970.
pub async fn look(place: Place<'_>, journals: &[Journal], now: i64) -> Result<Vec<Dated>, StoreError> {
    let mut found = Vec::new();
    for name in secrets::names(place.store, place.layout).await? {
        let entry = place.catalogue.entry(&name).filter(|entry| entry.standing != Standing::Older);
        let Some(entry) = entry else { continue };
        let Some(held) = secrets::read(place.store, place.layout, &name, Which::Latest).await? else { continue };
        found.push(dated(place, entry, journals, held.record.created, now));
    }
    let rank = |dated: &Dated| match dated.due {
        When::Now => 0,
        When::Waits => 1,
        When::Later => 2,
        When::Never => 3,
    };
    found.sort_by(|a, b| (rank(a), a.next, &a.secret).cmp(&(rank(b), b.next, &b.secret)));
    Ok(found)
}

fn dated(place: Place<'_>, entry: &Entry, journals: &[Journal], made: i64, now: i64) -> Dated {
    let schedules = &place.deployment.schedules;
    let secret = entry.name.clone();
    let rule = schedules.rule(entry);
    let accepted = rule.is_some_and(|rule| rule.accept_outage);
    let asked = RotateAsked { names: vec![secret.to_string()], ..RotateAsked::default() };
    let planned = plan::plan(place.catalogue, place.deployment, &asked);
    let outage = planned.as_ref().ok().and_then(|plan| plan.rotations.first()).map(|rotation| rotation.outage);
    let as_is = |due, next, why: String| Dated {
        secret: secret.clone(),
        made,
        age: now.saturating_sub(made),
        due,
        next,
        why,
        outage,
        accepted,
    };
    if let Err(refused) = planned {
        let why = refused.causes.first().cloned().unwrap_or(refused.message);
        return as_is(When::Never, None, why);
    }
    let Some(rule) = rule else { return as_is(When::Never, None, "no rule of the schedule fits it".to_owned()) };
    if !entry.in_bulk() && !rule.names(entry) {
        return as_is(When::Never, None, "it changes only when it is named, and its rule does not name it".to_owned());
    }
    let age = rule.max_age.map_or_else(String::new, |age| age.to_string());
    match schedules.schedule(rule).due(secret.as_str(), made, now) {
        Due::Never => as_is(When::Never, None, "its rule gives no `max_age`".to_owned()),
        Due::NotBefore(at) => as_is(When::Later, Some(at), format!("it reaches the age of its rule ({age}) then")),
        Due::Waits(next) => as_is(
            When::Waits,
            next,
            format!("older than its rule allows ({age}); its window is closed or it is frozen"),
        ),
        Due::Now => match journals.iter().find(|journal| !journal.state.ended() && journal.names().contains(&secret)) {
            Some(journal) => as_is(When::Waits, None, format!("a rotation of it has not ended ({})", journal.state)),
            None => match went_back(journals, &secret).map(|at| at + i64::from(schedules.again.as_seconds())) {
                Some(again) if now < again => as_is(
                    When::Waits,
                    Some(again),
                    "its last rotation went back; it is left alone until then".to_owned(),
                ),
                Some(_) | None => as_is(When::Now, Some(now), format!("older than its rule allows ({age})")),
            },
        },
    }
}

/// When the last rotation of a secret went back, where it did.
fn went_back(journals: &[Journal], secret: &SecretName) -> Option<i64> {
    let of = journals.iter().filter(|journal| journal.names().contains(secret));
    let last = of.filter_map(|journal| journal.history.last()).max_by_key(|(_, at)| *at)?;
    matches!(last.0, State::Restored | State::Aborted).then_some(last.1 / 1_000_000)
}
