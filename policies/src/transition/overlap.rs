//! overlap: both values are valid until every consumer is proven on the new one.
//!
//! ```text
//! Planned → Staged → Added → Verified → Published → Rolling → Drained → Trial → Retired
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

        (Staged, BothDeclared) => Some(Added),
        (Staged, AbortAsked) => Some(Aborting),
        (
            Staged,
            Stored | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | ConsumerFailed | OldAlone,
        ) => None,

        (Added, NewAccepted) => Some(Verified),
        (Added, AbortAsked) => Some(Aborting),
        (
            Added,
            Stored | BothDeclared | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | ConsumerFailed | OldAlone,
        ) => None,

        (Verified, RecordsWritten) => Some(Published),
        (Verified, AbortAsked) => Some(Aborting),
        (
            Verified,
            Stored | BothDeclared | NewAccepted | NewAlone | RestartsBegun | ConsumersProven | OldRefused | TrialPassed
            | KeysPromoted | KeysPruned | ConsumerFailed | OldAlone,
        ) => None,

        (Published, RestartsBegun) => Some(Rolling),
        (Published, ConsumerFailed) => Some(Restoring),
        (
            Published,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | OldAlone,
        ) => None,

        (Rolling, ConsumersProven) => Some(Drained),
        (Rolling, ConsumerFailed) => Some(Restoring),
        (
            Rolling,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | OldRefused | TrialPassed
            | KeysPromoted | KeysPruned | AbortAsked | OldAlone,
        ) => None,

        (Drained, OldRefused) => Some(Trial),
        (
            Drained,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,

        (Trial, TrialPassed) => Some(Retired),
        (
            Trial,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
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
            Switched | Wave | Promoted | Retired | Settled | Aborted | Restored,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,
    }
}
