//! The sites that a rotation waits for, as of now, and what each of them needs before an old value may go.

use super::{Journal, plan::PlannedRotation};
use crate::{
    records::Layout,
    transfer::{
        Places,
        bundle::Scope,
        standing::{self, Behind, Missing},
    },
};
use donjon_drivers::store::{Store, StoreError};
use donjon_policies::{
    name::{SecretName, SiteName},
    transition::State,
};
use std::collections::BTreeSet;

/// What begins the text in a journal that waits for sites.
const WAITS: &str = "sites have not drained a bundle with the new value: ";

/// Something to type, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The command.
    pub command: String,
    /// What it is for, or where it is typed.
    pub what: String,
}

/// What a rotation waits for, in words.
pub fn waits(behind: &[Behind]) -> String {
    format!("{WAITS}{}", behind.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// The sites that a rotation waits for, where it is one that asks sites by now: those that have not drained the newest version
/// of its secrets and of the views that are made of them.
pub async fn behind_of(
    store: &dyn Store,
    layout: &Layout,
    journal: &Journal,
    planned: &PlannedRotation,
) -> Result<Vec<Behind>, StoreError> {
    if !waits_for_sites(journal) && journal.state != State::Drained {
        return Ok(Vec::new());
    }
    let names = journal.names();
    behind(store, layout, &planned.sites, names.iter().chain(&planned.views)).await
}

/// What a rotation waits for: what it has written, and of sites how it is now.
pub fn waiting(journal: &Journal, behind: &[Behind]) -> Option<String> {
    match behind {
        // What was written then may be done by now.
        [] => journal.waiting.clone().filter(|_| !waits_for_sites(journal)),
        behind => Some(waits(behind)),
    }
}

fn waits_for_sites(journal: &Journal) -> bool {
    journal.waiting.as_ref().is_some_and(|waiting| waiting.starts_with(WAITS))
}

/// The sites that have not drained the newest version of secrets and of the views that are made of them.
pub async fn behind<'a>(
    store: &dyn Store,
    layout: &Layout,
    sites: &BTreeSet<SiteName>,
    names: impl IntoIterator<Item = &'a SecretName>,
) -> Result<Vec<Behind>, StoreError> {
    // A deployment whose name cannot have bundles has no site that has one.
    let Ok(places) = Places::new(layout.deployment().clone()) else { return Ok(Vec::new()) };
    let paths: Vec<_> = names.into_iter().map(|name| layout.secret(name)).collect();
    standing::behind(store, &places, sites, &paths).await
}

/// What the sites need, in this order; `resume` is the command that goes on.
pub fn needs(behind: &[Behind], resume: &str) -> Vec<Typed> {
    let typed = |command: String, what: String| Typed { command, what };
    let mut all = Vec::new();
    for one in behind.iter().filter(|one| one.missing == Missing::Bundle) {
        all.push(typed(
            format!("donjon export bundle {} -o FILE", options(one)),
            format!("the new value, for {}", one.site),
        ));
    }
    let sites: BTreeSet<&str> = behind.iter().map(|one| one.site.as_str()).collect();
    let named = sites.iter().copied().collect::<Vec<_>>().join(", ");
    if behind
        .iter()
        .any(|one| !matches!(&one.missing, Missing::Drained { imported, recipients, .. } if imported == recipients))
    {
        all.push(typed("donjon import".to_owned(), format!("at {named}, on each node")));
    }
    all.push(typed("donjon drain".to_owned(), format!("at {named}, on each node: it signs a receipt")));
    all.push(typed("donjon receipt".to_owned(), "here, for each receipt of theirs".to_owned()));
    all.push(typed(resume.to_owned(), "once they are taken".to_owned()));
    for site in sites {
        all.push(typed(
            format!("{resume} --leave {site}"),
            "instead, without it: it is cut off once the old value goes".to_owned(),
        ));
    }
    all
}

/// The same, as a hint.
pub fn hint(behind: &[Behind]) -> String {
    let one = |typed: Typed| format!("`{}` ({})", typed.command, typed.what);
    needs(behind, "donjon rotate resume").into_iter().map(one).collect::<Vec<_>>().join("; ")
}

fn options(behind: &Behind) -> String {
    match &behind.scope {
        Scope::Site { site, role, host: None } => format!("--site {site} --role {role}"),
        Scope::Site { site, role, host: Some(host) } => format!("--site {site} --role {role} --host {host}"),
        Scope::Custodians {} => "--custodians".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::bundle::Epoch;
    use donjon_policies::transition::Path;

    #[test]
    fn a_site_is_asked_for_no_more_than_it_has_not_done() {
        let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let site: SiteName = "edge1".parse().unwrap();
        let of = |missing| vec![Behind { site: site.clone(), scope: scope.clone(), missing, who: Vec::new(), more: 0 }];
        let typed = |missing| -> Vec<String> {
            needs(&of(missing), "donjon rotate resume a").into_iter().map(|typed| typed.command).collect()
        };
        let end = ["donjon drain", "donjon receipt", "donjon rotate resume a", "donjon rotate resume a --leave edge1"];
        let export = "donjon export bundle --site edge1 --role compute -o FILE";
        assert_eq!(typed(Missing::Bundle), [&[export, "donjon import"][..], &end].concat());
        let drained = |imported| Missing::Drained { epoch: Epoch(2), imported, drained: 0, recipients: 2 };
        assert_eq!(typed(drained(1)), [&["donjon import"][..], &end].concat());
        assert_eq!(typed(drained(2)), end);
        let mut journal = Journal::new("a".to_owned(), Path::Overlap, Vec::new(), "b", 0);
        journal.waiting = Some(waits(&of(Missing::Bundle)));
        let now = waiting(&journal, &of(drained(2))).unwrap();
        assert!(now.contains("2 have imported"), "as of now, and not as it was written: {now}");
        assert_eq!(waiting(&journal, &[]), None);
        journal.waiting = Some("a consumer".to_owned());
        assert_eq!(waiting(&journal, &[]), journal.waiting, "the control");
        assert!(hint(&of(drained(2))).starts_with("`donjon drain` (at edge1"));
    }
}
