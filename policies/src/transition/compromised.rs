//! compromised: others know the old value, so it is removed first, whatever that stops.
//!
//! ```text
//! Planned → Staged → Switched → Rolling → Settled
//! ```

use super::{Event, State};

/// The state after an event; `None` where the event cannot happen.
pub(super) fn next(state: State, event: Event) -> Option<State> {
    use Event::{
        AbortAsked, BothDeclared, ConsumerFailed, ConsumersProven, KeysPromoted, KeysPruned, NewAccepted, NewAlone,
        OldAlone, OldRefused, RecordsWritten, RestartsBegun, Stored, TrialPassed,
    };
    use State::{
        Aborted, Aborting, Added, Drained, Planned, Promoted, Published, Restored, Restoring, Retired, Rolling,
        Settled, Staged, Switched, Trial, Verified, Wave,
    };
    match (state, event) {
        (Planned, Stored) => Some(Staged),
        (Planned, AbortAsked) => Some(Aborting),
        (
            Planned,
            BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | ConsumerFailed | OldAlone,
        ) => None,

        (Staged, NewAlone) => Some(Switched),
        (
            Staged,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,

        (Switched, RestartsBegun) => Some(Rolling),
        (
            Switched,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,

        (Rolling, ConsumersProven) => Some(Settled),
        (
            Rolling,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | OldRefused | TrialPassed
            | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,

        (Aborting, AbortAsked) => Some(Aborting),
        (Aborting, OldAlone) => Some(Aborted),
        (
            Aborting,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | ConsumerFailed,
        ) => None,

        (
            Added | Verified | Published | Wave | Promoted | Drained | Trial | Retired | Settled | Aborted | Restoring
            | Restored,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,
    }
}
