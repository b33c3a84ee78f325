//! Telling two kinds of work apart by how long they take, as somebody would who asks again and again: Welch's t-test over
//! the faster nine tenths, each time of a kind that chance has chosen.

use std::time::Instant;

/// Which of the two kinds is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    Other,
}

/// By how many nanoseconds the times tell the two apart; none where they do not. Work that leaks does so each time it is looked
/// at, a noisy machine does not: so it is looked at again where the first look says yes, and the least of it counts. `time`
/// prepares a piece of work of a kind, and gives how long it took.
///
/// Where the two are the same work, a part of a nanosecond may be left by how a program lies in memory: so what is found is set
/// against a control that is known to do more.
pub(crate) async fn apart(mut time: impl AsyncFnMut(Kind) -> u128) -> f64 {
    let mut least = f64::INFINITY;
    for look in 1..=LOOKS {
        let Look { t, nanoseconds } = one_look(&mut time).await;
        println!("look {look}: |t| = {t:.2}, {nanoseconds:.2} ns");
        if t < LIMIT {
            return 0.0;
        }
        least = least.min(nanoseconds);
    }
    least
}

/// How long some work takes, in nanoseconds, and what it gives.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (u128, T) {
    let begun = Instant::now();
    let done = work.await;
    (begun.elapsed().as_nanos(), done)
}

/// What one look tells, both without their sign.
struct Look {
    t: f64,
    nanoseconds: f64,
}

async fn one_look(time: &mut impl AsyncFnMut(Kind) -> u128) -> Look {
    let mut chance = vec![0; EACH / 4];
    aws_lc_rs::rand::fill(&mut chance).expect("the operating system gives randomness");
    let mut times = Vec::with_capacity(EACH * 2);
    for turn in 0..EACH * 2 {
        let kind = if (chance[turn / 8] >> (turn % 8)) & 1 == 0 { Kind::One } else { Kind::Other };
        times.push((time(kind).await, kind));
    }
    // What was interrupted says nothing of the work.
    let mut sorted: Vec<u128> = times.iter().map(|(time, _)| *time).collect();
    sorted.sort_unstable();
    let longest = sorted[sorted.len() * 9 / 10];
    let of = |wanted: Kind| {
        let kept = times.iter().filter(|(time, kind)| *kind == wanted && *time <= longest);
        Moments::of(kept.map(|(time, _)| *time as f64))
    };
    let (one, other) = (of(Kind::One), of(Kind::Other));
    let nanoseconds = (one.mean - other.mean).abs();
    Look { t: nanoseconds / (one.variance / one.count + other.variance / other.count).sqrt(), nanoseconds }
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, mean, variance }
    }
}

/// Times of each kind in one look.
const EACH: usize = 10_000;
const LOOKS: usize = 4;
/// Where two kinds are the same, one look in 150,000 is beyond it.
const LIMIT: f64 = 4.5;
