//! The search finds nothing in the protocol, and it finds each mistake that is made in it.

use crate::{
    action::Protocol,
    mistake::Mistake,
    search::{Until, search},
    world::Left,
};

/// One rotation, two brokers, a consumer that may fail.
const SMALL: Protocol = bound(1, 1, Left { rotations: 1, takeovers: 1, late: 0, failures: 1 });

/// As [`SMALL`], with a second rotation.
const TWICE: Protocol = bound(1, 1, Left { rotations: 2, takeovers: 1, late: 0, failures: 1 });

/// A minute or two instead of seconds.
const LARGE: [Protocol; 4] = [
    TWICE,
    bound(2, 2, Left { rotations: 1, takeovers: 1, late: 0, failures: 1 }),
    bound(2, 1, Left { rotations: 1, takeovers: 1, late: 1, failures: 1 }),
    bound(1, 1, Left { rotations: 1, takeovers: 2, late: 0, failures: 1 }),
];

const fn bound(accounts: usize, consumers: usize, left: Left) -> Protocol {
    Protocol { accounts, consumers, left, mistake: None }
}

/// Searches the whole of it; every kind of end must be among what is reached.
fn sound(protocol: Protocol) -> usize {
    let bound = format!("{} accounts, {} consumers, {:?}", protocol.accounts, protocol.consumers, protocol.left);
    let found = search(protocol, Until::Everything);
    println!("{bound}: {} states in {:.1} s", found.states, found.took.as_secs_f64());
    for (property, path) in &found.refuted {
        println!("{property}:\n  {}", path.join("\n  "));
    }
    assert!(found.refuted.is_empty(), "{bound}: {:?}", found.refuted.keys());
    assert!(found.unreached.is_empty(), "{bound}: {:?}", found.unreached);
    found.states
}

#[test]
fn nothing_that_can_happen_breaks_an_invariant() {
    assert!(sound(SMALL) > 10_000);
}

#[test]
fn each_mistake_is_found() {
    for mistake in Mistake::ALL {
        // Writing over another rotation takes two of them.
        let bound = if mistake == Mistake::RestoredOverAnything { TWICE } else { SMALL };
        let found = search(Protocol { mistake: Some(mistake), ..bound }, Until::Refuted);
        let refuted: Vec<_> =
            found.refuted.iter().map(|(name, path)| format!("{name} ({} moves)", path.len())).collect();
        println!("{mistake:?}: {}, {} states", refuted.join(", "), found.states);
        assert!(!refuted.is_empty(), "{mistake:?}");
    }
}

#[test]
#[ignore = "minutes: `make model`"]
fn nothing_breaks_an_invariant_in_a_larger_world() {
    let states: usize = LARGE.into_iter().map(sound).sum();
    println!("{states} states");
}
