//! Covering values in a stream: as they are, in base64 and hex, percent-encoded, escaped and quoted, across any borders of writes.

use crate::scan::encoding::{Form, written};
use aho_corasick::{AhoCorasick, MatchKind};
use donjon_drivers::material::Material;
use std::ops::Range;
use zeroize::Zeroizing;

/// What is covered.
pub struct Mask {
    automaton: Option<AhoCorasick>,
    /// In the order of their bytes.
    needles: Vec<Form>,
    longest: usize,
}

/// The values could not be made into an automaton.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("there is too much to cover")]
pub struct TooMuch;

impl Mask {
    /// Covers these values, and each longer line of those that have several. What is shorter than four bytes is not covered.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a Material>) -> Result<Self, TooMuch> {
        let mut needles = Vec::new();
        for value in values {
            let bytes = value.expose(); // EXPOSE: encoded into forms that are wiped
            needles.extend(written(bytes));
            let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            let telling = |line: &&&[u8]| line.len() >= SHORTEST_LINE && !line.starts_with(b"-----");
            if lines.len() > 1 {
                lines.iter().filter(telling).for_each(|line| needles.extend(written(line)));
            }
        }
        needles.sort_unstable_by(|a, b| a.as_slice().cmp(b.as_slice()));
        needles.dedup_by(|a, b| **a == **b);
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
        let build =
            || AhoCorasick::builder().match_kind(MatchKind::Standard).build(needles.iter().map(|n| n.as_slice()));
        let automaton = if needles.is_empty() { None } else { Some(build().map_err(|_| TooMuch)?) };
        Ok(Self { automaton, needles, longest })
    }

    /// Where the last bytes of a text may be the beginning of a needle that goes on.
    fn unfinished(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |at: &usize| {
            let end = &text[*at..];
            let next = self.needles.partition_point(|needle| needle.as_slice() <= end);
            self.needles.get(next).is_some_and(|needle| needle.starts_with(end))
        };
        (first..text.len()).find(begins).unwrap_or(text.len())
    }

    /// The parts of a text that are to be covered, in order, none lying in another.
    fn covered(&self, text: &[u8], before: usize) -> Vec<Range<usize>> {
        let found = self.automaton.iter().flat_map(|automaton| automaton.find_overlapping_iter(text));
        let mut ranges: Vec<Range<usize>> = found.map(|found| found.range()).collect();
        if before > 0 {
            ranges.push(0..before);
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let mut whole: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match whole.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                Some(_) | None => whole.push(range),
            }
        }
        whole
    }
}

/// A stream that is being covered.
pub struct Covering<'a> {
    mask: &'a Mask,
    held: Zeroizing<Vec<u8>>,
    /// How much of what is held is covered already.
    covered: usize,
}

impl<'a> Covering<'a> {
    /// One at its beginning.
    pub fn new(mask: &'a Mask) -> Self {
        Self { mask, held: Zeroizing::default(), covered: 0 }
    }

    /// Takes what was written, and gives what can be passed on. What may be the beginning of a value is held back.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let until = self.mask.unfinished(&self.held);
        self.give(until)
    }

    /// Gives the rest: nothing will follow.
    pub fn end(&mut self) -> Vec<u8> {
        self.give(self.held.len())
    }

    fn give(&mut self, until: usize) -> Vec<u8> {
        if until == 0 {
            // What is covered of it already stays so.
            return Vec::new();
        }
        let mut out = Vec::with_capacity(until);
        let (mut at, mut over) = (0, 0);
        for range in self.mask.covered(&self.held, self.covered) {
            if range.start >= until {
                // It begins in what is held, and is found there again.
                break;
            }
            out.extend_from_slice(&self.held[at..range.start]);
            // What was covered up to here had its stars before.
            if range.start > 0 || self.covered == 0 {
                out.extend_from_slice(STARS);
            }
            at = range.end.min(until);
            over = range.end.saturating_sub(until);
        }
        out.extend_from_slice(&self.held[at.min(until)..until]);
        self.held.drain(..until);
        self.covered = over;
        out
    }
}

const STARS: &[u8] = b"********";
/// A shorter line of a longer value says nothing.
const SHORTEST_LINE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(values: &[&str]) -> Mask {
        let values: Vec<Material> = values.iter().map(|value| Material::from((*value).to_owned())).collect();
        Mask::of(&values).unwrap()
    }

    fn through(mask: &Mask, writes: &[&[u8]]) -> String {
        let mut covering = Covering::new(mask);
        let mut out: Vec<u8> = writes.iter().flat_map(|write| covering.pass(write)).collect();
        out.extend(covering.end());
        String::from_utf8_lossy(&out).into_owned()
    }

    const VALUE: &str = "p4ss/w0rd \"x\"";

    #[test]
    fn every_form_is_covered_and_nothing_else() {
        let mask = mask(&[VALUE, "abcd", "xyz"]);
        let text = "plain p4ss/w0rd \"x\"; url p4ss%2Fw0rd%20%22x%22; json \"p4ss/w0rd \\\"x\\\"\"; b64 cDRzcy93MHJkICJ4Ig==; hex 703473732f773072642022782220; xyz abc abcd";
        assert_eq!(
            through(&mask, &[text.as_bytes()]),
            "plain ********; url ********; json \"********\"; b64 ********g==; hex ********20; xyz abc ********"
        );
    }

    #[test]
    fn what_cannot_become_a_value_is_not_held_back() {
        let mask = mask(&[VALUE]);
        let mut covering = Covering::new(&mask);
        assert_eq!(covering.pass(b"continue? "), b"continue? ");
        assert_eq!(covering.pass(b"p4ss"), b"");
        assert_eq!(covering.pass(b"port"), b"p4ssport");
    }

    #[test]
    fn values_that_lie_in_each_other_are_covered_whole() {
        let mask = mask(&["abcdef", "defghi", "abcdefghijkl"]);
        assert_eq!(through(&mask, &[b"-abcdefghi-"]), "-********-");
        assert_eq!(through(&mask, &[b"-abcde", b"fgh", b"i", b"-"]), "-********-");
        let key = mask_of_lines();
        assert_eq!(through(&key, &[b"    line-number-two\n"]), "    ********\n");
    }

    fn mask_of_lines() -> Mask {
        mask(&["-----BEGIN KEY-----\nline-number-one\nline-number-two\n"])
    }

    proptest! {
        #[test]
        fn no_border_of_writes_lets_a_value_through(cuts in proptest::collection::vec(1usize..8, 0..40), before in "[a-f \"]{0,12}", after in "[a-f \"]{0,12}") {
            let mask = mask(&[VALUE, "aaaa", "abab"]);
            let text = format!("{before}{VALUE}{after}{VALUE}aaaaabab{before}");
            let (mut writes, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (write, more) = rest.split_at(cut.min(rest.len()));
                writes.push(write);
                rest = more;
            }
            writes.push(rest);
            let out = through(&mask, &writes);
            prop_assert_eq!(&out, &through(&mask, &[text.as_bytes()]));
            prop_assert!(!out.contains(VALUE) && !out.contains("aaaa") && !out.contains("abab"));
        }
    }
}
