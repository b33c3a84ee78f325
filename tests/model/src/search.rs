//! The search itself, and what came of it.

use crate::{
    action::{Action, Protocol},
    world::World,
};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// How many different states there are.
    pub states: usize,
    /// How long it took.
    pub took: Duration,
    /// The properties that do not hold, each with what happens until it fails.
    pub refuted: BTreeMap<&'static str, Vec<String>>,
    /// What was to be reachable and is not.
    pub unreached: Vec<&'static str>,
}

/// When a search ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Once everything that can happen was looked at.
    Everything,
    /// Once anything is refuted.
    Refuted,
}

/// Searches what can happen, the shortest ways first.
pub fn search(protocol: Protocol, until: Until) -> Found {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let enough = match until {
        Until::Everything => HasDiscoveries::All,
        Until::Refuted => HasDiscoveries::AnyFailures,
    };
    let checker = protocol.checker().threads(threads).finish_when(enough).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let (mut refuted, mut unreached) = (BTreeMap::new(), Vec::new());
    for property in checker.model().properties() {
        let found = discoveries.get(property.name);
        match (property.expectation, found) {
            (Expectation::Always, Some(path)) => drop(refuted.insert(property.name, told(path))),
            (Expectation::Sometimes, None) => unreached.push(property.name),
            (Expectation::Always | Expectation::Sometimes | Expectation::Eventually, _) => {}
        }
    }
    Found { states: checker.unique_state_count(), took: began.elapsed(), refuted, unreached }
}

/// What happens along a path, one line each.
fn told(path: &Path<World, Action>) -> Vec<String> {
    let mut lines = Vec::new();
    for (world, action) in path.clone().into_vec() {
        let at = |own: usize| world.brokers[own].as_ref().map_or_else(|| "rest".to_owned(), |b| format!("{:?}", b.at));
        let accounts = &world.server.accounts;
        let record = &world.store.record;
        lines.push(match action {
            Some(action) => format!("{action:?}, at {} and {}; record {record:?}, accounts {accounts:?}", at(0), at(1)),
            None => format!(
                "then: record {record:?}, accounts {accounts:?}, {:?}, {:?}, {:?}",
                world.consumers, world.store.journals, world.foul
            ),
        });
    }
    lines
}
