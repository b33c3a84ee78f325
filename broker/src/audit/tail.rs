//! The end of a log, found from behind: a log has no bound, and what is read at a start has.

use super::{head::Head, line::Sealed, verify};
use std::{cmp::Ordering, fs::File, io, os::unix::fs::FileExt, path::Path};

/// How a log ends.
#[derive(Debug)]
pub(super) struct Last {
    /// Its last line that can be read; none where there is none.
    pub(super) line: Option<Sealed>,
    /// What stands behind that line: what a crash has cut short, if anything.
    pub(super) cut: Vec<u8>,
    /// Whether what stands there is ended, so that the next line begins on its own.
    pub(super) ended: bool,
}

impl Last {
    /// Whether the last line is as it was written, the log goes as far as its head says, and behind it stands nothing but
    /// what a crash has cut short.
    pub(super) fn holds(&self, head: Option<&Head>) -> bool {
        let whole = self.line.as_ref().is_none_or(|last| last.line.hash().is_ok_and(|again| again == last.hash));
        let sequence = self.line.as_ref().map_or(0, |last| last.line.sequence);
        let goes_on = head.is_none_or(|head| match sequence.cmp(&head.sequence) {
            Ordering::Less => false,
            Ordering::Equal => self.line.as_ref().is_none_or(|last| last.hash == head.hash),
            Ordering::Greater => true,
        });
        let mut behind = self.cut.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        whole && goes_on && behind.all(verify::is_beginning)
    }
}

/// Reads as much from the end as it takes to find a whole line.
pub(super) fn last(path: &Path) -> io::Result<Last> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut window = WINDOW;
    loop {
        let from = length.saturating_sub(window);
        let mut bytes = vec![0; usize::try_from(length - from).map_err(|_| io::ErrorKind::FileTooLarge)?];
        file.read_exact_at(&mut bytes, from)?;
        // The first part may be the end of a line that begins before it.
        let begin =
            if from == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| n + 1) };
        let mut end = bytes.len();
        while end > begin {
            let start = bytes[begin..end].iter().rposition(|byte| *byte == b'\n').map_or(begin, |n| begin + n + 1);
            if let Ok(sealed) = serde_json::from_slice::<Sealed>(&bytes[start..end]) {
                let ended = bytes.ends_with(b"\n");
                let cut = bytes.get(end + 1..).unwrap_or_default().to_vec();
                return Ok(Last { line: Some(sealed), cut, ended });
            }
            end = start.saturating_sub(1).max(begin);
            if start == begin {
                break;
            }
        }
        if from == 0 {
            let ended = bytes.is_empty() || bytes.ends_with(b"\n");
            return Ok(Last { line: None, cut: bytes, ended });
        }
        window *= 4;
    }
}

const WINDOW: u64 = 64 << 10;
