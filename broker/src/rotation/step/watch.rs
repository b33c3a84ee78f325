//! The watch of the trial: who still knocks with an old value, once it is refused.
//!
//! A knock from a host of the deployment whose consumers nobody has proven brings the old value back, for the account that
//! it is at alone, and once for the whole rotation. One from a host whose consumers are all proven or left by name, from
//! this machine, where operators and `donjon doctor` try values too, or from a stranger, is told and not obeyed.

use super::roll;
use crate::{
    failure::{Exit, Failure, WaitsFor},
    rotation::{
        Rotation,
        journal::Points,
        place::places,
        probe,
        subject::Way,
        values::{Side, values},
    },
};
use donjon_drivers::target::{Account, Knock};
use donjon_policies::{
    deployment::LOCAL,
    name::{HostName, TargetName},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// Where the records of refused logins end now.
pub async fn points(rotation: &Rotation<'_>) -> Result<Points, Failure> {
    let mut points = Points::new();
    for (name, reached) in &rotation.subject.targets {
        for node in reached.target.nodes() {
            let knocks = reached.target.knocks(node, None).await;
            let knocks = knocks.map_err(|error| probe::failed(rotation.subject, name, &error))?;
            if let Some(knocks) = knocks {
                points.entry(name.clone()).or_default().insert(node.name.clone(), knocks.point);
            }
        }
    }
    Ok(points)
}

/// Watches until the trial is over. Nothing is watched where nothing tells who knocks.
pub async fn watch(rotation: &mut Rotation<'_>) -> Result<(), Failure> {
    let mut points = rotation.journal().watched.clone();
    let deadline = Instant::now() + rotation.subject.trial;
    let mut told = BTreeSet::new();
    while !points.is_empty() {
        for (target, knock) in knocks(rotation, &mut points).await? {
            match who(rotation, &target, &knock) {
                Who::Straggler(host) if !rotation.journal().returned => {
                    return Err(come_back(rotation, &target, &knock, &host).await?);
                }
                Who::Straggler(host) => note(rotation, &mut told, &knock, &format!("{host}, and it stays removed now")),
                Who::Known(host) => note(rotation, &mut told, &knock, &format!("{host}, where nothing is missing")),
                Who::Stranger => note(rotation, &mut told, &knock, "no host of the deployment"),
                Who::Elsewhere => {}
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Who knocks.
enum Who {
    /// A host of the deployment with a consumer that nobody has proven, or with none that is known.
    Straggler(HostName),
    /// A host whose consumers are all proven or left, or this machine.
    Known(HostName),
    /// Nobody of the deployment.
    Stranger,
    /// Somebody at another account.
    Elsewhere,
}

async fn knocks(rotation: &Rotation<'_>, points: &mut Points) -> Result<Vec<(TargetName, Knock)>, Failure> {
    let mut all = Vec::new();
    for (name, at) in points {
        let Some(reached) = rotation.subject.targets.get(name) else { continue };
        for node in reached.target.nodes() {
            let Some(point) = at.get_mut(&node.name) else { continue };
            let knocks = reached.target.knocks(node, Some(*point)).await;
            let knocks = knocks.map_err(|error| probe::failed(rotation.subject, name, &error))?;
            if let Some(knocks) = knocks {
                *point = knocks.point;
                all.extend(knocks.refused.into_iter().map(|knock| (name.clone(), knock)));
            }
        }
    }
    Ok(all)
}

fn who(rotation: &Rotation<'_>, target: &TargetName, knock: &Knock) -> Who {
    let items = rotation.items();
    let mut credentials = items.iter().flat_map(|item| &item.credentials);
    if !credentials.any(|c| c.target == *target && c.users.contains(&knock.user)) {
        return Who::Elsewhere;
    }
    let hosts = (rotation.subject.hosts)();
    let Some((host, _)) = hosts.into_iter().find(|(_, addresses)| addresses.tells(&knock.from)) else {
        return Who::Stranger;
    };
    let mut here = rotation.subject.instances.iter().filter(|instance| instance.host == host).peekable();
    let missing = here.peek().is_none() || here.any(|instance| !roll::proven_or_left(rotation, instance));
    if missing && host.as_str() != LOCAL { Who::Straggler(host) } else { Who::Known(host) }
}

/// The old value comes back for the account that was knocked at; says what is waited for.
async fn come_back(
    rotation: &mut Rotation<'_>,
    target: &TargetName,
    knock: &Knock,
    host: &HostName,
) -> Result<Failure, Failure> {
    // First: killed in between, it has come back at most once.
    rotation.held.journal.returned = true;
    rotation.save().await?;
    let values = values(rotation).await?;
    let mut back = Vec::new();
    for place in places(rotation, &values) {
        // The account of a twin is gone for good.
        if place.credential.target != *target || place.credential.way != Way::Both {
            continue;
        }
        if let Some(account) = met(&place.credential.accounts, knock) {
            place.declare(account, &[Side::New, Side::Old]).await?;
            back.push(account.to_string());
        }
    }
    let what = format!("`{}` knocks at `{target}` with an old value, from {host} ({})", knock.user, knock.from);
    let state = match back.as_slice() {
        [] => "the old value stays removed".to_owned(),
        back => format!("the old value is valid for {} once more, for this once", back.join(", ")),
    };
    rotation.held.journal.waiting = Some(format!("{what}; {state}"));
    rotation.save().await?;
    Ok(Failure::new(Exit::Waiting, format!("a straggler of the rotation of {} knocks", rotation.subject.names()))
        .waits_for(WaitsFor::Stragglers)
        .cause(format!("{what}; nothing on {host} was proven to run on the new one"))
        .hint(format!("{state}: restart what holds it, then `donjon rotate resume`")))
}

/// The account at which a login from there was refused: the one of the user with the closest host entry.
fn met<'a>(accounts: &'a [Account], knock: &Knock) -> Option<&'a Account> {
    let fits = |account: &&Account| {
        account.user == knock.user
            && match account.host.split_once('%') {
                None => account.host.eq_ignore_ascii_case(&knock.from),
                Some((before, after)) => knock.from.starts_with(before) && knock.from.ends_with(after),
            }
    };
    let closeness = |account: &&Account| (!account.host.contains('%'), account.host.len());
    accounts.iter().filter(fits).max_by_key(closeness)
}

fn note(rotation: &Rotation<'_>, told: &mut BTreeSet<(String, String)>, knock: &Knock, whose: &str) {
    if told.insert((knock.user.clone(), knock.from.clone())) {
        rotation.told(format!("`{}` was refused, from {}: {whose}; nothing comes back for it", knock.user, knock.from));
    }
}

const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_is_at_the_account_with_the_closest_entry() {
        let account = |host: &str| Account { user: "root".into(), host: host.into() };
        let accounts = [account("%"), account("10.0.0.%"), account("10.0.0.5"), account("localhost")];
        let at = |user: &str, from: &str| {
            met(&accounts, &Knock { user: user.into(), from: from.into() }).map(|account| account.host.as_str())
        };
        assert_eq!(at("root", "10.0.0.5"), Some("10.0.0.5"));
        assert_eq!(at("root", "10.0.0.6"), Some("10.0.0.%"));
        assert_eq!(at("root", "10.0.1.6"), Some("%"));
        assert_eq!(at("root", "LOCALHOST"), Some("localhost"));
        assert_eq!(at("nova", "10.0.0.5"), None);
    }
}
