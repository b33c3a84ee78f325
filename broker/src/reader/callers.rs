//! To whom a role belongs: users of this machine, holders of a key, or whoever knows its credential on this machine.

use super::{
    grants::Decision,
    peer::{Key, Peer, Place},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who may act as a role. Where users or keys are named, nobody else may, whatever credential they show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callers {
    /// These users of this machine.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uids: BTreeSet<u32>,
    /// Those that hold one of these keys.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<Key>,
    /// From where, where neither is named.
    #[serde(default)]
    pub from: From,
}

/// From where a role may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// From this machine alone.
    #[default]
    Machine,
    /// From other machines, too.
    Anywhere,
}

impl Callers {
    /// Whether users or keys are named, and nobody else may act as the role.
    pub fn bound(&self) -> bool {
        !self.uids.is_empty() || !self.keys.is_empty()
    }

    /// May this peer act as the role, once it has shown its credential?
    pub(super) fn admit(&self, peer: &Peer) -> Decision {
        let admitted = match (self.bound(), peer.place, self.from) {
            (true, _, _) => self.has_uid(peer) || self.has_key(peer),
            (false, Place::Socket { .. } | Place::Machine { .. }, _) | (false, _, From::Anywhere) => true,
            (false, Place::Network(_), From::Machine) => false,
        };
        if admitted { Decision::Granted } else { Decision::Denied }
    }

    /// Is this peer known as the role without a credential: at the unix socket by its user, over TLS by its key?
    pub(super) fn know(&self, peer: &Peer) -> bool {
        let at_socket = matches!(peer.place, Place::Socket { .. });
        (at_socket && self.has_uid(peer)) || self.has_key(peer)
    }

    /// Does it name this user?
    pub(super) fn has_uid(&self, peer: &Peer) -> bool {
        peer.uid().is_some_and(|uid| self.uids.contains(&uid))
    }

    /// Does it name the key that this peer has?
    pub(super) fn has_key(&self, peer: &Peer) -> bool {
        peer.key.is_some_and(|key| self.keys.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(place: Place) -> Peer {
        Peer { place, key: None }
    }

    #[test]
    fn a_bound_role_is_for_those_it_is_bound_to() {
        let network = Place::Network("192.0.2.1".parse().unwrap());
        let machine = |uid| Place::Machine { uid };
        let socket = |uid| Place::Socket { uid, pid: 1 };
        let anyone = Callers::default();
        let nova = Callers { uids: [7].into(), ..Callers::default() };
        let far = Callers { from: From::Anywhere, ..Callers::default() };
        for (callers, place, admitted, known) in [
            (&anyone, machine(None), true, false),
            (&anyone, socket(7), true, false),
            (&anyone, network, false, false),
            (&far, network, true, false),
            (&nova, machine(Some(7)), true, false),
            (&nova, machine(Some(0)), false, false),
            (&nova, machine(None), false, false),
            (&nova, socket(7), true, true),
            (&nova, socket(0), false, false),
            (&nova, network, false, false),
        ] {
            let peer = peer(place);
            assert_eq!(callers.admit(&peer) == Decision::Granted, admitted, "{callers:?} {peer:?}");
            assert_eq!(callers.know(&peer), known, "{callers:?} {peer:?}");
        }
    }
}
