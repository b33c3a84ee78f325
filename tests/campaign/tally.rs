//! What a campaign came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// The sums.
#[derive(Debug, Default)]
pub struct Tally {
    /// Faults that were shown to have landed.
    pub landed: usize,
    /// Faults that met nothing: they do not count.
    pub missed: usize,
    /// By kind, how often one landed.
    pub kinds: BTreeMap<String, usize>,
    /// The named points at which a broker was killed.
    pub points: BTreeSet<String>,
    /// Logins and looks from outside.
    pub looks: usize,
    /// Accounts that no stored value got into, or that refused the served one.
    pub lockouts: usize,
    /// Everything that must not be, each with its seed.
    pub broken: Vec<String>,
    /// How long the commands took that recovered without a restart of consumers.
    pub recoveries: Vec<Duration>,
    /// And with restarts.
    pub with_restarts: Vec<Duration>,
    /// Recoveries for which it had to be typed more than once.
    pub typed_again: usize,
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.landed += other.landed;
        self.missed += other.missed;
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.points.extend(other.points);
        self.looks += other.looks;
        self.lockouts += other.lockouts;
        self.broken.extend(other.broken);
        self.recoveries.extend(other.recoveries);
        self.with_restarts.extend(other.with_restarts);
        self.typed_again += other.typed_again;
    }
}

/// The value below which so many in a hundred lie, in milliseconds.
fn percentile(times: &[Duration], hundredth: usize) -> f64 {
    let mut sorted: Vec<Duration> = times.to_vec();
    sorted.sort();
    let at = (sorted.len() * hundredth).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults landed: {} (met nothing, not counted: {})", self.landed, self.missed)?;
        for (kind, count) in &self.kinds {
            writeln!(f, "  {count:5} {kind}")?;
        }
        writeln!(f, "lock-outs: {}", self.lockouts)?;
        writeln!(f, "looks from outside: {}; broken: {}", self.looks, self.broken.len())?;
        for broken in &self.broken {
            writeln!(f, "  {broken}")?;
        }
        for (what, times) in [("without", &self.recoveries), ("with", &self.with_restarts)] {
            let [half, most, last] = [50, 99, 100].map(|hundredth| percentile(times, hundredth));
            writeln!(
                f,
                "recovery {what} restarts of consumers, as a command: {} times, p50 {half:.1} ms, p99 {most:.1} ms, longest {last:.1} ms",
                times.len()
            )?;
        }
        writeln!(f, "typed more than once: {}", self.typed_again)?;
        let points: Vec<&str> = self.points.iter().map(String::as_str).collect();
        write!(f, "points hit: {}: {}", points.len(), points.join(" "))
    }
}
