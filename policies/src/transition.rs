//! How a rotation moves from state to state: one function for live work and for recovery, every pair written out.
//!
//! ```text
//! overlap  Planned → Staged → Added → Verified → Published → Rolling → Drained → Trial → Retired
//!          any before Published → Aborting → Aborted          Published, Rolling → Restoring → Restored
//! ```
//!
//! Aborting and Restoring are states of their own, so that a crash in the middle of going back goes on going back.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a rotation on an overlapping path stands. The journal holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing but the journal is there.
    Planned,
    /// The new value is stored where no consumer reads, and was read back.
    Staged,
    /// Every account was told to accept both values.
    Added,
    /// A fresh login with the new value succeeded on every node and account.
    Verified,
    /// Consumers read the new value from now on.
    Published,
    /// Consumers restart.
    Rolling,
    /// Every consumer is proven on the new value and no older session is left.
    Drained,
    /// The old value is removed and refused.
    Trial,
    /// Done.
    Retired,
    /// The new value is being taken away again; no consumer could have read it.
    Aborting,
    /// Done: all is as before.
    Aborted,
    /// The old value is being published again.
    Restoring,
    /// Done: consumers run on the old value again.
    Restored,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The new value was stored and read back.
    Stored,
    /// Every account was told to accept both.
    BothDeclared,
    /// Every login with the new value succeeded.
    NewAccepted,
    /// The records that consumers read hold the new value, and the epoch says so.
    RecordsWritten,
    /// The first consumer is about to restart.
    RestartsBegun,
    /// Every consumer was seen on the new value and no older session is left.
    ConsumersProven,
    /// The old value was removed and every login with it was refused.
    OldRefused,
    /// The trial went by; the previous value has its date of destruction.
    TrialPassed,
    /// A person asked to go back.
    AbortAsked,
    /// A consumer did not come up on the new value.
    ConsumerFailed,
    /// Going back is complete: the old value alone is valid and the new one is gone.
    OldAlone,
}

/// The event cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen in the state {state}")]
pub struct Impossible {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

/// The state after an event.
pub fn next(state: State, event: Event) -> Result<State, Impossible> {
    use Event::{
        AbortAsked, BothDeclared, ConsumerFailed, ConsumersProven, NewAccepted, OldAlone, OldRefused, RecordsWritten,
        RestartsBegun, Stored, TrialPassed,
    };
    use State::{
        Aborted, Aborting, Added, Drained, Planned, Published, Restored, Restoring, Retired, Rolling, Staged, Trial,
        Verified,
    };
    let impossible = Err(Impossible { state, event });
    match (state, event) {
        (Planned, Stored) => Ok(Staged),
        (Planned, AbortAsked) => Ok(Aborting),
        (
            Planned,
            BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused | TrialPassed
            | ConsumerFailed | OldAlone,
        ) => impossible,

        (Staged, BothDeclared) => Ok(Added),
        (Staged, AbortAsked) => Ok(Aborting),
        (
            Staged,
            Stored | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused | TrialPassed
            | ConsumerFailed | OldAlone,
        ) => impossible,

        (Added, NewAccepted) => Ok(Verified),
        (Added, AbortAsked) => Ok(Aborting),
        (
            Added,
            Stored | BothDeclared | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused | TrialPassed
            | ConsumerFailed | OldAlone,
        ) => impossible,

        (Verified, RecordsWritten) => Ok(Published),
        (Verified, AbortAsked) => Ok(Aborting),
        (
            Verified,
            Stored | BothDeclared | NewAccepted | RestartsBegun | ConsumersProven | OldRefused | TrialPassed
            | ConsumerFailed | OldAlone,
        ) => impossible,

        (Published, RestartsBegun) => Ok(Rolling),
        (Published, ConsumerFailed) => Ok(Restoring),
        (
            Published,
            Stored | BothDeclared | NewAccepted | RecordsWritten | ConsumersProven | OldRefused | TrialPassed
            | AbortAsked | OldAlone,
        ) => impossible,

        (Rolling, ConsumersProven) => Ok(Drained),
        (Rolling, ConsumerFailed) => Ok(Restoring),
        (
            Rolling,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | OldRefused | TrialPassed
            | AbortAsked | OldAlone,
        ) => impossible,

        (Drained, OldRefused) => Ok(Trial),
        (
            Drained,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | TrialPassed
            | AbortAsked | ConsumerFailed | OldAlone,
        ) => impossible,

        (Trial, TrialPassed) => Ok(Retired),
        (
            Trial,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused
            | AbortAsked | ConsumerFailed | OldAlone,
        ) => impossible,

        (Aborting, OldAlone) => Ok(Aborted),
        (Aborting, AbortAsked) => Ok(Aborting),
        (
            Aborting,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | ConsumerFailed,
        ) => impossible,

        (Restoring, OldAlone) => Ok(Restored),
        (
            Restoring,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | AbortAsked | ConsumerFailed,
        ) => impossible,

        (
            Retired | Aborted | Restored,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | AbortAsked | ConsumerFailed | OldAlone,
        ) => impossible,
    }
}

impl State {
    /// Every state.
    pub const ALL: [Self; 13] = [
        Self::Planned,
        Self::Staged,
        Self::Added,
        Self::Verified,
        Self::Published,
        Self::Rolling,
        Self::Drained,
        Self::Trial,
        Self::Retired,
        Self::Aborting,
        Self::Aborted,
        Self::Restoring,
        Self::Restored,
    ];

    /// Whether nothing is left to do.
    pub fn ended(self) -> bool {
        matches!(self, Self::Retired | Self::Aborted | Self::Restored)
    }

    /// Whether a consumer can have read the new value.
    pub fn published(self) -> bool {
        matches!(
            self,
            Self::Published
                | Self::Rolling
                | Self::Drained
                | Self::Trial
                | Self::Retired
                | Self::Restoring
                | Self::Restored
        )
    }

    /// What is valid in this state, for a person. The step that follows may be done in part already.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Planned => "the old value alone is valid; nothing was published",
            Self::Staged => "the old value is valid, the new one perhaps for some accounts; nothing was published",
            Self::Added => "old and new are valid; nothing was published",
            Self::Verified => "old and new are valid; consumers may read the new one already",
            Self::Published | Self::Rolling => "old and new are valid; consumers read the new one",
            Self::Drained => {
                "the new value is valid and all consumers run on it; the old one is perhaps removed for some accounts"
            }
            Self::Trial | Self::Retired => "the new value alone is valid",
            Self::Aborting => "the old value is valid; the new one is being taken away",
            Self::Restoring => "the old value is valid and is published again; the new one is being taken away",
            Self::Aborted | Self::Restored => "the old value alone is valid",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Staged => "staged",
            Self::Added => "added",
            Self::Verified => "verified",
            Self::Published => "published",
            Self::Rolling => "rolling",
            Self::Drained => "drained",
            Self::Trial => "trial",
            Self::Retired => "retired",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
            Self::Restoring => "restoring",
            Self::Restored => "restored",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "storing the new value",
            Self::BothDeclared => "declaring both values",
            Self::NewAccepted => "accepting the new value",
            Self::RecordsWritten => "publishing",
            Self::RestartsBegun => "restarting consumers",
            Self::ConsumersProven => "proving the consumers",
            Self::OldRefused => "removing the old value",
            Self::TrialPassed => "passing the trial",
            Self::AbortAsked => "aborting",
            Self::ConsumerFailed => "a consumer's failure",
            Self::OldAlone => "going back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENTS: [Event; 11] = [
        Event::Stored,
        Event::BothDeclared,
        Event::NewAccepted,
        Event::RecordsWritten,
        Event::RestartsBegun,
        Event::ConsumersProven,
        Event::OldRefused,
        Event::TrialPassed,
        Event::AbortAsked,
        Event::ConsumerFailed,
        Event::OldAlone,
    ];

    #[test]
    fn the_straight_way_ends_retired() {
        let way = [
            Event::Stored,
            Event::BothDeclared,
            Event::NewAccepted,
            Event::RecordsWritten,
            Event::RestartsBegun,
            Event::ConsumersProven,
            Event::OldRefused,
            Event::TrialPassed,
        ];
        assert_eq!(way.into_iter().try_fold(State::Planned, next), Ok(State::Retired));
    }

    proptest! {
        /// The old TripleO fault, whatever happens in whatever order: published without both values accepted before it,
        /// or the old one removed before the consumers were proven.
        #[test]
        fn nothing_is_published_before_it_is_accepted(picks in proptest::collection::vec(0..EVENTS.len(), 0..40)) {
            let (mut state, mut seen) = (State::Planned, Vec::new());
            for pick in picks {
                if let Ok(after) = next(state, EVENTS[pick]) {
                    seen.push(EVENTS[pick]);
                    state = after;
                }
            }
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
    }

    #[test]
    fn every_state_that_has_not_ended_has_a_way_to_an_end() {
        for start in State::ALL {
            let mut reached = vec![start];
            for _ in 0..State::ALL.len() {
                let more: Vec<State> =
                    reached.iter().flat_map(|s| EVENTS.iter().filter_map(|e| next(*s, *e).ok())).collect();
                reached.extend(more);
            }
            assert!(reached.iter().any(|s| s.ended()), "{start}");
        }
    }

    #[test]
    fn ended_states_do_not_move() {
        for state in State::ALL.into_iter().filter(|s| s.ended()) {
            assert!(EVENTS.iter().all(|event| next(state, *event).is_err()), "{state}");
        }
    }
}
