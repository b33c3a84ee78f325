//! How much a user may ask for: a bucket that fills with time, and a bound on connections; those whom no role names have a
//! part of the seats and one bucket for all of them, however many users they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The limits of all users.
#[derive(Debug)]
pub struct Limits {
    users: Mutex<BTreeMap<u32, User>>,
    /// Of all strangers together: whoever has one user of a range of subordinate ones has thousands.
    strangers: Mutex<Option<Bucket>>,
    most: usize,
}

#[derive(Debug)]
struct User {
    connections: usize,
    /// Those of them that were let in as a stranger's.
    strange: usize,
    bucket: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    filled: Instant,
}

/// A connection within the limits; it counts until it is dropped.
#[derive(Debug)]
pub struct Within {
    limits: Arc<Limits>,
    uid: u32,
    standing: Standing,
}

/// Whether a role names a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// One does.
    Known,
    /// None does. It is told so, and may ask.
    Stranger,
}

impl Default for Limits {
    fn default() -> Self {
        Self::within(MOST_CONNECTIONS)
    }
}

impl Limits {
    /// The limits of a process that has room for so many connections.
    pub fn within(connections: usize) -> Self {
        Self { users: Mutex::default(), strangers: Mutex::default(), most: connections.min(MOST_CONNECTIONS) }
    }

    /// One more connection of a user; `None` where that would be too many, of theirs, of their kind's, or of all.
    pub fn connect(self: &Arc<Self>, uid: u32, standing: Standing, now: Instant) -> Option<Within> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let total = |of: fn(&User) -> usize| users.values().map(of).sum::<usize>();
        let (most_of_one, full) = match standing {
            Standing::Known => (MOST_OF_ONE, false),
            Standing::Stranger => (MOST_OF_A_STRANGER, total(|user| user.strange) >= self.most / STRANGERS_PART),
        };
        if full || total(|user| user.connections) >= self.most {
            return None;
        }
        // Who has gone and has all of it back is as good as one who never came.
        users.retain(|_, user| user.connections > 0 || user.bucket.level(now) < MOST);
        let user = users.entry(uid).or_insert(User { connections: 0, strange: 0, bucket: Bucket::full(now) });
        if user.connections >= most_of_one {
            return None;
        }
        user.connections += 1;
        user.strange += usize::from(standing == Standing::Stranger);
        Some(Within { limits: Arc::clone(self), uid, standing })
    }
}

impl Within {
    /// Whether a role names the caller.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Takes a price from the user's bucket, of a stranger from that of all strangers too, and says whether it was there.
    pub fn pay(&self, price: u32, now: Instant) -> bool {
        if self.standing == Standing::Stranger {
            let mut strangers = self.limits.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            if !strangers.get_or_insert(Bucket::full(now)).take(price, now) {
                return false;
            }
        }
        let mut users = self.limits.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.get_mut(&self.uid).is_some_and(|user| user.bucket.take(price, now))
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        let mut users = self.limits.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = users.get_mut(&self.uid) {
            user.connections -= 1;
            user.strange -= usize::from(self.standing == Standing::Stranger);
        }
    }
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { left: MOST, filled: now }
    }

    fn level(&self, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.filled).as_secs_f64() * EACH_SECOND).min(MOST)
    }

    fn take(&mut self, price: u32, now: Instant) -> bool {
        *self = Self { left: self.level(now), filled: now };
        let enough = self.left >= f64::from(price);
        if enough {
            self.left -= f64::from(price);
        }
        enough
    }
}

const MOST_CONNECTIONS: usize = 1024;
const MOST_OF_ONE: usize = 128;
const MOST_OF_A_STRANGER: usize = 16;
/// All strangers together have a fourth.
const STRANGERS_PART: usize = 4;
/// Values at once, and after that in each second.
const MOST: f64 = 20_000.0;
const EACH_SECOND: f64 = 5_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_empties_and_fills_for_each_user_alone() {
        let (limits, start) = (Arc::new(Limits::default()), Instant::now());
        let (one, two) =
            (limits.connect(1, Standing::Known, start).unwrap(), limits.connect(2, Standing::Known, start).unwrap());
        assert!(one.pay(20_000, start) && !one.pay(1, start), "all of it was taken");
        assert!(two.pay(1, start), "another has one's own");
        assert!(!one.pay(5_001, start + Duration::from_secs(1)) && one.pay(5_000, start + Duration::from_secs(1)));
        drop(one);
        let again = limits.connect(1, Standing::Known, start + Duration::from_secs(1)).unwrap();
        assert!(!again.pay(1_000, start + Duration::from_secs(1)), "a new connection brings nothing");
    }

    #[test]
    fn strangers_share_one_bucket_and_take_nothing_of_the_known() {
        let (limits, now) = (Arc::new(Limits::default()), Instant::now());
        let strangers: Vec<_> = (100..130).map(|uid| limits.connect(uid, Standing::Stranger, now).unwrap()).collect();
        let paid = strangers.iter().filter(|stranger| stranger.pay(1_000, now)).count();
        assert_eq!(paid, 20, "as many as one alone");
        assert!(limits.connect(1, Standing::Known, now).unwrap().pay(20_000, now));
        assert!(strangers[29].pay(1_000, now + Duration::from_secs(1)), "it fills again");
    }

    #[test]
    fn connections_are_counted_for_one_and_for_all() {
        let (limits, now) = (Arc::new(Limits::default()), Instant::now());
        let mut held: Vec<_> = (0..MOST_OF_ONE).map(|_| limits.connect(1, Standing::Known, now).unwrap()).collect();
        assert!(limits.connect(1, Standing::Known, now).is_none());
        held.pop();
        held.push(limits.connect(1, Standing::Known, now).expect("one has gone"));
        for uid in 2.. {
            let Some(within) = limits.connect(uid, Standing::Known, now) else { break };
            held.push(within);
            held.extend((1..MOST_OF_ONE).map_while(|_| limits.connect(uid, Standing::Known, now)));
        }
        assert_eq!(held.len(), MOST_CONNECTIONS);
    }

    #[test]
    fn strangers_leave_room_for_those_whom_a_role_names() {
        let (limits, now) = (Arc::new(Limits::within(400)), Instant::now());
        let mut held = Vec::new();
        for uid in 1000..2000 {
            held.extend((0..200).map_while(|_| limits.connect(uid, Standing::Stranger, now)));
        }
        assert_eq!(held.len(), 100, "a fourth of all");
        let known: Vec<_> = (0..300).map_while(|n| limits.connect(n % 3, Standing::Known, now)).collect();
        assert_eq!(known.len(), 300, "the rest is theirs");
        held.truncate(99);
        assert!(limits.connect(3000, Standing::Stranger, now).is_some(), "one has gone");
    }
}
