//! Waiting until no session that was opened with an old value is left, or saying whose they are and since when.

use super::{
    Names, POLL,
    former::{BROKER, Former},
    known, marks, proxies_of, seen_as, sessions, time,
};
use crate::{
    failure::{Exit, Failure, WaitsFor},
    rotation::{
        Instance, Rotation, accept,
        journal::{Credential, Marks},
        subject::{Addresses, Way},
        values::{Side, Values},
    },
};
use donjon_drivers::target::{Began, Mark, Node, Session};
use donjon_policies::transition::State;
use std::{collections::BTreeMap, net::ToSocketAddrs, time::UNIX_EPOCH};
use tokio::time::Instant;

/// Waits for as long as the deployment allows; then the rotation waits for a person.
pub(super) async fn wait(rotation: &mut Rotation<'_>, both: &Values) -> Result<(), Failure> {
    let deadline = Instant::now() + rotation.subject.drain;
    let mut names = Names::new();
    let former = Former::of(rotation, &mut names).await;
    loop {
        let named = left(rotation, both, &mut names, &former).await?;
        if named.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!("sessions from before the rotation of {} are still open", rotation.subject.names());
            let mut failure = Failure::new(Exit::Waiting, what).waits_for(WaitsFor::Stragglers);
            let hint = if named.iter().any(|cause| cause.starts_with(BROKER)) {
                "restart what holds them, end a broker that stands still by its process there, then `donjon rotate resume`"
            } else {
                "restart what holds them, then `donjon rotate resume`"
            };
            failure.causes = named;
            let failure = failure.hint(hint);
            rotation.held.journal.waiting =
                Some(format!("sessions from before are open: {}", failure.causes.join(", ")));
            rotation.save().await?;
            return Err(failure);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The sessions that are left, each as people are told of it.
async fn left(
    rotation: &Rotation<'_>,
    both: &Values,
    names: &mut Names,
    former: &Former,
) -> Result<Vec<String>, Failure> {
    let mut named = Vec::new();
    let mut now = None;
    for (item, credential) in accept::credentials(rotation) {
        let target = &credential.target;
        let Some(nodes) = rotation.journal().marks.get(target) else { continue };
        let began: BTreeMap<String, Began> = match credential.way {
            // Each session of an account that goes is one of the old value, whenever it began.
            Way::Twin => nodes.keys().map(|node| (node.clone(), Began::AnyTime)).collect(),
            Way::Both | Way::Switch => {
                if now.is_none() {
                    now = Some(marks(rotation, both).await?);
                }
                let now = now.as_ref().and_then(|now| now.get(target));
                let now = now.into_iter().flatten();
                now.map(|(node, mark)| (node.clone(), Began::NoLaterThan(*mark))).collect()
            }
        };
        let users = credential.users(Side::Old);
        // A proxy keeps connections for the next client: who uses it is asked at the proxy itself.
        let proxies = proxies_of(rotation, item, credential);
        let proxies = Addresses::Known(proxies.iter().flat_map(|proxy| proxy.nodes()).flat_map(addresses).collect());
        for (node, session) in sessions(rotation, both, target, &users, &began).await? {
            let Some(among) = began.get(&node).copied() else { continue };
            let seen = seen_as(&session, names).await;
            if seen.iter().any(|from| proxies.hold(from)) {
                continue;
            }
            let here = |i: &&Instance| seen.iter().any(|from| i.addresses.tells(from));
            let here: Vec<&Instance> = rotation.subject.instances.iter().filter(here).collect();
            if old(rotation, credential, &node, &session, among, &here) {
                let whose = here.iter().filter(|i| i.uses.contains(&item.secret));
                let whose: Vec<String> = whose.map(|i| i.place()).collect();
                let whose = match (whose.as_slice(), former.whose(&seen)) {
                    ([_, ..], _) => whose.join(" or "),
                    ([], Some(broker)) => broker,
                    ([], None) => "of nobody that is known".to_owned(),
                };
                let since = since(rotation, target_mark(&rotation.journal().marks, credential, &node), &session);
                named.push(format!(
                    "{whose}: a session of {} at `{target}` from {}, open {since} (number {} on {node})",
                    users.join(", "),
                    session.from,
                    session.mark.0
                ));
            }
        }
    }
    Ok(named)
}

/// Whether a session holds on to an old value. Where an account has a twin, each of its sessions does; else those from
/// before the consumers of their host restarted, or, where nobody knows whose they are, from before any did.
fn old(
    rotation: &Rotation<'_>,
    credential: &Credential,
    node: &str,
    session: &Session,
    among: Began,
    here: &[&Instance],
) -> bool {
    if !here.is_empty() && here.iter().all(|i| rotation.leave.contains(&i.place())) {
        return false;
    }
    if credential.way == Way::Twin {
        return true;
    }
    let own = here.iter().filter_map(|i| target_mark(&known(rotation, i)?.before, credential, node)).min();
    let until = own.or_else(|| target_mark(&rotation.journal().marks, credential, node));
    // A mark that is later than now is one of before the server started: whoever was there then has gone.
    until.is_some_and(|until| session.mark <= until && among.holds(until))
}

/// Where a node's own connections come from.
fn addresses(node: &Node) -> Vec<String> {
    let name = node.address.rsplit_once(':').map_or(node.address.as_str(), |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let found = (name, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip().to_string());
    [name.to_ascii_lowercase()].into_iter().chain(found).collect()
}

fn target_mark(marks: &Marks, credential: &Credential, node: &str) -> Option<Mark> {
    marks.get(&credential.target)?.get(node).copied()
}

/// Since when a session is open, in words: as the server tells, or by the mark that was taken when rolling began.
fn since(rotation: &Rotation<'_>, rolling: Option<Mark>, session: &Session) -> String {
    if let Some(since) = session.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()) {
        return format!("since {}", time(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)));
    }
    let history = &rotation.journal().history;
    let began = history.iter().rev().find(|(state, _)| *state == State::Rolling).map(|(_, at)| at / 1_000_000);
    match (began, rolling) {
        (Some(began), Some(rolling)) if session.mark <= rolling => format!("since before {}", time(began)),
        (Some(began), _) => format!("since after {}", time(began)),
        (None, _) => "since nobody knows when".to_owned(),
    }
}
