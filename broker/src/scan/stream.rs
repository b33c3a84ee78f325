//! Searching a stream in bounded memory: chunk by chunk, white space left out, needles found across chunk borders.

use super::{needles::Needles, window::Window};
use std::io::{self, ErrorKind, Read};

/// A needle in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Which pattern.
    pub pattern: usize,
    /// What it is here: an index into what the pattern is a form of.
    pub of: usize,
    /// Where its first byte is in the stream.
    pub offset: u64,
}

/// Reads to the end and tells every hit, in the order of where they end. Returns how many bytes were read.
pub(super) fn search(needles: &Needles, from: &mut dyn Read, tell: &mut dyn FnMut(Hit)) -> io::Result<u64> {
    let mut searched = Searched { window: Window::new(), text: 0, folded: false };
    let mut chunk = vec![0; CHUNK];
    // A backslash at the end is held back, at the beginning of the chunk, till it is seen what follows.
    let (mut read, mut held) = (0_u64, 0);
    loop {
        let count = match from.read(&mut chunk[held..]) {
            Ok(0) => 0,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (at, whole) = (read - held as u64, held + count);
        read += count as u64;
        held = usize::from(count > 0 && chunk[whole - 1] == b'\\');
        searched.window.take_in(&chunk[..whole - held], at);
        searched.search(needles, tell);
        if count == 0 {
            return Ok(read);
        }
        chunk[0] = b'\\';
    }
}

/// A window, and how much of its text was searched before.
struct Searched {
    window: Window,
    text: usize,
    /// Whether it was known that a line was folded at the end of that.
    folded: bool,
}

impl Searched {
    fn search(&mut self, needles: &Needles, tell: &mut dyn FnMut(Hit)) {
        let Some(automaton) = &needles.automaton else { return };
        let known_since = !self.folded && self.window.is_folded(self.text);
        for found in automaton.find_overlapping_iter(&self.window.text) {
            let again = found.end() == self.text && known_since;
            if found.end() <= self.text && !again {
                continue;
            }
            let pattern = found.pattern().as_usize();
            for (of, meaning) in needles.patterns[pattern].of.iter().enumerate() {
                if (!again || meaning.ends_folded()) && meaning.is_at(&self.window, found.start(), found.end()) {
                    tell(Hit { pattern, of, offset: self.window.offset(found.start()) });
                }
            }
        }
        self.forget_all_but(needles.longest);
    }

    fn forget_all_but(&mut self, kept: usize) {
        self.window.forget_all_but(kept);
        self.text = self.window.text.len();
        self.folded = self.window.is_folded(self.text);
    }
}

/// How much is read at once.
pub(super) const CHUNK: usize = 128 * 1024;
