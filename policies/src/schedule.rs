//! When a secret is due: its greatest age, the hours in which to change it, days on which not to, and some jitter.
//!
//! Instants are seconds since 1970 in UTC, passed in; days and hours are UTC as well.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// When a secret is to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The age at which it is due; without one it is never due by itself.
    pub max_age: Option<Span>,
    /// The hours in which it may change; without one, any.
    #[serde(default)]
    pub window: Option<Window>,
    /// Times in which nothing changes.
    #[serde(default)]
    pub freezes: Vec<Freeze>,
    /// Up to this much earlier than `max_age`, by name, so that secrets of one day do not all come due on one day.
    #[serde(default)]
    pub jitter: Span,
}

/// A stretch of time in seconds, written `90d`, `12h`, `15m` or `30s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u32);

/// Hours on some days of each week, written `sat sun 22:00-04:00`; without days, every day. It may pass midnight, and then
/// belongs to the day it began on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes after midnight.
    from: u16,
    /// How long, in minutes: 1 to 1440.
    minutes: u16,
}

/// From the first instant up to, not including, the second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The first second.
    pub from: i64,
    /// The first second after.
    pub until: i64,
}

/// Whether a secret is to change now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The schedule gives no age.
    Never,
    /// It is young enough until this instant.
    NotBefore(i64),
    /// It is too old and may change now.
    Now,
    /// It is too old; this is the first instant at which it may change, if there is one within [`HORIZON`].
    Waits(Option<i64>),
}

/// Words that are no span or no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}: write {example}")]
pub struct NotATime {
    /// The words.
    pub given: String,
    /// What they should be.
    pub what: &'static str,
    /// How that is written.
    pub example: &'static str,
}

impl Schedule {
    /// Whether the secret `name`, made at `made`, is to change at `now`.
    pub fn due(&self, name: &str, made: i64, now: i64) -> Due {
        let Some(max_age) = self.max_age else { return Due::Never };
        let at = made.saturating_add(i64::from(max_age.0)).saturating_sub(self.earlier(name, max_age));
        match self.open(now) {
            _ if now < at => Due::NotBefore(at),
            true => Due::Now,
            false => Due::Waits(self.next_open(now)),
        }
    }

    /// Whether anything may change at this instant.
    pub fn open(&self, now: i64) -> bool {
        let frozen = self.freezes.iter().any(|freeze| (freeze.from..freeze.until).contains(&now));
        !frozen && self.window.is_none_or(|window| window.holds(now))
    }

    /// The first instant from `now` on at which something may change: now, or where a freeze ends or a window begins.
    pub fn next_open(&self, now: i64) -> Option<i64> {
        let mut edges: Vec<i64> = self.freezes.iter().map(|freeze| freeze.until).collect();
        if let Some(window) = self.window {
            let today = now.div_euclid(DAY);
            edges.extend(
                (0..=HORIZON / DAY)
                    .map(|day| (today + day).saturating_mul(DAY).saturating_add(i64::from(window.from) * 60)),
            );
        }
        edges.push(now);
        edges.sort_unstable();
        edges
            .into_iter()
            .filter(|edge| (now..=now.saturating_add(HORIZON)).contains(edge))
            .find(|edge| self.open(*edge))
    }

    /// Seconds before `max_age`, the same each time for one name, and never all of it.
    fn earlier(&self, name: &str, max_age: Span) -> i64 {
        let most = u64::from(self.jitter.0.min(max_age.0 / 2));
        // FNV-1a: spreads names, keeps no secret.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        i64::try_from(hash % (most + 1)).unwrap_or(0)
    }
}

impl Span {
    /// So many seconds.
    pub fn seconds(seconds: u32) -> Span {
        Span(seconds)
    }

    /// Its length in seconds.
    pub fn as_seconds(self) -> u32 {
        self.0
    }
}

impl Window {
    fn holds(self, now: i64) -> bool {
        let (day, second) = (now.div_euclid(DAY), now.rem_euclid(DAY));
        let on = |day: i64| self.days & (1 << (day + THURSDAY).rem_euclid(7)) != 0;
        let (from, until) = (i64::from(self.from) * 60, i64::from(self.from + self.minutes) * 60);
        (on(day) && (from..until).contains(&second)) || (on(day - 1) && (from..until).contains(&(second + DAY)))
    }
}

impl FromStr for Span {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Span, NotATime> {
        let read = || {
            let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter))?;
            let number = text.strip_suffix(unit.0).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
            number.parse::<u32>().ok()?.checked_mul(unit.1).map(Span)
        };
        read().ok_or_else(|| NotATime {
            given: text.to_owned(),
            what: "span of time",
            example: "`90d`, `12h`, `15m` or `30s`",
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, seconds)| self.0.is_multiple_of(*seconds));
        let (letter, seconds) = fits.copied().unwrap_or(('s', 1));
        write!(f, "{}{letter}", self.0 / seconds)
    }
}

impl FromStr for Window {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Window, NotATime> {
        let read = || {
            let (days, hours) = text.rsplit_once(' ').map_or(("", text), |(days, hours)| (days, hours));
            let mut bits = 0;
            for word in days.split_whitespace() {
                bits |= 1 << DAYS.iter().position(|day| *day == word)?;
            }
            let (from, until) = hours.split_once('-')?;
            let (from, until) = (minute(from)?, minute(until)?);
            let minutes = if until > from { until - from } else { until + 1440 - from };
            let whole = from < 1440 && minutes <= 1440;
            whole.then_some(Window { days: if bits == 0 { ALL_DAYS } else { bits }, from, minutes })
        };
        read().ok_or_else(|| NotATime { given: text.to_owned(), what: "window", example: "`sat sun 22:00-04:00`" })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, day) in DAYS.iter().enumerate() {
            if self.days != ALL_DAYS && self.days & (1 << at) != 0 {
                write!(f, "{day} ")?;
            }
        }
        let until = match self.from + self.minutes {
            minutes if minutes > 1440 => minutes - 1440,
            minutes => minutes,
        };
        write!(f, "{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, until / 60, until % 60)
    }
}

/// `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour * 60 + minute <= 1440).then_some(hour * 60 + minute)
}

macro_rules! as_text {
    ($($type:ty),+) => { $(
        impl TryFrom<String> for $type {
            type Error = NotATime;
            fn try_from(text: String) -> Result<$type, NotATime> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(time: $type) -> String {
                time.to_string()
            }
        }
    )+ };
}
as_text!(Span, Window);

/// How far ahead an opening is looked for: a year and a day.
pub const HORIZON: i64 = 366 * DAY;
const DAY: i64 = 86_400;
/// The day 0 of 1970 was a Thursday, and Monday is 0 here.
const THURSDAY: i64 = 3;
const ALL_DAYS: u8 = 0b111_1111;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-22 00:00:00 UTC, a Sunday.
    const SUNDAY: i64 = 1_795_305_600;
    const HOUR: i64 = 3600;

    fn schedule(window: Option<&str>) -> Schedule {
        Schedule {
            max_age: "90d".parse().ok(),
            window: window.map(|text| text.parse().unwrap()),
            ..Schedule::default()
        }
    }

    #[test]
    fn it_is_due_at_its_age_and_not_a_second_before() {
        let schedule = schedule(None);
        let at = SUNDAY + 90 * DAY;
        assert_eq!(schedule.due("a", SUNDAY, at - 1), Due::NotBefore(at));
        assert_eq!(schedule.due("a", SUNDAY, at), Due::Now);
        assert_eq!(Schedule::default().due("a", SUNDAY, i64::MAX), Due::Never);
    }

    #[test]
    fn a_window_passes_midnight_and_belongs_to_the_day_it_began() {
        let schedule = schedule(Some("sat 22:00-04:00"));
        let old = SUNDAY - 1000 * DAY;
        assert_eq!(schedule.due("a", old, SUNDAY - 2 * HOUR - 1), Due::Waits(Some(SUNDAY - 2 * HOUR)));
        assert_eq!(schedule.due("a", old, SUNDAY - 2 * HOUR), Due::Now);
        assert_eq!(schedule.due("a", old, SUNDAY + 4 * HOUR - 1), Due::Now);
        assert_eq!(schedule.due("a", old, SUNDAY + 4 * HOUR), Due::Waits(Some(SUNDAY + 6 * DAY + 22 * HOUR)));
        assert_eq!(
            schedule.due("a", old, SUNDAY + 23 * HOUR),
            Due::Waits(Some(SUNDAY + 6 * DAY + 22 * HOUR)),
            "not on a Sunday"
        );
    }

    #[test]
    fn a_freeze_goes_before_a_window() {
        let mut schedule = schedule(Some("00:00-24:00"));
        let old = SUNDAY - 1000 * DAY;
        assert_eq!(schedule.due("a", old, SUNDAY), Due::Now);
        schedule.freezes =
            vec![Freeze { from: SUNDAY - 5, until: SUNDAY + 5 }, Freeze { from: SUNDAY + 5, until: SUNDAY + 9 }];
        assert_eq!(schedule.due("a", old, SUNDAY), Due::Waits(Some(SUNDAY + 9)));
        assert_eq!(schedule.due("a", old, SUNDAY + 9), Due::Now);
        schedule.freezes = vec![Freeze { from: 0, until: i64::MAX }];
        assert_eq!(schedule.due("a", old, SUNDAY), Due::Waits(None));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "d", "90", "-1d", "1.5h", "90 d", "99999999d", "90w"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
        for bad in
            ["", "22:00", "22-04", "24:00-01:00", "10:60-11:00", "25:00-26:00", "sab 10:00-11:00", "1:00-2:00", "a-b"]
        {
            assert!(bad.parse::<Window>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn jitter_is_earlier_never_later_and_always_the_same(name in "[a-z_]{1,20}", jitter in 0_u32..8_000_000) {
            let schedule = Schedule { jitter: Span::seconds(jitter), ..schedule(None) };
            let Due::NotBefore(at) = schedule.due(&name, SUNDAY, SUNDAY) else { panic!("not due when new") };
            prop_assert!((SUNDAY + 45 * DAY..=SUNDAY + 90 * DAY).contains(&at) && at >= SUNDAY + 90 * DAY - i64::from(jitter));
            prop_assert_eq!(schedule.due(&name, SUNDAY, at), Due::Now);
        }

        #[test]
        fn the_next_opening_is_open_and_the_first(now in 0_i64..4_000_000_000, days in 0_usize..7, from in 0_u16..1440, minutes in 1_u16..=1440) {
            let window = Window { days: 1 << days, from, minutes };
            prop_assert_eq!(window.to_string().parse::<Window>(), Ok(window));
            let schedule = Schedule { window: Some(window), ..Schedule::default() };
            let next = schedule.next_open(now).unwrap();
            prop_assert!(schedule.open(next) && next >= now && next <= now + 7 * DAY);
            prop_assert!(next == now || !schedule.open(next - 1));
            prop_assert!((now..next).step_by(601).all(|instant| !schedule.open(instant)));
        }

        #[test]
        fn a_span_reads_as_it_is_written(seconds in any::<u32>()) {
            prop_assert_eq!(Span::seconds(seconds).to_string().parse(), Ok(Span::seconds(seconds)));
        }

        #[test]
        fn no_words_and_no_instants_are_a_panic(text in "\\PC{0,20}", made in any::<i64>(), now in any::<i64>()) {
            let _ = (text.parse::<Span>(), text.parse::<Window>());
            for now in [now, i64::MAX, i64::MIN] {
                let _ = schedule(Some("sun 01:00-02:00")).due("a", made, now);
            }
        }
    }
}
