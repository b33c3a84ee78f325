//! The ways from an old value to a new one, and the one function that moves along them.

use super::{Event, State, compromised, cutover, keyring, overlap, together};
use crate::strategy::Strategy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way from an old value to a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// Both values are valid until every consumer is proven on the new one.
    Overlap,
    /// A new key is on every node before any node signs with it.
    Keyring,
    /// The target is switched, then consumers restart.
    Cutover,
    /// All readers restart as one.
    Together,
    /// The old value is removed first.
    Compromised,
}

/// The event cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen in the state {state} of the path {path}")]
pub struct Impossible {
    /// The path.
    pub path: Path,
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

/// The state after an event.
pub fn next(path: Path, state: State, event: Event) -> Result<State, Impossible> {
    match path {
        Path::Overlap => overlap::next(state, event),
        Path::Keyring => keyring::next(state, event),
        Path::Cutover => cutover::next(state, event),
        Path::Together => together::next(state, event),
        Path::Compromised => compromised::next(state, event),
    }
    .ok_or(Impossible { path, state, event })
}

impl Path {
    /// Every path.
    pub const ALL: [Self; 5] = [Self::Overlap, Self::Keyring, Self::Cutover, Self::Together, Self::Compromised];

    /// The path of a strategy; `None` where a change is refused.
    pub fn of(strategy: Strategy) -> Option<Self> {
        match strategy {
            Strategy::DualPassword | Strategy::DualUser => Some(Self::Overlap),
            Strategy::Keyring => Some(Self::Keyring),
            Strategy::Cutover => Some(Self::Cutover),
            Strategy::Together => Some(Self::Together),
            Strategy::Operator | Strategy::Never => None,
        }
    }

    /// What is valid in a state of this path, for a person. The step that follows may be done in part already.
    pub fn meaning(self, state: State) -> &'static str {
        match (state, self) {
            (State::Planned, _) => "the old value alone is valid; nothing was published",
            (State::Staged, Self::Overlap | Self::Keyring) => {
                "the old value is valid, the new one perhaps for some accounts; nothing was published"
            }
            (State::Staged, Self::Compromised) => {
                "the old value is being removed; consumers may fail until they restart"
            }
            (State::Staged, Self::Cutover | Self::Together) => {
                "the old value is valid; consumers may read the new one already"
            }
            (State::Added, Self::Keyring) => "every node has the next key beside those in use; none signs with it",
            (State::Added, _) => "old and new are valid; nothing was published",
            (State::Verified, _) => "old and new are valid; consumers may read the new one already",
            (State::Published, Self::Cutover) => {
                "consumers read the new value; the target accepts the old one, perhaps the new one already"
            }
            (State::Published, Self::Together) => "running consumers share the old value, restarted ones the new one",
            (State::Published, _) | (State::Rolling, Self::Overlap | Self::Keyring | Self::Together) => {
                "old and new are valid; consumers read the new one"
            }
            (State::Switched, _) | (State::Rolling, Self::Cutover | Self::Compromised) => {
                "the new value is valid; consumers that have not restarted still use the old one"
            }
            (State::Wave, _) => "consumers that have restarted share the new value, the others the old one",
            (State::Promoted, _) => "every node signs with the new key; the older keys still verify",
            (State::Drained, _) => {
                "the new value is valid and all consumers run on it; the old one is perhaps removed for some accounts"
            }
            (State::Trial | State::Retired | State::Settled, _) => "the new value alone is valid",
            (State::Aborting, _) => "the old value is valid; the new one is being taken away",
            (State::Restoring, _) => {
                "both values may be valid; the old one is being published again, then the new one is taken away"
            }
            (State::Aborted | State::Restored, _) => "the old value alone is valid",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlap => "overlap",
            Self::Keyring => "keyring",
            Self::Cutover => "cutover",
            Self::Together => "together",
            Self::Compromised => "compromised",
        })
    }
}
