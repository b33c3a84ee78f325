//! RSA pairs that are begun before anybody asks: each takes a moment, and after `up` an operator types first.
//!
//! Nobody else is slowed down by it: it has the lowest priority. A request that comes early waits for its pair as long as
//! pairs are finished now and then, so that no work is lost on an idle host, and no time on a busy one.

use super::{GenerationError, ssh};
use donjon_drivers::store::secret::SecretValue;
use donjon_policies::recipe::SshKey;
use std::{
    collections::VecDeque,
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// Pairs of one kind, made on all cores by threads that nobody waits for at the daemon's end.
#[derive(Debug)]
pub struct Reserve {
    /// What it makes.
    pub kind: SshKey,
    ahead: Mutex<Ahead>,
    /// How many were finished.
    finished: watch::Sender<usize>,
}

/// All other kinds are quick.
impl Default for Reserve {
    fn default() -> Self {
        Self::of(SshKey::Rsa4096)
    }
}

#[derive(Debug, Default)]
struct Ahead {
    pairs: VecDeque<oneshot::Receiver<Made>>,
    begun: Option<Instant>,
}

type Made = Result<SecretValue, GenerationError>;
type Orders = Arc<Mutex<VecDeque<oneshot::Sender<Made>>>>;

impl Reserve {
    /// One in which nothing is begun yet.
    pub fn of(kind: SshKey) -> Self {
        Self { kind, ahead: Mutex::default(), finished: watch::Sender::new(0) }
    }

    /// Begins to make so many pairs, unless some were begun before.
    pub fn begin(&self, count: usize) {
        let mut ahead = self.ahead();
        if ahead.begun.is_some() || count == 0 {
            return;
        }
        let (orders, pairs): (VecDeque<_>, VecDeque<_>) = (0..count).map(|_| oneshot::channel()).unzip();
        *ahead = Ahead { pairs, begun: Some(Instant::now()) };
        drop(ahead);
        let orders: Orders = Arc::new(Mutex::new(orders));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..cores.min(count) {
            let (orders, kind, finished) = (Arc::clone(&orders), self.kind, self.finished.clone());
            let made =
                std::thread::Builder::new().name("key pairs".to_owned()).spawn(move || make(kind, &orders, &finished));
            if let Err(error) = made {
                // The orders end with the last thread that holds them, and whoever asks makes its own.
                tracing::warn!(%error, "no key pairs are made ahead");
            }
        }
    }

    /// The next pair. `None` where none was begun, or where for so long not one was finished.
    pub async fn take(&self, patience: Duration) -> Option<SecretValue> {
        let mut finished = self.finished.subscribe();
        let mut next = self.ahead().pairs.pop_front()?;
        loop {
            tokio::select! {
                biased;
                made = &mut next => return made.ok()?.ok(),
                one = tokio::time::timeout(patience, finished.changed()) => one.ok()?.ok()?,
            }
        }
    }

    /// Wipes what nobody has asked for in time.
    pub fn expire(&self) {
        let mut ahead = self.ahead();
        if ahead.begun.is_some_and(|begun| begun.elapsed() >= KEPT) {
            ahead.pairs.clear();
        }
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(kind: SshKey, orders: &Orders, finished: &watch::Sender<usize>) {
    // Of this thread alone. Where it is refused, the work goes on as that of any other.
    let _ = rustix::process::nice(19);
    let next = || orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(order) = next() {
        if !order.is_closed() {
            // Who ordered it may have left meanwhile; then it is wiped here.
            let _ = order.send(ssh::pair(kind, &super::System));
            finished.send_modify(|count| *count += 1);
        }
    }
}

/// How long a pair waits for its request.
const KEPT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn public(value: &SecretValue) -> &str {
        match value {
            SecretValue::Pair { public, .. } => public,
            SecretValue::Whole(_) => panic!("a pair was asked for"),
        }
    }

    #[tokio::test]
    async fn each_pair_is_handed_out_once_and_only_what_was_begun() {
        let reserve = Reserve::of(SshKey::Ed25519);
        assert!(reserve.take(LONG).await.is_none(), "nothing was begun");
        reserve.begin(2);
        reserve.begin(5);
        // Asked for while it may be in the making.
        let (one, other) = (reserve.take(LONG).await.unwrap(), reserve.take(LONG).await.unwrap());
        assert!(public(&one).starts_with("ssh-ed25519 ") && public(&one) != public(&other));
        assert!(reserve.take(LONG).await.is_none(), "a second beginning adds nothing");
    }

    #[tokio::test]
    async fn what_takes_long_is_not_waited_for() {
        let reserve = Reserve::default();
        reserve.begin(1);
        assert!(reserve.take(Duration::ZERO).await.is_none());
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_let_go() {
        let reserve = Reserve::of(SshKey::Ed25519);
        reserve.begin(1);
        reserve.ahead().begun = Instant::now().checked_sub(KEPT);
        reserve.expire();
        assert!(reserve.take(LONG).await.is_none());
        // It is not made anew either.
        reserve.begin(1);
        assert!(reserve.take(LONG).await.is_none());
    }
}
