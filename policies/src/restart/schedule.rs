//! List scheduling of lanes, one lane per service, with quorum groups as resources of which there is one.

use super::{Instance, Step};
use crate::name::{HostName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

/// What one service asks of a plan.
pub(super) struct Lane<'a> {
    /// The service.
    pub(super) service: &'a ServiceName,
    /// Lower levels are finished first.
    pub(super) level: (i64, u8),
    /// The services that are finished before this one begins. Those that have no lane are not waited for.
    pub(super) after: Vec<&'a ServiceName>,
    /// Its hosts, in their order.
    pub(super) hosts: Vec<HostName>,
    /// How many of them at once.
    pub(super) batch: usize,
    /// Whether the first goes alone.
    pub(super) canary: bool,
    /// Of whose members one at most is in a step.
    pub(super) quorum_group: Option<&'a str>,
}

/// The steps, level by level.
pub(super) fn schedule(lanes: Vec<Lane<'_>>) -> Vec<Step> {
    let mut levels: BTreeMap<(i64, u8), Vec<Lane<'_>>> = BTreeMap::new();
    for lane in lanes {
        levels.entry(lane.level).or_default().push(lane);
    }
    levels.into_values().flat_map(level).collect()
}

/// The steps of one level, whose lanes wait for each other alone.
fn level(mut lanes: Vec<Lane<'_>>) -> Vec<Step> {
    lanes.sort_by_key(|lane| lane.service);
    let places: BTreeMap<_, _> = lanes.iter().enumerate().map(|(place, lane)| (lane.service, place)).collect();
    let mut dependants = vec![Vec::new(); lanes.len()];
    let mut waits = vec![0_usize; lanes.len()];
    for (place, lane) in lanes.iter().enumerate() {
        let earlier: BTreeSet<_> = lane.after.iter().filter_map(|service| places.get(service)).collect();
        waits[place] = earlier.len();
        earlier.into_iter().for_each(|earlier| dependants[*earlier].push(place));
    }
    let mut taken = vec![0_usize; lanes.len()];
    let mut left: BTreeSet<usize> = (0..lanes.len()).collect();
    let mut ready: BTreeSet<usize> = left.iter().copied().filter(|place| waits[*place] == 0).collect();
    let mut steps = Vec::new();
    loop {
        let finished = |place: &usize| taken[*place] == lanes[*place].hosts.len();
        let mut done: Vec<_> = ready.iter().copied().filter(finished).collect();
        while let Some(place) = done.pop() {
            ready.remove(&place);
            left.remove(&place);
            for dependant in &dependants[place] {
                waits[*dependant] -= 1;
                if waits[*dependant] == 0 && left.contains(dependant) && ready.insert(*dependant) {
                    // One without hosts holds nobody up.
                    done.extend(finished(dependant).then_some(*dependant));
                }
            }
        }
        let Some(first) = left.first() else { return steps };
        if ready.is_empty() {
            // A circle: it was refused when the plan was made, and on the way back somebody has to go first.
            ready.insert(*first);
        }
        let step = step(&lanes, &ready, &mut taken);
        steps.extend((!step.instances.is_empty()).then_some(step));
    }
}

/// What those that wait for nothing may restart now.
fn step(lanes: &[Lane<'_>], ready: &BTreeSet<usize>, taken: &mut [usize]) -> Step {
    let mut groups = BTreeSet::new();
    let mut instances = Vec::new();
    for place in ready {
        let lane = &lanes[*place];
        let rest = &lane.hosts[taken[*place]..];
        if rest.is_empty() || lane.quorum_group.is_some_and(|group| !groups.insert(group)) {
            continue;
        }
        let alone = lane.quorum_group.is_some() || (lane.canary && taken[*place] == 0);
        let most = if alone { 1 } else { lane.batch.max(1) };
        let now = rest.iter().take(most);
        taken[*place] += now.len();
        instances.extend(now.map(|host| Instance { service: lane.service.clone(), host: host.clone() }));
    }
    Step { instances }
}
