//! Whether a node's consumers run on its present bundle: each restarted since the reader serves it, and each seen to log
//! in anew. What a service manager says alone is not believed, and a login alone may be another's.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A consumer that runs on the present bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// `service@host`.
    pub consumer: String,
    /// When it was started, in microseconds since 1970.
    pub started: i64,
    /// When it logged in after that, in microseconds since 1970.
    pub login: i64,
}

/// A consumer and what its service manager says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// `service@host`.
    pub consumer: String,
    /// When it was started, in microseconds since 1970; `None` where it does not run.
    pub started: Option<i64>,
}

/// A consumer that does not run on the present bundle, as far as can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// `service@host`.
    pub consumer: String,
    /// What keeps it from being believed.
    pub why: Why,
}

/// Why a consumer is not believed to run on the present bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It does not run.
    Stopped,
    /// It was started before the reader served the bundle.
    NotRestarted,
    /// It was restarted, and no login of its own came after that.
    NoLogin,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.why {
            Why::Stopped => "does not run",
            Why::NotRestarted => "has not restarted since the bundle is served",
            Why::NoLogin => "has restarted and not been seen to log in since",
        };
        write!(f, "{} {what}", self.consumer)
    }
}

/// Judges consumers by when they started and when anybody logged in; all in microseconds since 1970.
///
/// Logins name no consumer, so each counts for one alone: the consumer that started last takes the latest.
///
/// # Errors
/// Everyone who is behind.
pub fn judge(running: &[Running], logins: &[i64], serving_since: i64) -> Result<Vec<Drained>, Vec<Behind>> {
    let mut logins = logins.to_vec();
    logins.sort_unstable();
    let mut order: Vec<&Running> = running.iter().collect();
    order.sort_by(|a, b| (b.started, &b.consumer).cmp(&(a.started, &a.consumer)));
    let (mut drained, mut behind) = (Vec::new(), Vec::new());
    for Running { consumer, started } in order {
        let judged = match started {
            None => Err(Why::Stopped),
            Some(started) if *started <= serving_since => Err(Why::NotRestarted),
            Some(started) => {
                logins.pop_if(|login| *login > *started).map(|login| (*started, login)).ok_or(Why::NoLogin)
            }
        };
        let consumer = consumer.clone();
        match judged {
            Ok((started, login)) => drained.push(Drained { consumer, started, login }),
            Err(why) => behind.push(Behind { consumer, why }),
        }
    }
    drained.sort_by(|a, b| a.consumer.cmp(&b.consumer));
    behind.sort_by(|a, b| a.consumer.cmp(&b.consumer));
    if behind.is_empty() { Ok(drained) } else { Err(behind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn running(consumer: &str, started: Option<i64>) -> Running {
        Running { consumer: consumer.to_owned(), started }
    }

    fn why(running: &[Running], logins: &[i64]) -> Vec<(String, Why)> {
        let behind = judge(running, logins, 100).err().unwrap_or_default();
        behind.into_iter().map(|behind| (behind.consumer, behind.why)).collect()
    }

    #[test]
    fn a_consumer_is_believed_by_its_start_and_a_login_after_it() {
        let one = [running("web@n1", Some(150))];
        assert_eq!(judge(&one, &[160], 100).unwrap()[0].login, 160);
        for (running, logins, expected) in [
            (running("web@n1", None), vec![160], Why::Stopped),
            (running("web@n1", Some(100)), vec![160], Why::NotRestarted),
            (running("web@n1", Some(150)), vec![], Why::NoLogin),
            (running("web@n1", Some(150)), vec![120, 150], Why::NoLogin),
        ] {
            assert_eq!(why(&[running], &logins), [("web@n1".to_owned(), expected)]);
        }
    }

    #[test]
    fn one_login_is_not_two_consumers() {
        let both = [running("api@n1", Some(150)), running("web@n1", Some(170))];
        assert_eq!(why(&both, &[180]), [("api@n1".to_owned(), Why::NoLogin)]);
        assert_eq!(why(&both, &[160, 165]), [("web@n1".to_owned(), Why::NoLogin)]);
        assert!(judge(&both, &[160, 180], 100).is_ok());
    }

    proptest! {
        /// Compared with every way of giving each consumer a login of its own.
        #[test]
        fn believed_exactly_where_each_can_have_its_own_login(
            starts in proptest::collection::vec(101_i64..120, 0..5),
            logins in proptest::collection::vec(95_i64..125, 0..5),
        ) {
            let running: Vec<_> = starts.iter().enumerate().map(|(n, at)| running(&n.to_string(), Some(*at))).collect();
            let judged = judge(&running, &logins, 100).is_ok();
            prop_assert_eq!(judged, possible(&starts, &logins));
        }
    }

    fn possible(starts: &[i64], logins: &[i64]) -> bool {
        let Some((first, rest)) = starts.split_first() else { return true };
        (0..logins.len()).filter(|n| logins[*n] > *first).any(|n| {
            let others: Vec<i64> = logins.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, at)| *at).collect();
            possible(rest, &others)
        })
    }
}
