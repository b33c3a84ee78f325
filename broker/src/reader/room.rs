//! The room for connections. Who has shown who they are has it; all others share a part, and leave that once they have.

use super::{
    pace::{Seat, Seats},
    peer::Peer,
    server::Limits,
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is known of a peer before it has asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// A role is for this user or key, as the kernel or TLS tell.
    Known,
    /// A role may be, by a credential that has not been shown yet.
    Newcomer,
    /// No role can be.
    Stranger,
}

/// The room of one place to listen.
pub(super) struct Room {
    limits: Limits,
    all: Part,
    /// However many users or addresses somebody has: those whom roles are for find a seat beside this.
    unknown: Part,
}

struct Part {
    room: Arc<Semaphore>,
    seats: Seats,
}

/// A place in a part of the room, until it is dropped.
pub(super) struct Within {
    _permit: OwnedSemaphorePermit,
    _seat: Seat,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        let part = |size| Part { room: Arc::new(Semaphore::new(size)), seats: Seats::default() };
        let unknown = part(limits.connections / UNKNOWN_PART);
        Self { limits, all: part(limits.connections), unknown }
    }

    /// A place for a peer, and the one that it leaves once it has shown who it is; `None` where there is none.
    pub(super) fn admit(&self, peer: &Peer, face: Face) -> Option<(Within, Option<Within>)> {
        let most = match face {
            Face::Known => None,
            Face::Newcomer => Some(self.limits.connections_of_a_newcomer),
            Face::Stranger => Some(self.limits.connections_of_a_stranger),
        };
        let unknown = match most {
            Some(most) => Some(self.unknown.take(peer, most.min(self.limits.connections_each))?),
            None => None,
        };
        Some((self.all.take(peer, self.limits.connections_each)?, unknown))
    }
}

impl Part {
    fn take(&self, peer: &Peer, most: usize) -> Option<Within> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(Within { _permit: permit, _seat: self.seats.take(peer, most)? })
    }
}

/// Those who have not shown who they are have a fourth of all connections.
const UNKNOWN_PART: usize = 4;
