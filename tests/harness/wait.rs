//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Asks until there is an answer; panics after the bound, saying what was waited for.
pub async fn until<T>(what: &str, bound: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + bound;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited {bound:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
