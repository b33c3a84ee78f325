//! together: no server holds the value, its readers share it, so all of them restart as one.
//!
//! ```text
//! Planned → Staged → Published → Wave → Settled
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

        (Published, RestartsBegun) => Some(Wave),
        (Published, ConsumerFailed) => Some(Restoring),
        (
            Published,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | ConsumersProven | OldRefused
            | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | OldAlone,
        ) => None,

        (Wave, ConsumersProven) => Some(Settled),
        (Wave, ConsumerFailed) => Some(Restoring),
        (
            Wave,
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
            Added | Verified | Switched | Rolling | Promoted | Drained | Trial | Retired | Settled | Aborted | Restored,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,
    }
}
