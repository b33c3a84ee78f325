//! Reading the audit log again: does every line follow from the one before?

use super::line::{Line, NOTHING_BEFORE, Sealed};

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct End {
    /// The number of the last line; 0 where there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: Option<String>,
    /// How many lines were cut short by a crash.
    pub torn: u64,
}

/// A line does not follow from the one before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {number} {what}")]
pub struct Broken {
    /// Its place in the file, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The last line is not what it was, and nothing before it says why.
pub(super) const NO_END: Broken = Broken { number: 0, what: "is not the last that was written" };

/// Follows the chain through the bytes of a log, whatever they are.
///
/// A line that is no JSON is one that a crash cut short, as long as the chain goes on behind it without it.
pub fn chain(text: &[u8]) -> Result<End, Broken> {
    let mut end = End::default();
    for (i, bytes) in text.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
        let broken = |what| Broken { number: i + 1, what };
        let Ok(sealed) = serde_json::from_slice::<Sealed>(bytes) else {
            end.torn += 1;
            continue;
        };
        let Line { sequence, previous, .. } = &sealed.line;
        if *sequence != end.sequence + 1 {
            return Err(broken("is out of sequence: lines are missing or were added"));
        }
        if previous != end.hash.as_deref().unwrap_or(NOTHING_BEFORE) {
            return Err(broken("does not follow from the line before"));
        }
        let again = sealed.line.clone().seal().map_err(|_| broken("cannot be hashed"))?;
        if again.hash != sealed.hash {
            return Err(broken("was changed: its hash is another"));
        }
        end.sequence = *sequence;
        end.hash = Some(sealed.hash);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = chain(&bytes);
        }
    }
}
