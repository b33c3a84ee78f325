//! Who can bring the Vault back: this host alone, or k of n custodians.

use crate::transfer::bundle::{RecipientError, Recipients};
use age::x25519;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Who holds the unseal shares.
#[derive(Debug, Clone)]
pub enum Custody {
    /// One share, encrypted to an identity that this host keeps.
    Host,
    /// One share each, of which `threshold` unseal.
    Custodians {
        /// The custodians, in the order of their shares.
        recipients: Recipients,
        /// How many it takes.
        threshold: u8,
    },
}

/// Which of the two, without who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// This host.
    Host,
    /// Custodians.
    Custodians,
}

/// The custodians do not fit the threshold, or cannot be custodians.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// A key is none.
    #[error("a custodian's key cannot be used")]
    Recipient(#[from] RecipientError),
    /// One person is named twice, and would have a single share.
    #[error("a custodian is named twice")]
    Twice,
    /// A share of which one opens all is not shared; more than there are can never meet.
    #[error(
        "a threshold of {threshold} does not fit {count} custodian{s}: {may}",
        s = if *count == 1 { "" } else { "s" },
        may = if *count == 1 { "1".to_owned() } else { format!("from 2 to {count}") }
    )]
    Threshold {
        /// What was asked for.
        threshold: u32,
        /// How many custodians there are.
        count: usize,
    },
}

impl Custody {
    /// Custodians by their age keys. Without a threshold, more than half of them.
    pub fn custodians<'a>(
        keys: impl IntoIterator<Item = &'a str>,
        threshold: Option<u32>,
    ) -> Result<Self, CustodyError> {
        let keys: Vec<&str> = keys.into_iter().collect();
        let recipients = Recipients::parse(keys.iter().copied())?;
        let count = recipients.count();
        if count != keys.len() {
            return Err(CustodyError::Twice);
        }
        let threshold = threshold.unwrap_or_else(|| u32::try_from(count / 2 + 1).unwrap_or(u32::MAX));
        let refused = || CustodyError::Threshold { threshold, count };
        let fits = if count == 1 { threshold == 1 } else { (2..=count).contains(&(threshold as usize)) };
        let threshold = u8::try_from(threshold).ok().filter(|_| fits && count <= 255).ok_or_else(refused)?;
        Ok(Self::Custodians { recipients, threshold })
    }

    /// Which of the two it is.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Host => Mode::Host,
            Self::Custodians { .. } => Mode::Custodians,
        }
    }

    /// How many shares there are, and how many unseal.
    pub fn shares(&self) -> (usize, usize) {
        match self {
            Self::Host => (1, 1),
            Self::Custodians { recipients, threshold } => (recipients.count(), usize::from(*threshold)),
        }
    }

    /// The custodians' keys, in the order of their shares; none for this host.
    pub fn keys(&self) -> Vec<String> {
        match self {
            Self::Host => Vec::new(),
            Self::Custodians { recipients, .. } => recipients.texts().collect(),
        }
    }
}

/// Reads a key that was checked when it was written down.
pub(super) fn recipient(key: &str) -> Result<x25519::Recipient, RecipientError> {
    x25519::Recipient::from_str(key).map_err(|_| RecipientError::Refused {
        recipient: key.chars().take(80).collect(),
        kind: "no age X25519 recipient",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_that_share_nothing_or_can_never_meet_are_refused() {
        let keys: Vec<String> = (0..3).map(|_| x25519::Identity::generate().to_public().to_string()).collect();
        let custody = |n: usize, threshold| Custody::custodians(keys[..n].iter().map(String::as_str), threshold);
        assert_eq!(custody(3, None).unwrap().shares(), (3, 2));
        assert_eq!(custody(1, None).unwrap().shares(), (1, 1));
        assert_eq!(custody(3, Some(3)).unwrap().shares(), (3, 3));
        for (count, threshold) in [(3, 0), (3, 1), (3, 4), (1, 2), (3, 70_000)] {
            assert!(
                matches!(custody(count, Some(threshold)), Err(CustodyError::Threshold { .. })),
                "{threshold}/{count}"
            );
        }
        assert!(matches!(custody(0, None), Err(CustodyError::Recipient(_))));
        let twice = [&keys[0], &keys[1], &keys[0]].map(String::as_str);
        assert!(matches!(Custody::custodians(twice, None), Err(CustodyError::Twice)));
    }
}
