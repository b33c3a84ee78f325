//! How fast someone may ask before it is known who asks: a bucket for each user, key or network, refused answers dear; and one for
//! the lines about all who are refused unknown, however many they are.

use super::peer::{Key, Peer, Place};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The buckets.
#[derive(Debug)]
pub(crate) struct Paces {
    pace: Pace,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: BTreeMap<Who, Bucket>,
    /// When full ones were thrown away last: looking for them takes time, so it is not done for each request.
    swept: Option<Instant>,
}

/// How fast.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Requests a second, in the long run.
    pub each_second: f64,
    /// Requests at once.
    pub at_once: f64,
    /// How many requests a refused one counts for.
    pub refused: f64,
}

/// The connections that are open, by whose they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seats(Arc<Mutex<BTreeMap<Who, usize>>>);

/// One open connection.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    who: Who,
}

/// Whether a request may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// No, and it is the first since the last that was looked at.
    Later,
    /// No, once more.
    StillLater,
}

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    User(u32),
    /// Someone on this machine that the kernel no longer knows.
    Ghost,
    Key(Key),
    /// An address, or the half of a newer one that networks are given by.
    Network([u8; 8]),
    /// All unknown users of this machine.
    Users,
    /// All unknown from other machines.
    Networks,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
    refusing: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { each_second: 200.0, at_once: 1000.0, refused: 5.0 }
    }
}

impl Paces {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, buckets: Mutex::default() }
    }

    /// Takes one request of someone unknown.
    pub(crate) fn turn(&self, peer: &Peer, now: Instant) -> Turn {
        self.bucket(Who::of(peer), now, |bucket| bucket.take(1.0))
    }

    /// Takes a line about someone unknown who is refused, of what all of their kind have: whoever has a range of subordinate
    /// users has thousands, and the disk of the log is one.
    pub(crate) fn line(&self, peer: &Peer, now: Instant) -> Turn {
        let who = match peer.place {
            Place::Socket { .. } | Place::Machine { .. } => Who::Users,
            Place::Network(_) => Who::Networks,
        };
        self.bucket(who, now, |bucket| bucket.take(self.pace.refused.min(self.pace.at_once)))
    }

    /// It was refused.
    pub(crate) fn refused(&self, peer: &Peer, now: Instant) {
        self.bucket(Who::of(peer), now, |bucket| bucket.left = (bucket.left - self.pace.refused + 1.0).max(0.0));
    }

    fn bucket<T>(&self, who: Who, now: Instant, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { left: self.pace.at_once, at: now, refusing: false };
        let filled = |bucket: &Bucket| {
            let more = now.saturating_duration_since(bucket.at).as_secs_f64() * self.pace.each_second;
            (bucket.left + more).min(self.pace.at_once)
        };
        let due = buckets.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP);
        if buckets.all.len() >= MOST_BUCKETS && due {
            // A full one is as good as none.
            buckets.all.retain(|_, bucket| filled(bucket) < self.pace.at_once);
            buckets.swept = Some(now);
        }
        // Newcomers beyond that share one.
        let shared = matches!(who, Who::Users | Who::Networks);
        let who =
            if shared || buckets.all.len() < MOST_BUCKETS || buckets.all.contains_key(&who) { who } else { Who::Ghost };
        let bucket = buckets.all.entry(who).or_insert(full);
        bucket.left = filled(bucket);
        bucket.at = now.max(bucket.at);
        act(bucket)
    }
}

impl Bucket {
    fn take(&mut self, price: f64) -> Turn {
        match (self.left >= price, self.refusing) {
            (true, _) => {
                self.left -= price;
                self.refusing = false;
                Turn::Now
            }
            (false, true) => Turn::StillLater,
            (false, false) => {
                self.refusing = true;
                Turn::Later
            }
        }
    }
}

impl Seats {
    /// A seat, where this peer has fewer than `most` already.
    pub(crate) fn take(&self, peer: &Peer, most: usize) -> Option<Seat> {
        let who = Who::of(peer);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(who).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), who })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

impl Who {
    fn of(peer: &Peer) -> Self {
        match (peer.key, peer.place) {
            (Some(key), _) => Self::Key(key),
            (None, Place::Socket { uid, .. } | Place::Machine { uid: Some(uid) }) => Self::User(uid),
            (None, Place::Machine { uid: None }) => Self::Ghost,
            (None, Place::Network(IpAddr::V4(address))) => Self::Network(half(&address.octets())),
            (None, Place::Network(IpAddr::V6(address))) => Self::Network(half(&address.octets()[..8])),
        }
    }
}

fn half(octets: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    out[..octets.len()].copy_from_slice(octets);
    out
}

const MOST_BUCKETS: usize = 16_384;
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_fast_waits_and_nobody_else_does() {
        let paces = Paces::new(Pace { each_second: 10.0, at_once: 20.0, refused: 5.0 });
        let peer = |uid| Peer { place: Place::Socket { uid, pid: 1 }, key: None };
        let begin = Instant::now();
        let ask = |uid, after: u64| paces.turn(&peer(uid), begin + Duration::from_millis(after));
        for _ in 0..20 {
            assert_eq!(ask(7, 0), Turn::Now);
        }
        assert_eq!([ask(7, 0), ask(7, 0), ask(7, 50)], [Turn::Later, Turn::StillLater, Turn::StillLater]);
        assert_eq!(ask(8, 0), Turn::Now, "another user");
        assert_eq!([ask(7, 100), ask(7, 100)], [Turn::Now, Turn::Later], "a tenth of a second is one more");
        paces.refused(&peer(8), begin);
        let left = (0..20).filter(|_| ask(8, 0) == Turn::Now).count();
        assert_eq!(left, 15, "one that was refused counted for five");
    }

    #[test]
    fn all_who_are_unknown_share_what_is_written_of_them() {
        let paces = Paces::new(Pace { each_second: 10.0, at_once: 20.0, refused: 5.0 });
        let begin = Instant::now();
        let line = |uid, after| {
            let peer = Peer { place: Place::Socket { uid, pid: 1 }, key: None };
            paces.line(&peer, begin + Duration::from_millis(after))
        };
        let turns: Vec<Turn> = (0..50).map(|uid| line(uid, 0)).collect();
        assert_eq!(turns[..5], [Turn::Now, Turn::Now, Turn::Now, Turn::Now, Turn::Later]);
        assert!(turns[5..].iter().all(|turn| *turn == Turn::StillLater));
        let far = Peer { place: Place::Network("192.0.2.1".parse().unwrap()), key: None };
        assert_eq!(paces.line(&far, begin), Turn::Now, "another kind");
        assert_eq!([line(50, 500), line(51, 500)], [Turn::Now, Turn::Later], "it fills again");
        let known = Peer { place: Place::Socket { uid: 7, pid: 1 }, key: None };
        assert_eq!(paces.turn(&known, begin), Turn::Now, "each has one's own turns");
    }

    #[test]
    fn a_seat_is_free_again_once_its_connection_ends() {
        let (seats, peer) = (Seats::default(), Peer { place: Place::Machine { uid: None }, key: None });
        let (one, two) = (seats.take(&peer, 2), seats.take(&peer, 2));
        assert!(one.is_some() && two.is_some() && seats.take(&peer, 2).is_none());
        drop(one);
        assert!(seats.take(&peer, 2).is_some());
        drop(two);
        assert!(seats.0.lock().unwrap().is_empty());
    }

    #[test]
    fn many_addresses_take_no_more_than_so_much_memory() {
        let paces = Paces::new(Pace::default());
        let now = Instant::now();
        for number in 0..100_000_u32 {
            let peer = Peer { place: Place::Network(IpAddr::V4(number.into())), key: None };
            paces.turn(&peer, now);
        }
        assert!(paces.buckets.lock().unwrap().all.len() <= MOST_BUCKETS + 1);
        paces.turn(&Peer { place: Place::Socket { uid: 1, pid: 1 }, key: None }, now + 2 * SWEEP);
        assert!(paces.buckets.lock().unwrap().all.len() <= 2, "what has filled up again is forgotten");
    }
}
