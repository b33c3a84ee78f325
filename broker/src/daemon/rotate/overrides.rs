//! What an operator takes upon himself, as the audit log has it.

use crate::{
    audit::Override,
    failure::{Exit, Failure},
    rotation::{journal::Restarted, plan::PlannedRotation},
    socket::message::RotateAsked,
};
use donjon_policies::{catalogue::Account, nearest::nearest, restart::Instance};
use std::collections::BTreeSet;

/// Of a rotation that is to begin.
pub(super) fn asked(asked: &RotateAsked) -> Result<Vec<Override>, Failure> {
    let mut overrides = Vec::new();
    if asked.accept_outage {
        overrides.push(Override::Outage);
    }
    if asked.compromised {
        overrides.push(Override::OldFirst);
    }
    for vouched in &asked.vouched {
        let Account { user, at } =
            Account::read(vouched).ok_or_else(|| no(&format!("`{vouched}` is no account"), "USER@HOST"))?;
        overrides.push(Override::Vouched { user, host: at });
    }
    overrides.extend(left(&asked.leave)?);
    Ok(overrides)
}

/// Of a rotation that begins or goes on without some consumers.
pub(super) fn left(leave: &BTreeSet<String>) -> Result<Vec<Override>, Failure> {
    let instance = |place: &String| {
        let Some((service, host)) = place.rsplit_once('@') else {
            return Some(Override::LeftSite { site: place.parse().ok()? });
        };
        Some(Override::Left(Instance { service: service.parse().ok()?, host: host.parse().ok()? }))
    };
    let no =
        |place: &String| no(&format!("`{place}` is no consumer and no site"), "SERVICE@HOST, or the name of a site");
    leave.iter().map(|place| instance(place).ok_or_else(|| no(place))).collect()
}

/// Refuses names of which a rotation has none: nobody would be left, and who is away would stop it all the same. What it has
/// restarted already is its, too: one that has died since may be gone from the deployment file.
pub(super) fn are_there(
    leave: &BTreeSet<String>,
    rotations: &[PlannedRotation],
    restarted: &[Restarted],
) -> Result<(), Failure> {
    let instances = rotations.iter().flat_map(|rotation| &rotation.restarts).flat_map(|step| &step.instances);
    let sites = rotations.iter().flat_map(|rotation| &rotation.sites).map(ToString::to_string);
    let restarted = restarted.iter().map(|Restarted { service, host, .. }| format!("{service}@{host}"));
    let known: BTreeSet<String> =
        instances.map(|Instance { service, host }| format!("{service}@{host}")).chain(restarted).chain(sites).collect();
    let Some(strange) = leave.iter().find(|place| !known.contains(*place)) else { return Ok(()) };
    let failure = Failure::new(Exit::NotThere, format!("`{strange}` is no consumer and no site of what is rotated"))
        .state("nothing was changed");
    Err(match nearest(strange, known.iter().map(String::as_str)) {
        Some(other) => failure.hint(format!("is `{other}` meant?")),
        None => failure.hint("`donjon rotate plan` shows them"),
    })
}

fn no(what: &str, shape: &str) -> Failure {
    Failure::new(Exit::Usage, what).state("nothing was changed").hint(format!("write {shape}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_no_account_and_no_consumer_is_refused() {
        let vouched = |text: &str| RotateAsked { vouched: vec![text.to_owned()], ..RotateAsked::default() };
        assert!(asked(&vouched("root@10.0.0.%")).is_ok());
        assert!(asked(&vouched("root'@x")).is_err());
        assert!(left(&["web@ctl1".to_owned()].into()).is_ok());
        assert!(left(&["edge1".to_owned()].into()).is_ok());
        assert!(left(&["@web".to_owned()].into()).is_err());
    }
    #[test]
    fn a_consumer_that_was_restarted_and_is_described_no_more_may_be_left() {
        let (service, host) = ("web".parse().unwrap(), "ctl1".parse().unwrap());
        let web = Restarted { service, host, acknowledged: false, standing: None, before: BTreeMap::new() };
        let leave = |place: &str| are_there(&[place.to_owned()].into(), &[], std::slice::from_ref(&web));
        assert!(leave("web@ctl1").is_ok());
        assert_eq!(leave("web@ctl2").unwrap_err().code, Exit::NotThere, "the control");
    }
}
