//! How a credential can change, and what that costs those who use it.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How a credential can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Two valid passwords on one account, as far as the whole path to the target allows it.
    DualPassword,
    /// A second account with the same grants, used alternately.
    DualUser,
    /// Add a key, promote it, prune the old one once nothing it signed or locked is alive.
    Keyring,
    /// Set the new value, then restart the consumers at once: there is no way back but forward.
    Cutover,
    /// Publish, then restart all readers as one.
    Together,
    /// A person does it: refused here, with the reason.
    Operator,
    /// It cannot change without losing data or the cluster: refused.
    Never,
}

/// What a change costs those who use the secret. Ordered: the worse the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// Old and new are valid until every consumer runs on the new one.
    None,
    /// One service fails from the change to its restart.
    OneService,
    /// All readers fail from the first restart to the last.
    AllReaders,
}

/// A word that names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy `{word}`")]
pub struct UnknownStrategy {
    /// The word.
    pub word: String,
}

impl Strategy {
    /// Every strategy, in the order of DESIGN's table.
    pub const ALL: [Strategy; 7] = [
        Strategy::DualPassword,
        Strategy::DualUser,
        Strategy::Keyring,
        Strategy::Cutover,
        Strategy::Together,
        Strategy::Operator,
        Strategy::Never,
    ];

    /// The word for it, in catalogues and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Strategy::DualPassword => "dual-password",
            Strategy::DualUser => "dual-user",
            Strategy::Keyring => "keyring",
            Strategy::Cutover => "cutover",
            Strategy::Together => "together",
            Strategy::Operator => "operator",
            Strategy::Never => "never",
        }
    }

    /// What a change costs, or `None` where a change is refused.
    pub fn outage(self) -> Option<Outage> {
        match self {
            Strategy::DualPassword | Strategy::DualUser | Strategy::Keyring => Some(Outage::None),
            Strategy::Cutover => Some(Outage::OneService),
            Strategy::Together => Some(Outage::AllReaders),
            Strategy::Operator | Strategy::Never => None,
        }
    }

    /// Why a change is refused, for the strategies that refuse it.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Strategy::Operator => Some("a person has to change it, at its owner or together with the data it locks"),
            Strategy::Never => Some("changing it would lose data or the identity of a cluster, or nothing reads it"),
            Strategy::DualPassword
            | Strategy::DualUser
            | Strategy::Keyring
            | Strategy::Cutover
            | Strategy::Together => None,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;
    fn from_str(word: &str) -> Result<Self, UnknownStrategy> {
        Strategy::ALL
            .into_iter()
            .find(|strategy| strategy.word() == word)
            .ok_or_else(|| UnknownStrategy { word: word.to_owned() })
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outage::None => "none",
            Outage::OneService => "one service, until it has restarted",
            Outage::AllReaders => "all readers, until the last has restarted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_reads_as_it_is_written() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.word().parse(), Ok(strategy));
        }
        assert!("dual_password".parse::<Strategy>().is_err());
    }

    #[test]
    fn a_strategy_either_has_an_outage_or_a_refusal() {
        for strategy in Strategy::ALL {
            assert_ne!(strategy.outage().is_some(), strategy.refusal().is_some(), "{strategy}");
        }
    }

    #[test]
    fn the_worst_outage_is_the_greatest() {
        assert_eq!([Outage::AllReaders, Outage::None, Outage::OneService].iter().max(), Some(&Outage::AllReaders));
    }
}
