//! cutover: the target holds one value, so it is switched at once and consumers restart right after.
//!
//! ```text
//! Planned → Staged → Published → Switched → Rolling → Settled
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

        (Staged, RecordsWritten) => Some(Published),
        (Staged, AbortAsked) => Some(Aborting),
        (
            Staged,
            Stored | BothDeclared | NewAccepted | NewAlone | RestartsBegun | ConsumersProven | OldRefused | TrialPassed
            | KeysPromoted | KeysPruned | ConsumerFailed | OldAlone,
        ) => None,

        (Published, NewAlone) => Some(Switched),
        (Published, ConsumerFailed) => Some(Restoring),
        (
            Published,
            Stored | BothDeclared | NewAccepted | RecordsWritten | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | OldAlone,
        ) => None,

        (Switched, RestartsBegun) => Some(Rolling),
        (Switched, ConsumerFailed) => Some(Restoring),
        (
            Switched,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | OldAlone,
        ) => None,

        (Rolling, ConsumersProven) => Some(Settled),
        (Rolling, ConsumerFailed) => Some(Restoring),
        (
            Rolling,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | OldRefused | TrialPassed
            | KeysPromoted | KeysPruned | AbortAsked | OldAlone,
        ) => None,

        (Aborting, AbortAsked) => Some(Aborting),
        (Aborting, OldAlone) => Some(Aborted),
        (
            Aborting,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | ConsumerFailed,
        ) => None,

        (Restoring, OldAlone) => Some(Restored),
        (
            Restoring,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed,
        ) => None,

        (
            Added | Verified | Wave | Promoted | Drained | Trial | Retired | Settled | Aborted | Restored,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,
    }
}
