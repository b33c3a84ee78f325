//! Reading the audit log again: does every line follow from the one before?

use super::{
    head::Head,
    line::{Line, NOTHING_BEFORE, Sealed},
};
use sha2::{Digest, Sha256};

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

/// Follows the chain through the bytes of a log, whatever they are, up to where its head says that it went at least.
///
/// What is no line must be the beginning of one that a crash cut short: the last of the log, or named by the line behind it,
/// which is the first after a start.
pub fn chain(text: &[u8], head: Option<&Head>) -> Result<End, Broken> {
    let mut end = End::default();
    let mut cut: Option<(usize, usize)> = None;
    let (mut start, mut lines) = (0, 0);
    for (i, bytes) in text.split(|b| *b == b'\n').enumerate() {
        let from = start;
        start += bytes.len() + 1;
        if bytes.is_empty() {
            continue;
        }
        lines = i + 1;
        let broken = |what| Broken { number: i + 1, what };
        let Ok(sealed) = serde_json::from_slice::<Sealed>(bytes) else {
            if !is_beginning(bytes) {
                return Err(broken("is no line, and no beginning of one"));
            }
            cut.get_or_insert((i + 1, from));
            end.torn += 1;
            continue;
        };
        let Line { format, sequence, previous, cut: named, .. } = &sealed.line;
        match (cut.take(), named) {
            (None, None) => {}
            (Some((_, begin)), Some(named)) if digest(&text[begin..from]) == *named => {}
            (Some(_), None) if *format < 2 => {}
            (Some((number, _)), _) => {
                return Err(Broken { number, what: "is cut short, and no start of the program has found it so" });
            }
            (None, Some(_)) => return Err(broken("names a line that was cut short before it, and there is none")),
        }
        if *sequence != end.sequence + 1 {
            return Err(broken("is out of sequence: lines are missing or were added"));
        }
        if previous != end.hash.as_deref().unwrap_or(NOTHING_BEFORE) {
            return Err(broken("does not follow from the line before"));
        }
        if sealed.line.hash().map_err(|_| broken("cannot be hashed"))? != sealed.hash {
            return Err(broken("was changed: its hash is another"));
        }
        if head.is_some_and(|head| head.sequence == *sequence && head.hash != sealed.hash) {
            return Err(broken("is another than the one that was written"));
        }
        end.sequence = *sequence;
        end.hash = Some(sealed.hash);
    }
    if head.is_some_and(|head| head.sequence > end.sequence) {
        return Err(Broken { number: lines + 1, what: "is missing: the log went on, and its end was taken away" });
    }
    Ok(end)
}

/// Whether a crash can have left this of a line. Of what the disk had not taken yet, some file systems leave zeros.
pub(super) fn is_beginning(bytes: &[u8]) -> bool {
    let written = &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
    written.starts_with(BEGINNING) || BEGINNING.starts_with(written)
}

/// The name of what was cut short, without the line's end that was put behind it.
pub(super) fn digest(cut: &[u8]) -> String {
    let whole = cut.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
    hex::encode(Sha256::digest(&cut[..whole]))
}

const BEGINNING: &[u8] = br#"{"line":{"format":"#;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = chain(&bytes, None);
        }
    }
}
