//! Searching a stream in bounded memory: chunk by chunk, white space left out, needles found across chunk borders.

use super::{encoding::is_space, needles::Needles};
use std::io::{self, ErrorKind, Read};

/// A needle in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Which pattern.
    pub pattern: usize,
    /// Where its first byte is in the stream.
    pub offset: u64,
}

/// Reads to the end and tells every hit, in the order of where they end. Returns how many bytes were read.
pub(super) fn search(needles: &Needles, from: &mut dyn Read, tell: &mut dyn FnMut(Hit)) -> io::Result<u64> {
    let mut window = Window { text: Vec::new(), runs: Vec::new(), searched: 0 };
    let mut chunk = vec![0; CHUNK];
    let mut read = 0_u64;
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok(read),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        window.take_in(&chunk[..count], read);
        read += count as u64;
        window.search(needles, tell);
        window.forget_all_but(needles.longest.saturating_sub(1));
    }
}

/// The part of the stream that can still belong to a needle, without its white space.
struct Window {
    text: Vec<u8>,
    /// Where each run of the text was in the stream: its start in the text, and there.
    runs: Vec<(usize, u64)>,
    /// How much of the text was searched before.
    searched: usize,
}

impl Window {
    fn take_in(&mut self, chunk: &[u8], at: u64) {
        let mut offset = at;
        for run in chunk.split(|byte| is_space(*byte)) {
            if !run.is_empty() {
                self.runs.push((self.text.len(), offset));
                self.text.extend_from_slice(run);
            }
            offset += run.len() as u64 + 1;
        }
    }

    fn search(&mut self, needles: &Needles, tell: &mut dyn FnMut(Hit)) {
        let Some(automaton) = &needles.automaton else { return };
        for found in automaton.find_overlapping_iter(&self.text) {
            if found.end() <= self.searched {
                continue;
            }
            let (first, last) = (self.offset(found.start()), self.offset(found.end() - 1));
            // A few letters with spaces between them are chance, not a leak.
            if found.len() < LONG_ENOUGH_TO_WRAP && last - first != found.len() as u64 - 1 {
                continue;
            }
            tell(Hit { pattern: found.pattern().as_usize(), offset: first });
        }
        self.searched = self.text.len();
    }

    fn offset(&self, at: usize) -> u64 {
        let run = self.runs.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        let (start, offset) = self.runs[run];
        offset + (at - start) as u64
    }

    fn forget_all_but(&mut self, kept: usize) {
        let gone = self.text.len().saturating_sub(kept);
        if gone == 0 {
            return;
        }
        let first = self.runs.partition_point(|(start, _)| *start <= gone).saturating_sub(1);
        self.runs.drain(..first);
        for (start, offset) in &mut self.runs {
            // The first run may have begun in what is forgotten.
            *offset += gone.saturating_sub(*start) as u64;
            *start = start.saturating_sub(gone);
        }
        self.text.drain(..gone);
        self.searched = self.text.len();
    }
}

/// How much is read at once.
pub(super) const CHUNK: usize = 128 * 1024;
/// A needle of so many characters is found with white space inside it, too.
const LONG_ENOUGH_TO_WRAP: usize = 16;
