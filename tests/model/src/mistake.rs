//! Mistakes that someone could make in the protocol: the search must find each of them.

use donjon_policies::transition::{Event, Path, State, next};

/// A mistake in the protocol, or in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The table ends an abort before anything was taken back.
    AbortedAtOnce,
    /// The table lets the old value go before consumers have restarted.
    OldGoneBeforeRolling,
    /// The table goes on without publishing.
    NeverPublished,
    /// The table ends a way back before anybody has gone back.
    RestoredAtOnce,
    /// The table ends while the secret is still held.
    RetiredInTrial,
    /// The store has the new value before the server accepts it, as runbooks do it.
    StoreThenAlter,
    /// The server has the new value before the store, as OpenBao's rotation of a root password does it.
    AlterThenStore,
    /// A statement changes the server whoever drives the rotation by then.
    NoFence,
    /// Who lets a secret go does not ask the journal, and who takes over does not write the labels anew.
    LetGoUnasked,
    /// The journal is written over whatever another broker has written.
    JournalOverwritten,
    /// The way back writes the old value over whatever is served.
    RestoredOverAnything,
    /// Consumers are not waited for before the old value goes.
    RetiredBeforeDrained,
    /// A publication does not wait for the readers' leases.
    ReadersNotAwaited,
    /// An abort that finds its value published, by a broker that had stalled, leaves consumers on it.
    AbortLeavesConsumers,
    /// The last step holds off nobody who stalled while the old value was coming back.
    TrialHoldsOffNobody,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Self; 15] = [
        Self::AbortedAtOnce,
        Self::OldGoneBeforeRolling,
        Self::NeverPublished,
        Self::RestoredAtOnce,
        Self::RetiredInTrial,
        Self::StoreThenAlter,
        Self::AlterThenStore,
        Self::NoFence,
        Self::LetGoUnasked,
        Self::JournalOverwritten,
        Self::RestoredOverAnything,
        Self::RetiredBeforeDrained,
        Self::ReadersNotAwaited,
        Self::AbortLeavesConsumers,
        Self::TrialHoldsOffNobody,
    ];

    /// What this mistake makes of the table's row, where it is one of the table.
    fn row(self, state: State, event: Event) -> Option<State> {
        match (self, state, event) {
            (Self::AbortedAtOnce, State::Added, Event::AbortAsked) => Some(State::Aborted),
            (Self::OldGoneBeforeRolling, State::Published, Event::RestartsBegun) => Some(State::Drained),
            (Self::NeverPublished, State::Added, Event::NewAccepted) => Some(State::Rolling),
            (Self::StoreThenAlter, State::Planned, Event::Stored) => Some(State::Verified),
            (Self::RestoredAtOnce, State::Rolling, Event::ConsumerFailed) => Some(State::Restored),
            (Self::RetiredInTrial, State::Drained, Event::OldRefused) => Some(State::Retired),
            (..) => None,
        }
    }
}

/// The state after an event, by the real table but for the mistake.
pub fn after(mistake: Option<Mistake>, state: State, event: Event) -> Option<State> {
    mistake.and_then(|mistake| mistake.row(state, event)).or_else(|| next(Path::Overlap, state, event).ok())
}
