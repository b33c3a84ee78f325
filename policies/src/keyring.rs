//! A repository of numbered keys on several nodes: what each step of a rotation writes there, and what it refuses.
//!
//! Index 0 is the *staged* key: it opens and never signs. The highest index is the *primary*: it signs. Those between are
//! *secondary*: they open what they signed before. A rotation makes the staged key the next primary and stages a new one.
//!
//! No key may sign on one node before every other node has it. So a rotation has three acts, each done on all nodes before
//! the next: [`Act::Add`] brings the next primary as the staged key, [`Act::Promote`] gives it its number, and
//! [`Act::Prune`] stages the new key and removes what is too many. The number is written while index 0 still holds the
//! same key, and index 0 changes only in the last act: a reader that lists a folder and then reads its files always finds
//! the key it needs.
//!
//! Keys are told apart by fingerprints here; their bytes are elsewhere.

use std::collections::{BTreeMap, BTreeSet};

/// What tells keys apart: a digest of a key of 256 random bits, which says nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// The keys of a repository, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring(pub BTreeMap<u32, Fingerprint>);

/// A step of a rotation on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The node can open what the wanted primary will sign.
    Add,
    /// The node signs with the wanted primary.
    Promote,
    /// The node holds what is wanted and nothing else.
    Prune,
}

/// A change of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Writes a key of the wanted repository.
    Put {
        /// To this index.
        at: u32,
        /// The key that has this index in the wanted repository.
        key: u32,
    },
    /// Removes the key at this index.
    Drop(u32),
}

/// Why nothing is changed on a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node holds keys that are stored nowhere.
    #[error("keys are there that the store does not have, at {}; someone else rotated them", list(.0))]
    Foreign(Vec<u32>),
    /// Another key than the wanted one has its index.
    #[error("index {0} holds another key than the store has for it")]
    Occupied(u32),
    /// The node signs with a later key than the wanted one.
    #[error("it signs with key {0}, which is later than the wanted one")]
    Ahead(u32),
    /// The wanted primary is not there to be promoted.
    #[error("it does not have the key that is to be promoted")]
    NotAdded,
    /// The node does not sign with the wanted primary yet.
    #[error("it does not sign with the wanted key yet")]
    NotPromoted,
    /// A key would go before what it signed has run out.
    #[error("key {index} signed until lately; what it signed lives for {left} s more")]
    Young {
        /// The key.
        index: u32,
        /// How long, in seconds.
        left: i64,
    },
}

impl Ring {
    /// The index of the key that signs; `None` where there is none, or only a staged one.
    pub fn primary(&self) -> Option<u32> {
        self.0.keys().next_back().copied().filter(|index| *index > 0)
    }

    /// The key that signs.
    pub fn signs(&self) -> Option<Fingerprint> {
        self.primary().and_then(|index| self.0.get(&index)).copied()
    }

    /// Whether it opens what a key signed.
    pub fn opens(&self, key: Fingerprint) -> bool {
        self.0.values().any(|held| *held == key)
    }
}

/// The index that the staged key gets when it is promoted.
pub fn promoted(indices: &BTreeSet<u32>) -> u32 {
    indices.iter().next_back().map_or(1, |highest| highest + 1)
}

/// The indices that stay where no more than `most` are kept: the staged key, the primary, the latest secondaries.
pub fn kept(indices: &BTreeSet<u32>, most: usize) -> BTreeSet<u32> {
    let latest = indices.iter().rev().filter(|index| **index > 0).take(most.saturating_sub(1).max(1)).copied();
    latest.chain(indices.first().copied().filter(|index| *index == 0)).collect()
}

/// The changes that an act means on a node, in their order. Repeating an act that is done means none.
///
/// `known` holds the fingerprints of every key that the store has, the wanted ones aside.
pub fn changes(act: Act, node: &Ring, wanted: &Ring, known: &BTreeSet<Fingerprint>) -> Result<Vec<Change>, Refusal> {
    let foreign: Vec<u32> = node
        .0
        .iter()
        .filter(|(_, key)| !known.contains(key) && !wanted.opens(**key))
        .map(|(index, _)| *index)
        .collect();
    if !foreign.is_empty() {
        return Err(Refusal::Foreign(foreign));
    }
    let (Some(primary), Some(next)) = (wanted.primary(), wanted.signs()) else { return Err(Refusal::NotAdded) };
    if let Some(ahead) = node.primary().filter(|index| *index > primary) {
        return Err(Refusal::Ahead(ahead));
    }
    let numbered = wanted.0.iter().filter(|(index, _)| **index > 0);
    if let Some((index, _)) = numbered.clone().find(|(index, key)| node.0.get(index).is_some_and(|held| held != *key)) {
        return Err(Refusal::Occupied(*index));
    }
    let missing = numbered.map(|(index, _)| *index).filter(|index| !node.0.contains_key(index));
    let put = |at| Change::Put { at, key: at };
    Ok(match act {
        Act::Add => {
            let stage = (!node.opens(next)).then_some(Change::Put { at: 0, key: primary });
            // The latest first: a node without keys begins to sign with the one that all others sign with.
            stage.into_iter().chain(missing.filter(|index| *index < primary).rev().map(put)).collect()
        }
        Act::Promote if !node.opens(next) => return Err(Refusal::NotAdded),
        Act::Promote => missing.map(put).collect(),
        Act::Prune if node.signs() != Some(next) => return Err(Refusal::NotPromoted),
        Act::Prune => {
            let stage = (node.0.get(&0) != wanted.0.get(&0)).then_some(put(0));
            let gone = node.0.keys().filter(|index| !wanted.0.contains_key(index)).map(|index| Change::Drop(*index));
            missing.map(put).chain(stage).chain(gone).collect()
        }
    })
}

/// Whether every key that goes has been no primary for as long as what it signed lives. `since` is when each index came to
/// be on the node, and `now` the time there, in seconds since 1970: a key signed until the next one came.
pub fn outlived(changes: &[Change], since: &BTreeMap<u32, i64>, now: i64, life: i64) -> Result<(), Refusal> {
    for change in changes {
        let Change::Drop(index) = change else { continue };
        let until = since.range(index + 1..).next().map_or(now, |(_, came)| *came);
        let left = life.saturating_sub(now.saturating_sub(until));
        if *index > 0 && left > 0 {
            return Err(Refusal::Young { index: *index, left });
        }
    }
    Ok(())
}

fn list(indices: &[u32]) -> String {
    indices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(number: u8) -> Fingerprint {
        Fingerprint([number; 32])
    }

    fn ring(keys: &[(u32, u8)]) -> Ring {
        Ring(keys.iter().map(|(index, key)| (*index, print(*key))).collect())
    }

    fn apply(node: &mut Ring, change: Change, wanted: &Ring) {
        match change {
            Change::Put { at, key } => {
                node.0.insert(at, wanted.0[&key]);
            }
            Change::Drop(index) => {
                node.0.remove(&index);
            }
        }
    }

    /// Who signs what whom cannot open; a node that signs nothing does not serve yet.
    fn lacks(nodes: &[Ring]) -> BTreeSet<(usize, usize)> {
        let pairs = (0..nodes.len()).flat_map(|signs| (0..nodes.len()).map(move |opens| (signs, opens)));
        let serving = pairs.filter(|(_, opens)| nodes[*opens].signs().is_some());
        serving.filter(|(signs, opens)| nodes[*signs].signs().is_some_and(|key| !nodes[*opens].opens(key))).collect()
    }

    /// The wanted repository of the next rotation, with a new staged key.
    fn rotated(ring: &Ring, staged: u8, most: usize) -> Ring {
        let indices: BTreeSet<u32> = ring.0.keys().copied().collect();
        let mut next = ring.clone();
        next.0.insert(promoted(&indices), ring.0[&0]);
        next.0.insert(0, print(staged));
        let kept = kept(&next.0.keys().copied().collect(), most);
        next.0.retain(|index, _| kept.contains(index));
        next
    }

    proptest! {
        /// Rotations on several nodes, each act stopped after any change and taken up again.
        #[test]
        fn no_node_ever_lacks_what_another_signs_with(
            behind in proptest::collection::vec(0_usize..4, 2..5),
            most in 3_usize..6,
            stops in proptest::collection::vec(0_usize..4, 1..40),
        ) {
            let mut current = ring(&[(0, 1), (1, 2), (2, 3)]);
            // Some nodes have no staged key, lack a secondary, or have nothing at all.
            let mut nodes: Vec<Ring> = behind.iter().map(|lacks| match lacks {
                0 => current.clone(),
                1 => ring(&[(1, 2), (2, 3)]),
                2 => ring(&[(0, 1), (2, 3)]),
                _ => Ring::default(),
            }).collect();
            let mut stop = stops.iter().cycle();
            for round in 0..4 {
                let wanted = rotated(&current, 10 + round, most);
                let known = current.0.values().copied().collect();
                for act in [Act::Add, Act::Promote, Act::Prune] {
                    prop_assert!(act == Act::Add || lacks(&nodes).is_empty(), "before {act:?}: {nodes:?}");
                    for at in 0..nodes.len() {
                        loop {
                            let changes = changes(act, &nodes[at], &wanted, &known).unwrap();
                            if changes.is_empty() { break }
                            for change in changes.into_iter().take(1 + stop.next().unwrap()) {
                                let before = lacks(&nodes);
                                apply(&mut nodes[at], change, &wanted);
                                // A node that began without keys lacks some until they are added; nothing makes it worse.
                                prop_assert!(lacks(&nodes).is_subset(&before), "round {round} {act:?} at {at}: {nodes:?}");
                            }
                        }
                    }
                }
                prop_assert!(nodes.iter().all(|node| *node == wanted));
                current = wanted;
            }
        }
    }

    #[test]
    fn promoting_before_all_have_the_key_is_seen_to_fail() {
        let current = ring(&[(0, 1), (1, 2)]);
        let wanted = rotated(&current, 9, 3);
        let mut nodes = [current.clone(), ring(&[(1, 2)])];
        for change in changes(Act::Promote, &nodes[0], &wanted, &BTreeSet::new()).unwrap() {
            apply(&mut nodes[0], change, &wanted);
        }
        assert_eq!(lacks(&nodes), [(0, 1)].into());
        assert_eq!(changes(Act::Promote, &nodes[1], &wanted, &BTreeSet::new()), Err(Refusal::NotAdded));
    }

    #[test]
    fn what_is_not_as_expected_is_refused() {
        let current = ring(&[(0, 1), (1, 2)]);
        let wanted = rotated(&current, 9, 3);
        let known: BTreeSet<_> = current.0.values().copied().collect();
        let refused = |act, node: &Ring| changes(act, node, &wanted, &known).unwrap_err();
        let theirs = ring(&[(0, 77), (1, 2), (2, 1)]);
        assert_eq!(refused(Act::Promote, &theirs), Refusal::Foreign(vec![0]));
        assert_eq!(refused(Act::Add, &ring(&[(0, 1), (1, 1)])), Refusal::Occupied(1));
        assert_eq!(refused(Act::Add, &ring(&[(0, 1), (1, 2), (3, 1)])), Refusal::Ahead(3));
        assert_eq!(refused(Act::Prune, &current), Refusal::NotPromoted);
        assert!(changes(Act::Add, &ring(&[]), &ring(&[(0, 1)]), &known).is_err(), "a repository without a primary");
    }

    #[test]
    fn a_key_stays_until_what_it_signed_has_run_out() {
        let since = BTreeMap::from([(0, 50), (1, 0), (2, 0), (3, 100)]);
        let check = |index, now| outlived(&[Change::Drop(index)], &since, now, 60);
        assert_eq!(check(2, 159), Err(Refusal::Young { index: 2, left: 1 }));
        assert_eq!(check(2, 160), Ok(()));
        assert_eq!(check(1, 100), Ok(()), "it signed until 2 came, at 0");
        assert_eq!(check(3, 10_000), Err(Refusal::Young { index: 3, left: 60 }), "it signs still");
        assert_eq!(check(0, 100), Ok(()), "the staged key never signed");
    }

    #[test]
    fn the_latest_are_kept() {
        let set = |indices: &[u32]| indices.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(kept(&set(&[0, 3, 4, 5, 6]), 3), set(&[0, 5, 6]));
        assert_eq!(kept(&set(&[0, 3]), 1), set(&[0, 3]), "never without a primary");
        assert_eq!(promoted(&set(&[0, 3])), 4);
    }
}
