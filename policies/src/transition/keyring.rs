//! keyring: the next key is on every node before any node signs with it.
//!
//! ```text
//! Planned → Staged → Added → Promoted → Retired
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

        (Added, KeysPromoted) => Some(Promoted),
        (Added, AbortAsked) => Some(Aborting),
        (
            Added,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPruned | ConsumerFailed | OldAlone,
        ) => None,

        (Promoted, KeysPruned) => Some(Retired),
        (
            Promoted,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,

        (Aborting, AbortAsked) => Some(Aborting),
        (Aborting, OldAlone) => Some(Aborted),
        (
            Aborting,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | ConsumerFailed,
        ) => None,

        (
            Verified | Published | Switched | Rolling | Wave | Drained | Trial | Retired | Settled | Aborted
            | Restoring | Restored,
            Stored | BothDeclared | NewAccepted | RecordsWritten | NewAlone | RestartsBegun | ConsumersProven
            | OldRefused | TrialPassed | KeysPromoted | KeysPruned | AbortAsked | ConsumerFailed | OldAlone,
        ) => None,
    }
}
