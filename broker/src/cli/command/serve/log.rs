//! The node's own audit log: a line before every answer, synced each second.

use crate::{
    audit::{About, Act as Line, Actor, Log, Outcome as How},
    reader::{Act, Outcome, Place, Seen, Unwitnessed, Witness},
};

/// The log.
pub(super) struct NodeLog(pub(super) Log);

impl Witness for NodeLog {
    fn record(&self, seen: &Seen<'_>) -> Result<(), Unwitnessed> {
        let pid = match seen.peer.place {
            Place::Socket { pid, .. } => pid,
            Place::Machine { .. } | Place::Network(_) => 0,
        };
        let actor = Actor { uid: seen.peer.uid().unwrap_or(NOBODY_KNOWN), pid };
        let act = match seen.act {
            Act::Login => Line::Login,
            Act::Read => Line::Read,
            Act::List => Line::List,
            Act::Token => Line::Token,
        };
        let outcome = match seen.outcome {
            Outcome::Done => How::Done,
            Outcome::Refused => How::Denied,
            Outcome::Missing | Outcome::Failed => How::Failed,
        };
        let name = seen.path.and_then(|path| path.as_str().rsplit('/').next()?.parse().ok());
        let about = About { role: seen.role.cloned(), names: name.into_iter().collect(), overrides: Vec::new() };
        self.0.record_about(actor, act, about, outcome).map_err(|_| Unwitnessed)
    }
}

/// The uid in a line about someone whose user the kernel could not tell: `(uid_t) -1`, which is nobody's.
const NOBODY_KNOWN: u32 = u32::MAX;
