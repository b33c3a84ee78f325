//! The read lease: the epoch last seen, and until when it may be believed.

use std::time::{Duration, Instant};

/// What is known of the epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    length: Duration,
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    epoch: u64,
    /// When it was asked for, not when the answer came: it may have changed right after it was read.
    asked: Instant,
}

impl Lease {
    /// A lease under which nothing was seen yet.
    pub(super) fn new(length: Duration) -> Self {
        Self { length, seen: None }
    }

    /// The epoch, while it may be believed.
    pub(super) fn epoch(&self, now: Instant) -> Option<u64> {
        let seen = self.seen?;
        let good = now.checked_duration_since(seen.asked).is_some_and(|age| age < self.length);
        good.then_some(seen.epoch)
    }

    /// Takes an answer in, and says whether it was news. One that is older than what is known already changes nothing.
    pub(super) fn see(&mut self, epoch: u64, asked: Instant) -> News {
        match &mut self.seen {
            Some(seen) if seen.epoch > epoch => News::None,
            Some(seen) if seen.epoch == epoch => {
                seen.asked = seen.asked.max(asked);
                News::None
            }
            Some(_) | None => {
                self.seen = Some(Seen { epoch, asked });
                News::Published
            }
        }
    }

    /// Believes nothing any more.
    pub(super) fn end(&mut self) {
        self.seen = None;
    }
}

/// Whether an answer told of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It did, or it was the first.
    Published,
    /// It did not.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_believed_for_its_length_from_when_it_was_asked_for_and_no_longer() {
        let (start, length) = (Instant::now(), Duration::from_secs(2));
        let mut lease = Lease::new(length);
        assert_eq!(lease.epoch(start), None);
        assert_eq!(lease.see(7, start), News::Published);
        assert_eq!(lease.epoch(start + length - Duration::from_nanos(1)), Some(7));
        assert_eq!(lease.epoch(start + length), None);
        assert_eq!(lease.see(7, start + length), News::None);
        assert_eq!(lease.epoch(start + length), Some(7));
        lease.end();
        assert_eq!(lease.epoch(start + length), None);
    }

    #[test]
    fn an_answer_that_was_overtaken_changes_nothing() {
        let start = Instant::now();
        let later = start + Duration::from_millis(1);
        let mut lease = Lease::new(Duration::from_secs(2));
        assert_eq!(lease.see(8, start), News::Published);
        assert_eq!(lease.see(7, later), News::None);
        assert_eq!(lease.epoch(later), Some(8));
        assert_eq!(lease.see(8, start), News::None, "an older question does not shorten it");
        assert_eq!(lease.see(9, later), News::Published);
    }

    #[test]
    fn without_length_nothing_is_ever_believed() {
        let start = Instant::now();
        let mut lease = Lease::new(Duration::ZERO);
        lease.see(1, start);
        assert_eq!(lease.epoch(start), None);
    }
}
