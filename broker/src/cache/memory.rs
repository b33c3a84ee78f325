//! The cache itself: the lease, the values read under it, and what makes them void.

use super::{
    lease::{Lease, News},
    values::{Read, Sealed, Values},
};
use crate::records::Layout;
use donjon_drivers::{
    memory::{Kind, Slot, Slots},
    store::{RecordPath, Version, secret::Part},
};
use donjon_policies::name::SecretName;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Values that were read, and until when they may be answered.
pub struct Cache {
    layout: Layout,
    identity: String,
    length: Duration,
    state: Mutex<State>,
    /// Wakes the one who polls the epoch.
    wanted: Notify,
    /// Wakes those who wait for it to be known.
    seen: Notify,
}

struct State {
    lease: Lease,
    values: Option<Values>,
    /// Counts what was written here: a read that began before a write keeps nothing.
    writes: u64,
    /// Counts when the epoch was written here: an answer to an older question says nothing.
    publications: u64,
    /// Whether the other brokers know that this one caches.
    announced: bool,
    asked: Option<Instant>,
}

/// Values that may be answered, still sealed, in the order they were asked for.
pub struct Found<'a> {
    /// The epoch that they are of.
    pub epoch: u64,
    values: Vec<(&'a SecretName, Part, Arc<Sealed>)>,
    slots: Arc<Slots>,
}

impl Found<'_> {
    /// Which versions they are.
    pub fn versions(&self) -> impl ExactSizeIterator<Item = Version> {
        self.values.iter().map(|(_, _, sealed)| sealed.version())
    }

    /// When each was written.
    pub fn created(&self) -> impl ExactSizeIterator<Item = i64> {
        self.values.iter().map(|(_, _, sealed)| sealed.created())
    }

    /// How much room each takes to be opened.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = usize> {
        self.values.iter().map(|(_, _, sealed)| sealed.room())
    }

    /// Opens one at the beginning of a place with room for it, and says how many bytes it has. `None` where its memory was
    /// tampered with.
    pub fn open(&self, which: usize, place: &mut [u8]) -> Option<usize> {
        let (name, part, sealed) = self.values.get(which)?;
        sealed.open(&self.slots, name, *part, place)
    }

    /// A place that nobody else reads, while there is one.
    pub fn place(&self) -> Option<Slot> {
        self.slots.take()
    }
}

/// A question for the epoch that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    at: Instant,
    publications: u64,
}

/// A read that is under way, and what it may keep.
#[derive(Debug, Clone, Copy)]
pub struct Filling {
    epoch: u64,
    writes: u64,
}

impl Cache {
    /// An empty cache for a deployment's records. `identity` is what other brokers know this one by. A lease of zero caches
    /// nothing.
    pub fn new(layout: Layout, identity: String, lease: Duration) -> Self {
        let state = State {
            lease: Lease::new(lease),
            values: Values::new(),
            writes: 0,
            publications: 0,
            announced: false,
            asked: None,
        };
        Self { layout, identity, length: lease, state: Mutex::new(state), wanted: Notify::new(), seen: Notify::new() }
    }

    /// What other brokers know this one by.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// For how long an answer may be given after the epoch was last asked for.
    pub fn lease(&self) -> Duration {
        self.length
    }

    /// Of how many names it has values.
    pub fn count(&self) -> usize {
        self.state().values.as_ref().map_or(0, Values::count)
    }

    /// The epoch, while it may be believed.
    pub fn epoch(&self, now: Instant) -> Option<u64> {
        self.state().lease.epoch(now)
    }

    /// All of these values, if every one of them may be answered; `pinned` to this epoch where one is given.
    pub fn find<'a>(
        &self,
        asked: impl ExactSizeIterator<Item = (&'a SecretName, Part)>,
        pinned: Option<u64>,
        now: Instant,
    ) -> Option<Found<'a>> {
        self.expect(now);
        let state = &*self.state();
        let epoch = state.lease.epoch(now).filter(|epoch| pinned.is_none_or(|pinned| pinned == *epoch))?;
        let kept = state.values.as_ref()?;
        let mut values = Vec::with_capacity(asked.len());
        for (name, part) in asked {
            values.push((name, part, kept.find(name, part, now)?));
        }
        Some(Found { epoch, values, slots: Arc::clone(kept.slots()) })
    }

    /// Somebody asks for values, or is about to.
    pub fn expect(&self, now: Instant) {
        if self.state().asked.replace(now).is_none() {
            self.wanted.notify_one();
        }
    }

    /// Waits until what is read can be kept, for so long at most, and says whether it can: whoever is the first to ask wakes
    /// the one who sees to that.
    pub async fn ready(&self, within: Duration) -> bool {
        let ready = async {
            loop {
                let mut seen = std::pin::pin!(self.seen.notified());
                seen.as_mut().enable();
                if self.keeps(Instant::now()) {
                    return;
                }
                seen.await;
            }
        };
        !self.length.is_zero() && tokio::time::timeout(within, ready).await.is_ok()
    }

    fn keeps(&self, now: Instant) -> bool {
        let state = self.state();
        state.announced && state.lease.epoch(now).is_some()
    }

    /// What keeps others from the key and from values while they are opened; `None` where nothing is kept at all.
    pub fn pages(&self) -> Option<Kind> {
        self.state().values.as_ref().map(|values| values.slots().kind())
    }

    /// Before values are read from the store: `epoch` was seen before that.
    pub fn begin(&self, epoch: u64) -> Filling {
        Filling { epoch, writes: self.state().writes }
    }

    /// Keeps a newest value that was read, unless something was published or written since the reading began.
    pub fn keep(&self, filling: Filling, name: &SecretName, part: Part, read: &Read, now: Instant) {
        let state = &mut *self.state();
        let current = state.announced && state.lease.epoch(now) == Some(filling.epoch);
        if let Some(values) = state.values.as_mut().filter(|_| current && state.writes == filling.writes) {
            values.keep(name, part, read, now);
        }
    }

    /// Before the store is asked for the epoch.
    pub fn ask(&self, now: Instant) -> Asking {
        Asking { at: now, publications: self.state().publications }
    }

    /// Takes the epoch in that the store answered.
    pub fn see(&self, asking: Asking, epoch: u64) {
        let state = &mut *self.state();
        if asking.publications == state.publications && state.lease.see(epoch, asking.at) == News::Published {
            state.values.iter_mut().for_each(Values::clear);
        }
        self.seen.notify_waiters();
    }

    /// Something was written to this record, or is about to be.
    pub fn written(&self, path: &RecordPath) {
        let state = &mut *self.state();
        state.writes += 1;
        let folder = self.layout.folder();
        let name = path.as_str().strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if let (Some(Ok(name)), Some(values)) = (name.map(str::parse::<SecretName>), &mut state.values) {
            values.forget(&name);
        }
        if *path == self.layout.epoch() {
            state.publications += 1;
            state.lease.end();
        }
    }

    /// Forgets every value, and the lease with them.
    pub fn forget(&self) {
        let state = &mut *self.state();
        state.lease.end();
        state.values.iter_mut().for_each(Values::clear);
    }

    /// From now on the other brokers wait for this one's lease when they publish. What was read or seen before counts for
    /// nothing.
    pub(super) fn announced(&self) {
        let state = &mut *self.state();
        state.announced = true;
        state.writes += 1;
        state.publications += 1;
        state.lease.end();
    }

    /// Forgets everything, and keeps nothing until it is announced again.
    pub(super) fn retire(&self) {
        self.forget();
        self.state().announced = false;
    }

    /// Whether it was announced.
    pub(super) fn is_announced(&self) -> bool {
        self.state().announced
    }

    /// Waits until somebody asks, and says that this was heard.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether somebody asked lately. Where nobody did, the next to ask wakes who polls.
    pub(super) fn in_use(&self, within: Duration, now: Instant) -> bool {
        let state = &mut *self.state();
        let used = state.asked.is_some_and(|asked| now.saturating_duration_since(asked) < within);
        if !used {
            state.asked = None;
        }
        used
    }

    /// Where the records are.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::material::Material;
    use std::{
        future::poll_fn,
        pin::{Pin, pin},
        task::Poll,
    };

    const LEASE: Duration = Duration::from_secs(2);

    fn cache() -> (Cache, SecretName, Instant) {
        let cache = Cache::new(Layout::new("d".parse().unwrap()).unwrap(), "1".to_owned(), LEASE);
        cache.announced();
        (cache, "a".parse().unwrap(), Instant::now())
    }

    fn see(cache: &Cache, epoch: u64, now: Instant) {
        cache.see(cache.ask(now), epoch);
    }

    fn fill(cache: &Cache, filling: Filling, name: &SecretName, now: Instant) {
        let read = Read { value: Material::from("v".to_owned()), version: Version(1), created: 0 };
        cache.keep(filling, name, Part::Whole, &read, now);
    }

    fn answers(cache: &Cache, name: &SecretName, now: Instant) -> bool {
        cache.find([(name, Part::Whole)].into_iter(), None, now).is_some()
    }

    #[test]
    fn a_value_is_answered_within_the_lease_and_not_after_a_publication() {
        let (cache, name, now) = cache();
        see(&cache, 1, now);
        fill(&cache, cache.begin(1), &name, now);
        assert!(answers(&cache, &name, now));
        assert!(!answers(&cache, &name, now + LEASE), "the lease has run out");
        see(&cache, 1, now + LEASE);
        assert!(answers(&cache, &name, now + LEASE), "it was seen again");
        assert!(
            cache.find([(&name, Part::Whole)].into_iter(), Some(2), now + LEASE).is_none(),
            "pinned to another epoch"
        );
        see(&cache, 2, now + LEASE);
        assert!(!answers(&cache, &name, now + LEASE), "something was published");
    }

    #[test]
    fn what_is_written_here_is_forgotten_and_no_reading_that_began_before_brings_it_back() {
        let (cache, name, now) = cache();
        let (own, other) = (cache.layout.secret(&name), cache.layout.secret(&"b".parse().unwrap()));
        see(&cache, 1, now);
        fill(&cache, cache.begin(1), &name, now);
        cache.written(&other);
        assert!(answers(&cache, &name, now), "another one was written");
        let before = cache.begin(1);
        cache.written(&own);
        assert!(!answers(&cache, &name, now));
        fill(&cache, before, &name, now);
        assert!(!answers(&cache, &name, now), "it may have read the old value");
        fill(&cache, cache.begin(1), &name, now);
        assert!(answers(&cache, &name, now), "the control: a reading that began later is kept");
        let asking = cache.ask(now);
        cache.written(&cache.layout.epoch());
        assert!(!answers(&cache, &name, now), "the epoch is about to change");
        cache.see(asking, 1);
        assert_eq!(cache.epoch(now), None, "the answer to a question from before");
    }

    #[test]
    fn a_reading_of_another_epoch_or_unannounced_keeps_nothing() {
        let (cache, name, now) = cache();
        see(&cache, 2, now);
        fill(&cache, cache.begin(1), &name, now);
        assert!(!answers(&cache, &name, now));
        cache.retire();
        see(&cache, 2, now);
        fill(&cache, cache.begin(2), &name, now);
        assert!(!answers(&cache, &name, now));
        let before = cache.begin(2);
        cache.announced();
        fill(&cache, before, &name, now);
        see(&cache, 2, now);
        fill(&cache, before, &name, now);
        assert!(!answers(&cache, &name, now), "nobody would have waited for it");
        fill(&cache, cache.begin(2), &name, now);
        assert!(answers(&cache, &name, now), "the control");
        cache.forget();
        assert!(!answers(&cache, &name, now));
    }

    #[tokio::test]
    async fn it_is_ready_once_announced_and_the_epoch_is_seen_and_waits_no_longer_than_it_may() {
        let new = |lease| Cache::new(Layout::new("d".parse().unwrap()).unwrap(), "1".to_owned(), lease);
        let cache = new(LEASE);
        let mut ready = pin!(cache.ready(Duration::from_secs(60)));
        assert_eq!(polled(ready.as_mut()).await, None);
        see(&cache, 1, Instant::now());
        assert_eq!(polled(ready.as_mut()).await, None, "not announced: nothing would be kept");
        cache.announced();
        assert_eq!(polled(ready.as_mut()).await, None, "what was seen before that counts for nothing");
        see(&cache, 1, Instant::now());
        assert_eq!(polled(ready.as_mut()).await, Some(true));
        assert_eq!(polled(pin!(cache.ready(Duration::ZERO))).await, Some(true), "at once from then on");
        let never = new(Duration::ZERO);
        assert_eq!(polled(pin!(never.ready(Duration::from_secs(60)))).await, Some(false), "nothing is ever kept");
        assert!(!new(LEASE).ready(Duration::from_millis(1)).await);
    }

    async fn polled<F: Future<Output = bool>>(mut future: Pin<&mut F>) -> Option<bool> {
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(ready) => Poll::Ready(Some(ready)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
