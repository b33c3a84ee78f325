//! The part of a stream that can still belong to a needle, without its white space; and where there was some.

use super::encoding::is_space;

/// Text without white space, and with the lines joined that a backslash at their end folds.
///
/// In the double quotes of YAML and of a shell a line that is too long may end with a backslash; YAML puts one before a
/// space that begins the next line. Neither belongs to the text.
pub(super) struct Window {
    pub(super) text: Vec<u8>,
    runs: Vec<Run>,
    /// Where in the text lines were joined.
    folds: Vec<usize>,
    /// What lies between the last byte and the next.
    gap: Gap,
    /// Whether that began with a fold.
    folded: bool,
}

/// A part of the text that had no white space in it.
struct Run {
    /// Its start in the text.
    start: usize,
    /// Its start in the stream.
    offset: u64,
    /// What lies before it.
    gap: Gap,
}

/// White space between two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Gap {
    /// How many bytes.
    length: u32,
    /// Which, in a sum: one that is equal and as long is the same.
    sum: u32,
    /// Up to and with the first line end, how many bytes; 0 where none ends in it.
    line: u32,
}

/// White space in a needle: after how many of its other bytes.
pub(super) type Gaps = Box<[(usize, Gap)]>;

/// What may lie between the bytes of a short needle that has no white space there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    Nothing,
    /// As in base64.
    Lines,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), runs: Vec::new(), folds: Vec::new(), gap: Gap::default(), folded: false }
    }

    /// Takes the next bytes, which lie at an offset of the stream. Where the stream goes on, they do not end with a
    /// backslash: what it says is seen by what comes next.
    pub(super) fn take_in(&mut self, chunk: &[u8], at: u64) {
        let mut start = 0;
        while start < chunk.len() {
            let run = chunk[start..].iter().position(|byte| is_space(*byte)).unwrap_or(chunk.len() - start);
            let end = start + run;
            match &chunk[start..end] {
                [] => {}
                // Most are like this: white space before them, and none of the marks of a fold.
                run if self.gap.length > 0 && !self.folded && !matches!(run, [.., b'\\']) => {
                    self.begin(at + start as u64);
                    self.text.extend_from_slice(run);
                }
                run => self.run(run, chunk.get(end).copied(), at + start as u64),
            }
            let spaces = chunk[end..].iter().position(|byte| !is_space(*byte)).unwrap_or(chunk.len() - end);
            match chunk[end..end + spaces] {
                [b' '] if self.gap.length == 0 => self.gap = ONE_SPACE,
                ref spaces => spaces.iter().for_each(|space| self.gap.add(*space)),
            }
            start = end + spaces;
        }
    }

    /// A run begins behind white space.
    fn begin(&mut self, offset: u64) {
        self.runs.push(Run { start: self.text.len(), offset, gap: self.gap });
        self.gap = Gap::default();
    }

    fn run(&mut self, run: &[u8], next: Option<u8>, offset: u64) {
        if (self.folded || self.gap.has_line()) && run == b"\\" && next == Some(b' ') {
            self.folds.push(self.text.len());
            return;
        }
        self.folded = matches!(next, Some(b'\n' | b'\r')) && is_escaping(run) != self.goes_on_escaped(run);
        let kept = &run[..run.len() - usize::from(self.folded)];
        if !kept.is_empty() {
            // A run may go on in the next chunk.
            if self.gap.length > 0 || self.runs.is_empty() {
                self.begin(offset);
            }
            self.text.extend_from_slice(kept);
        }
        if self.folded {
            self.folds.push(self.text.len());
        }
    }

    /// Whether nothing but backslashes follow on one that escapes the first of them, in an earlier chunk.
    fn goes_on_escaped(&self, run: &[u8]) -> bool {
        self.gap.length == 0 && run.iter().all(|byte| *byte == b'\\') && is_escaping(&self.text)
    }

    /// Where a byte of the text was in the stream.
    pub(super) fn offset(&self, at: usize) -> u64 {
        let run = &self.runs[self.runs.partition_point(|run| run.start <= at).saturating_sub(1)];
        run.offset + (at - run.start) as u64
    }

    /// Whether a line was folded here.
    pub(super) fn is_folded(&self, at: usize) -> bool {
        self.folds.binary_search(&at).is_ok()
    }

    /// Whether white space lies in a part of the text where a needle has it, and nowhere else but as it may.
    pub(super) fn has(&self, (start, end): (usize, usize), gaps: &[(usize, Gap)], between: Between) -> bool {
        let mut gaps = gaps.iter().peekable();
        let first = self.runs.partition_point(|run| run.start <= start);
        for run in self.runs[first..].iter().take_while(|run| run.start < end) {
            let there = match gaps.next_if(|(at, _)| start + at == run.start) {
                Some((_, gap)) => gap.reads_like(run.gap),
                None => (between == Between::Lines && run.gap.has_line()) || self.ends_a_line(run.start),
            };
            if !there && !self.is_folded(run.start) {
                return false;
            }
        }
        gaps.peek().is_none()
    }

    /// Whether a line ends here by a character that is no white space in this text: YAML indents the next one.
    fn ends_a_line(&self, at: usize) -> bool {
        ["\u{85}", "\u{2028}", "\u{2029}"].iter().any(|end| self.text[..at].ends_with(end.as_bytes()))
    }

    /// The white space inside: not that before and behind it. And how long all of it is with that.
    pub(super) fn shape(&self) -> (Gaps, u64) {
        let gaps = self.runs.iter().skip(1).filter(|run| !self.is_folded(run.start)).map(|run| (run.start, run.gap));
        let length = match (self.runs.first(), self.text.len()) {
            (Some(first), length @ 1..) => self.offset(length - 1) + 1 - first.offset,
            (Some(_) | None, _) => 0,
        };
        (gaps.collect(), length)
    }

    pub(super) fn forget_all_but(&mut self, kept: usize) {
        let gone = self.text.len().saturating_sub(kept);
        if gone == 0 {
            return;
        }
        let first = self.runs.partition_point(|run| run.start <= gone).saturating_sub(1);
        self.runs.drain(..first);
        for run in &mut self.runs {
            // The first run may have begun in what is forgotten.
            run.offset += gone.saturating_sub(run.start) as u64;
            run.start = run.start.saturating_sub(gone);
        }
        self.folds.retain(|at| *at >= gone);
        self.folds.iter_mut().for_each(|at| *at -= gone);
        self.text.drain(..gone);
    }
}

/// Whether a text ends with a backslash that is no escaped one itself.
pub(super) fn is_escaping(text: &[u8]) -> bool {
    text.last() == Some(&b'\\') && text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

impl Gap {
    fn add(&mut self, space: u8) {
        self.length = self.length.saturating_add(1);
        self.sum = self.sum.wrapping_mul(31).wrapping_add(space.into());
        if space == b'\n' && !self.has_line() {
            self.line = self.length;
        }
    }

    fn has_line(self) -> bool {
        self.line > 0
    }

    /// The same; or a line ends there, where a value may be folded: at a space, or where its own lines end.
    fn reads_like(self, found: Self) -> bool {
        self == found || (found.has_line() && (self.has_line() || found.line >= self.length))
    }
}

const ONE_SPACE: Gap = Gap { length: 1, sum: b' ' as u32, line: 0 };
