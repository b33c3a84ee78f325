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
        let from = match seen.peer.place {
            Place::Network(address) => Some(address),
            Place::Socket { .. } | Place::Machine { .. } => None,
        };
        let about = About {
            from,
            key: seen.peer.key,
            role: seen.role.cloned(),
            names: name.into_iter().collect(),
            asked: seen.asked,
            ..About::default()
        };
        self.0.record_about(actor, act, about, outcome).map_err(|_| Unwitnessed)
    }
}

/// The uid in a line about someone whose user the kernel could not tell: `(uid_t) -1`, which is nobody's. Of one from
/// another machine the line says from where, and which key it has.
const NOBODY_KNOWN: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{Key, Peer};

    #[test]
    fn a_line_says_from_where_and_with_which_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let log = NodeLog(Log::open(&file).unwrap());
        let key: Key = serde_json::from_value(serde_json::json!("ab".repeat(32))).unwrap();
        for peer in [
            Peer { place: Place::Network("2001:db8::7".parse().unwrap()), key: Some(key) },
            Peer { place: Place::Socket { uid: 7, pid: 8 }, key: None },
        ] {
            let seen = Seen { peer, role: None, act: Act::Login, path: None, asked: None, outcome: Outcome::Refused };
            log.record(&seen).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (network, socket) = (lines[0], lines[1]);
        assert!(network.contains("\"from\":\"2001:db8::7\""), "{network}");
        assert!(network.contains(&format!("\"key\":\"{}\"", "ab".repeat(32))), "{network}");
        assert!(socket.contains("\"uid\":7,\"pid\":8") && !socket.contains("\"from\""), "{socket}");
    }
}
