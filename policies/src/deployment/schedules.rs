//! When secrets are to change, as the deployment file says: rules by name or class, and the days on which nothing does.
//!
//! ```yaml
//! schedules:
//!   automatic: true                     # the daemon rotates what is due by itself
//!   freezes: [{first: 2026-12-20, last: 2027-01-04}]
//!   rules:                              # the first that fits a secret holds
//!     - {secrets: [database_password], max_age: 30d, window: 'sat sun 22:00-04:00'}
//!     - {classes: [keystone-user], max_age: 90d, jitter: 14d, accept_outage: true}
//!     - {max_age: 180d, jitter: 30d}    # all others
//! ```

use crate::{
    catalogue::{Class, Entry},
    pattern::Pattern,
    schedule::{Freeze, Schedule, Span, Window},
};
use serde::Deserialize;

/// When secrets are to change. Days and hours are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedules {
    /// Whether the daemon rotates what is due by itself; else `donjon rotate apply --due` does, from a timer.
    #[serde(default)]
    pub automatic: bool,
    /// How often the daemon looks.
    #[serde(default = "default_every")]
    pub every: Span,
    /// For how long a secret whose rotation went back is left alone.
    #[serde(default = "default_again")]
    pub again: Span,
    /// Days on which nothing changes.
    #[serde(default)]
    pub freezes: Vec<Days>,
    /// The rules; the first that fits a secret holds.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// When some secrets are to change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Secrets by name or pattern. A secret that changes only when it is named needs its whole name here.
    #[serde(default)]
    pub secrets: Vec<Pattern>,
    /// Secrets of these sorts. Without `secrets` and `classes`, every secret.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// The age at which they are due; without one, never by themselves.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// The hours in which they may change, such as `sat sun 22:00-04:00`.
    #[serde(default)]
    pub window: Option<Window>,
    /// Up to this much earlier than `max_age`, by name.
    #[serde(default)]
    pub jitter: Span,
    /// More days on which these do not change.
    #[serde(default)]
    pub freezes: Vec<Days>,
    /// Whether they are rotated where that has an outage.
    #[serde(default)]
    pub accept_outage: bool,
}

/// Days, the first and the last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// The first.
    pub first: Day,
    /// The last.
    pub last: Day,
}

/// A day, written `2026-12-20`: days since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Day(i64);

impl Default for Schedules {
    fn default() -> Self {
        Self {
            automatic: false,
            every: default_every(),
            again: default_again(),
            freezes: Vec::new(),
            rules: Vec::new(),
        }
    }
}

impl Schedules {
    /// The rule that holds for a secret.
    pub fn rule(&self, entry: &Entry) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(entry))
    }

    /// The schedule that a rule and what is said for all make.
    pub fn schedule(&self, rule: &Rule) -> Schedule {
        let freezes = self.freezes.iter().chain(&rule.freezes).map(|days| days.freeze()).collect();
        Schedule { max_age: rule.max_age, window: rule.window, freezes, jitter: rule.jitter }
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let all = self.freezes.iter().chain(self.rules.iter().flat_map(|rule| &rule.freezes));
        let backwards = all.filter(|days| days.last < days.first);
        let mut found: Vec<String> = backwards.map(|_| "a freeze ends before it begins".to_owned()).collect();
        if self.every.as_seconds() == 0 {
            found.push("`schedules.every` is 0; the daemon looks at most once a second".to_owned());
        }
        found
    }
}

impl Rule {
    fn fits(&self, entry: &Entry) -> bool {
        let all = self.secrets.is_empty() && self.classes.is_empty();
        all || self.classes.contains(&entry.class) || self.secrets.iter().any(|pattern| pattern.names(&entry.name))
    }

    /// Whether it gives the whole name of a secret.
    pub fn names(&self, entry: &Entry) -> bool {
        self.secrets.iter().any(|pattern| pattern.is_name() && pattern.names(&entry.name))
    }
}

impl Days {
    fn freeze(&self) -> Freeze {
        Freeze { from: self.first.0 * DAY, until: (self.last.0 + 1) * DAY }
    }
}

impl TryFrom<String> for Day {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        read(&text).map(Self).ok_or_else(|| format!("`{text}` is no day: write `2026-12-20`"))
    }
}

/// Days from 1970 to `YYYY-MM-DD` of the Gregorian calendar.
fn read(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<i64>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let at = usize::try_from(month - 1).ok()?;
    let fits = parts.next().is_none() && (1..=*lengths.get(at)?).contains(&day) && year >= 1970;
    let before = year - 1;
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    fits.then(|| (year - 1970) * 365 + leaps(before) - leaps(1969) + lengths[..at].iter().sum::<i64>() + day - 1)
}

fn default_every() -> Span {
    Span::seconds(600)
}

fn default_again() -> Span {
    Span::seconds(86_400)
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue::Catalogue, deployment::Deployment, schedule::Due};

    #[test]
    fn a_day_is_what_the_calendar_says() {
        for (text, days) in [("1970-01-01", 0), ("1970-12-31", 364), ("2000-03-01", 11_017), ("2026-11-22", 20_779)] {
            assert_eq!(read(text), Some(days), "{text}");
        }
        for bad in
            ["2026-02-29", "2026-13-01", "2026-00-01", "2026-1-1", "2026-01-00", "1969-12-31", "2026-01-01-01", ""]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read("2024-02-29").map(|day| day + 1), read("2024-03-01"));
    }

    #[test]
    fn the_first_rule_that_fits_holds() {
        let text = "
deployment: d
schedules:
  freezes: [{first: 2026-11-22, last: 2026-11-22}]
  rules:
    - {secrets: [database_password], max_age: 1d}
    - {classes: [keystone-user], secrets: ['nova_*'], max_age: 2d, accept_outage: true}
    - {max_age: 3d}
";
        let deployment = Deployment::parse("f", text).unwrap();
        let schedules = &deployment.schedules;
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let rule = |name: &str| schedules.rule(catalogue.entry(&name.parse().unwrap()).unwrap()).unwrap();
        let ages = ["database_password", "nova_database_password", "glance_database_password"]
            .map(|name| rule(name).max_age.map(Span::as_seconds));
        assert_eq!(ages, [Some(86_400), Some(2 * 86_400), Some(3 * 86_400)]);
        let sunday = 20_779 * DAY;
        let schedule = schedules.schedule(rule("database_password"));
        assert_eq!(schedule.due("database_password", 0, sunday), Due::Waits(Some(sunday + DAY)));
        assert_eq!(schedule.due("database_password", 0, sunday - 1), Due::Now);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for bad in [
            "freezes: [{first: 2026-12-02, last: 2026-12-01}]",
            "every: 0s",
            "rules: [{max_age: 1w}]",
            "rules: [{classes: [nothing]}]",
        ] {
            assert!(Deployment::parse("f", &format!("deployment: d\nschedules: {{{bad}}}\n")).is_err(), "{bad}");
        }
    }
}
