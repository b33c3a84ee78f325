//! What HAProxy prints about the servers of a backend.

use crate::drain::Mode;
use std::collections::BTreeMap;

/// A server of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// What the proxy does with it.
    pub(super) mode: Mode,
    /// Whether its checks, where it has any, see it well.
    pub(super) health: Health,
    /// Whether it gets clients at all.
    pub(super) weight: Weight,
    /// Whether it is checked.
    pub(super) checks: Checks,
}

/// Whether a server is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It is.
    Up,
    /// It is not, or not yet, or not for long.
    Other,
}

/// Whether a server has a share of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It has.
    Some,
    /// It has none.
    None,
}

/// Whether the proxy checks a server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// It does.
    On,
    /// It does not, and counts it as well.
    Off,
}

impl State {
    /// Whether new clients are sent there.
    pub(super) fn serves(&self) -> bool {
        self.mode == Mode::Ready && self.health == Health::Up && self.weight == Weight::Some
    }
}

/// The servers of `show servers state`, by name; `None` where it does not read.
pub(super) fn states(text: &str) -> Option<BTreeMap<String, State>> {
    let mut lines = text.lines();
    // The first line is the version of the format.
    (lines.next()?.trim() == "1").then_some(())?;
    let columns: Vec<&str> = lines.next()?.strip_prefix("# ")?.split_whitespace().collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (name, admin, operation) = (column("srv_name")?, column("srv_admin_state")?, column("srv_op_state")?);
    let (weight, check) = (column("srv_uweight")?, column("srv_check_state")?);
    let mut servers = BTreeMap::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u32>().ok();
        let admin = number(admin)?;
        let state = State {
            mode: match admin {
                _ if admin & MAINTENANCE != 0 => Mode::Maintenance,
                _ if admin & DRAIN != 0 => Mode::Drain,
                _ => Mode::Ready,
            },
            health: if number(operation)? == RUNNING { Health::Up } else { Health::Other },
            weight: if number(weight)? > 0 { Weight::Some } else { Weight::None },
            checks: if number(check)? & CHECKED != 0 { Checks::On } else { Checks::Off },
        };
        servers.insert((*words.get(name)?).to_owned(), state);
    }
    Some(servers)
}

/// The sessions that a server has now, and those that wait for it, of `show stat`; `None` where it does not read.
pub(super) fn sessions(text: &str, server: &str) -> Option<u64> {
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next()?.strip_prefix("# ")?.split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (name, queued, current) = (column("svname")?, column("qcur")?, column("scur")?);
    // What stands before these columns are names, which hold no comma.
    let line: Vec<&str> =
        lines.map(|line| line.split(',').collect::<Vec<_>>()).find(|line| line.get(name) == Some(&server))?;
    let number = |at: usize| line.get(at)?.parse::<u64>().ok();
    Some(number(queued)? + number(current)?)
}

/// Forced, inherited, configured, by the resolver, by the host name: each is maintenance.
const MAINTENANCE: u32 = 0x01 | 0x02 | 0x04 | 0x20 | 0x40;
/// Forced or inherited.
const DRAIN: u32 = 0x08 | 0x10;
const RUNNING: u32 = 2;
/// Checks are configured and enabled.
const CHECKED: u32 = 0x04;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATES: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state
3 web 1 w1 127.0.0.1 2 0 1 1 5 15 3 4 6
3 web 2 w2 127.0.0.1 0 8 1 1 5 7 2 0 6
3 web 3 w3 127.0.0.1 2 5 0 1 5 1 0 0 0

";

    #[test]
    fn servers_are_read() {
        let states = states(STATES).unwrap();
        let expected = State { mode: Mode::Ready, health: Health::Up, weight: Weight::Some, checks: Checks::On };
        assert_eq!(states["w1"], expected);
        assert_eq!((states["w2"].mode, states["w2"].health), (Mode::Drain, Health::Other));
        assert_eq!(
            (states["w3"].mode, states["w3"].weight, states["w3"].checks),
            (Mode::Maintenance, Weight::None, Checks::Off)
        );
        assert!(states["w1"].serves() && !states["w2"].serves() && !states["w3"].serves());
    }

    #[test]
    fn sessions_are_counted_with_those_that_wait() {
        let text = "# pxname,svname,qcur,qmax,scur,smax\nweb,w1,1,2,3,4\nweb,w2,0,0,0,0\n\n";
        assert_eq!((sessions(text, "w1"), sessions(text, "w2"), sessions(text, "w3")), (Some(4), Some(0), None));
    }

    proptest! {
        #[test]
        fn what_does_not_read_is_none(text in "\\PC{0,80}", cut in 0..STATES.len()) {
            prop_assert_eq!(states(&text), None);
            let _ = states(&STATES[..cut]);
            let _ = sessions(&text, "w1");
        }
    }
}
