//! Covering values in a stream: as they are, in base64 and hex, percent-encoded, escaped and quoted, across any borders of writes
//! and where base64 and hex are wrapped into lines, as `base64`, `openssl base64` and `xxd -p` do it.

use crate::scan::encoding::{Form, SHORTEST_COVERED, written};
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
    /// Covers these values, and each longer line of those that have several. What is shorter than [`SHORTEST`] bytes is not covered.
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

    /// Where the last bytes of a text may be the beginning of a needle that goes on; `run` is what its first line began with.
    fn unfinished(&self, text: &[u8], run: usize) -> usize {
        let joined = Joined::of(text, run);
        let of_joined = self.unfinished_in(&joined.text);
        let begins = joined.places.get(of_joined).copied().unwrap_or(text.len());
        self.unfinished_in(text).min(begins)
    }

    fn unfinished_in(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |at: &usize| {
            let end = &text[*at..];
            let next = self.needles.partition_point(|needle| needle.as_slice() <= end);
            self.needles.get(next).is_some_and(|needle| needle.starts_with(end))
        };
        (first..text.len()).find(begins).unwrap_or(text.len())
    }

    /// The parts of a text that are to be covered, in order, none lying in another.
    fn covered(&self, text: &[u8], run: usize, before: usize) -> Vec<Range<usize>> {
        let in_text = |text| self.automaton.iter().flat_map(move |automaton| automaton.find_overlapping_iter(text));
        let mut ranges: Vec<Range<usize>> = in_text(text).map(|found| found.range()).collect();
        let joined = Joined::of(text, run);
        if joined.text.len() < text.len() {
            // Both ends are bytes of the needle, which is not empty.
            let place = |at: usize| joined.places.get(at).copied().unwrap_or(text.len());
            ranges.extend(in_text(&joined.text).map(|found| place(found.start())..place(found.end() - 1) + 1));
        }
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

/// A text without the line breaks by which an encoding was wrapped.
struct Joined {
    text: Zeroizing<Vec<u8>>,
    /// Where each byte of it stood.
    places: Vec<usize>,
}

impl Joined {
    /// A line that ends in so many characters of an encoding as nobody writes otherwise goes on in the next; `run` of them came
    /// before this text.
    fn of(text: &[u8], mut run: usize) -> Self {
        let mut joined = Self { text: Zeroizing::new(Vec::with_capacity(text.len())), places: Vec::new() };
        joined.places.reserve(text.len());
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'\r' | b'\n' if run >= SHORTEST_WRAPPED => {
                    // After the one comes the other, or the next line.
                    run = if *byte == b'\r' { run } else { 0 };
                    continue;
                }
                _ => run = after(run, *byte),
            }
            joined.text.push(*byte);
            joined.places.push(at);
        }
        joined
    }
}

/// How many characters of an encoding a line ends in.
fn after(run: usize, byte: u8) -> usize {
    if byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte) { run + 1 } else { 0 }
}

/// A stream that is being covered.
pub struct Covering<'a> {
    mask: &'a Mask,
    held: Zeroizing<Vec<u8>>,
    /// How much of what is held is covered already.
    covered: usize,
    /// In how many characters of an encoding what was passed on ends.
    run: usize,
}

impl<'a> Covering<'a> {
    /// One at its beginning.
    pub fn new(mask: &'a Mask) -> Self {
        Self { mask, held: Zeroizing::default(), covered: 0, run: 0 }
    }

    /// Takes what was written, and gives what can be passed on. What may be the beginning of a value is held back.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let until = self.mask.unfinished(&self.held, self.run);
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
        for range in self.mask.covered(&self.held, self.run, self.covered) {
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
        // A line break in what is passed on may be one that what is held goes on after.
        self.run = self.held[..until].iter().fold(self.run, |run, byte| after(run, *byte));
        self.held.drain(..until);
        self.covered = over;
        out
    }
}

/// The bytes of the shortest value that is covered.
pub const SHORTEST: usize = SHORTEST_COVERED;
const STARS: &[u8] = b"********";
/// A shorter line of a longer value says nothing.
const SHORTEST_LINE: usize = 8;
/// `xxd -p` writes the shortest lines.
const SHORTEST_WRAPPED: usize = 60;

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

    /// As a program of this width wraps it, after so many characters of something else.
    fn wrapped(encoded: &str, width: usize, before: usize, end: &str) -> String {
        let all = "z".repeat(before) + encoded;
        let lines: Vec<&str> = all.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join(end) + end
    }

    #[test]
    fn what_is_wrapped_into_lines_is_covered_whatever_stands_before_it() {
        let value: String = ('!'..='z').cycle().step_by(7).take(120).collect();
        let encoded = [base64(&value), value.bytes().map(|byte| format!("{byte:02x}")).collect()];
        let mask = mask(&[&value]);
        for (encoded, width) in [(&encoded[0], 76), (&encoded[0], 64), (&encoded[1], 60)] {
            for (before, end) in (0..width).step_by(3).map(|before| (before, "\n")).chain([(1, "\r\n")]) {
                // Of base64, three bytes at a time stand before it.
                let text = wrapped(encoded, width, before / 4 * 4, end);
                for size in [1, 7, text.len()] {
                    let writes: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                    let out = through(&mask, &writes);
                    let shown = out.replace(['\r', '\n'], "").replace("********", "").trim_start_matches('z').len();
                    assert!(shown <= 3, "{width} {before} {size}: {text}{out}");
                }
            }
        }
        // A line of a program is passed on at once.
        let mut covering = Covering::new(&mask);
        let line = format!("{}\n", &value[..5]);
        assert_eq!(covering.pass(line.as_bytes()), line.as_bytes());
    }

    fn base64(text: &str) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(text)
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
