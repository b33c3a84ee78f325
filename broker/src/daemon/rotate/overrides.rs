//! What an operator takes upon himself, as the audit log has it.

use crate::{
    audit::Override,
    failure::{Exit, Failure},
    socket::message::RotateAsked,
};
use donjon_policies::{catalogue::Account, restart::Instance};
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

fn no(what: &str, shape: &str) -> Failure {
    Failure::new(Exit::Usage, what).state("nothing was changed").hint(format!("write {shape}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_account_and_no_consumer_is_refused() {
        let vouched = |text: &str| RotateAsked { vouched: vec![text.to_owned()], ..RotateAsked::default() };
        assert!(asked(&vouched("root@10.0.0.%")).is_ok());
        assert!(asked(&vouched("root'@x")).is_err());
        assert!(left(&["web@ctl1".to_owned()].into()).is_ok());
        assert!(left(&["edge1".to_owned()].into()).is_ok());
        assert!(left(&["@web".to_owned()].into()).is_err());
    }
}
