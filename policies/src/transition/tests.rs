//! What holds on every path, whatever happens in whatever order.

use super::{Event, Path, State, next};
use proptest::prelude::*;

fn straight(path: Path) -> Vec<Event> {
    match path {
        Path::Overlap => vec![
            Event::Stored,
            Event::BothDeclared,
            Event::NewAccepted,
            Event::RecordsWritten,
            Event::RestartsBegun,
            Event::ConsumersProven,
            Event::OldRefused,
            Event::TrialPassed,
        ],
        Path::Keyring => vec![Event::Stored, Event::BothDeclared, Event::KeysPromoted, Event::KeysPruned],
        Path::Cutover => {
            vec![Event::Stored, Event::RecordsWritten, Event::NewAlone, Event::RestartsBegun, Event::ConsumersProven]
        }
        Path::Together => vec![Event::Stored, Event::RecordsWritten, Event::RestartsBegun, Event::ConsumersProven],
        Path::Compromised => vec![Event::Stored, Event::NewAlone, Event::RestartsBegun, Event::ConsumersProven],
    }
}

#[test]
fn the_straight_way_ends_with_the_new_value() {
    for path in Path::ALL {
        let end = straight(path).into_iter().try_fold(State::Planned, |state, event| next(path, state, event));
        let wanted = if matches!(path, Path::Overlap | Path::Keyring) { State::Retired } else { State::Settled };
        assert_eq!(end, Ok(wanted), "{path}");
    }
}

/// As many moves as DESIGN's table has arrows, so that none is added unseen.
#[test]
fn each_path_has_its_moves_and_no_other() {
    let moves =
        |path| State::ALL.iter().flat_map(|s| Event::ALL.map(|e| next(path, *s, e))).filter(Result::is_ok).count();
    assert_eq!(Path::ALL.map(moves), [17, 9, 13, 11, 7]);
}

fn reachable(path: Path) -> Vec<State> {
    let mut reached = vec![State::Planned];
    for _ in State::ALL {
        let more: Vec<State> =
            reached.iter().flat_map(|s| Event::ALL.iter().filter_map(|e| next(path, *s, *e).ok())).collect();
        reached.extend(more);
        reached.sort_unstable();
        reached.dedup();
    }
    reached
}

#[test]
fn every_state_that_has_not_ended_has_a_way_to_an_end_and_those_that_have_do_not_move() {
    for path in Path::ALL {
        for start in reachable(path) {
            if start.ended() {
                assert!(Event::ALL.iter().all(|event| next(path, start, *event).is_err()), "{path}: {start}");
                continue;
            }
            let mut at = vec![start];
            for _ in State::ALL {
                let more: Vec<State> =
                    at.iter().flat_map(|s| Event::ALL.iter().filter_map(|e| next(path, *s, *e).ok())).collect();
                at.extend(more);
                at.sort_unstable();
                at.dedup();
            }
            assert!(at.iter().any(|s| s.ended()), "{path}: {start}");
        }
    }
}

proptest! {
    /// The old TripleO fault: published without both values accepted before it, or the old one removed before the
    /// consumers were proven.
    #[test]
    fn on_the_overlapping_path_nothing_is_published_before_it_is_accepted(
        picks in proptest::collection::vec(0..Event::ALL.len(), 0..60)
    ) {
        let (state, seen) = walk(Path::Overlap, &picks);
        let at = |event| seen.iter().position(|e| *e == event);
        if state.published() {
            prop_assert!(at(Event::Stored) < at(Event::BothDeclared));
            prop_assert!(at(Event::BothDeclared) < at(Event::NewAccepted));
            prop_assert!(at(Event::NewAccepted) < at(Event::RecordsWritten));
        }
        if matches!(state, State::Trial | State::Retired) {
            prop_assert!(at(Event::ConsumersProven).is_some() && at(Event::ConsumersProven) < at(Event::OldRefused));
        }
    }

    /// On every path the new value is stored before anything outside is told of it, a key is on every node before one
    /// signs with it, and nothing is aborted once a consumer can have read anything new.
    #[test]
    fn on_every_path_the_value_is_stored_first(
        at in 0..Path::ALL.len(),
        picks in proptest::collection::vec(0..Event::ALL.len(), 0..60)
    ) {
        let path = Path::ALL[at];
        let (state, seen) = walk(path, &picks);
        let moved = seen.iter().find(|e| !matches!(e, Event::AbortAsked | Event::OldAlone));
        prop_assert!(moved.is_none_or(|first| *first == Event::Stored), "{path}: {seen:?}");
        if seen.contains(&Event::KeysPromoted) {
            prop_assert!(seen.contains(&Event::BothDeclared));
        }
        if state == State::Aborted {
            prop_assert!(!seen.iter().any(|e| matches!(e, Event::RecordsWritten | Event::NewAlone | Event::KeysPromoted)));
        }
    }
}

fn walk(path: Path, picks: &[usize]) -> (State, Vec<Event>) {
    let (mut state, mut seen) = (State::Planned, Vec::new());
    for pick in picks {
        if let Ok(after) = next(path, state, Event::ALL[*pick]) {
            seen.push(Event::ALL[*pick]);
            state = after;
        }
    }
    (state, seen)
}
