//! What lies in archives: tar and gzip, one in the other, streamed and never unpacked to a disk.

use std::{
    io::{self, Read},
    path::Path,
};

/// What a stream begins like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// gzip.
    Gzip,
    /// tar.
    Tar,
    /// Anything else.
    Plain,
}

/// A stream that can be looked at before it is read.
pub(super) struct Peeked<'a> {
    from: &'a mut dyn Read,
    head: Vec<u8>,
    /// How much of the head was read.
    at: usize,
}

impl<'a> Peeked<'a> {
    pub(super) fn new(from: &'a mut dyn Read) -> Self {
        Self { from, head: Vec::with_capacity(HEAD), at: 0 }
    }

    /// What it goes on like.
    pub(super) fn kind(&mut self) -> io::Result<Kind> {
        self.look()?;
        Ok(if self.head.starts_with(&[0x1f, 0x8b, 8]) {
            Kind::Gzip
        } else if is_tar(&self.head) {
            Kind::Tar
        } else {
            Kind::Plain
        })
    }

    /// Passes over the zeros behind an archive, by blocks. Whether anything follows.
    pub(super) fn passes_zeros(&mut self) -> io::Result<bool> {
        loop {
            self.look()?;
            if self.head.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            if self.head.is_empty() {
                return Ok(false);
            }
            self.head.clear();
        }
    }

    fn look(&mut self) -> io::Result<()> {
        self.head.drain(..self.at);
        self.at = 0;
        let more = HEAD - self.head.len();
        Read::take(&mut *self.from, more as u64).read_to_end(&mut self.head).map(drop)
    }
}

impl Read for Peeked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.head[self.at..] {
            [] => self.from.read(into),
            head => {
                let count = head.len().min(into.len());
                into[..count].copy_from_slice(&head[..count]);
                self.at += count;
                Ok(count)
            }
        }
    }
}

/// A header of tar by its magic or, of before there was one, by its checksum (POSIX.1-1988, `chksum`: the sum of all bytes, those
/// of the field itself counted as blanks).
fn is_tar(head: &[u8]) -> bool {
    if head.get(257..262).is_some_and(|magic| magic == b"ustar") {
        return true;
    }
    let Some(field) = head.get(CHECKSUM).filter(|_| head.len() == HEAD && head[0] != 0) else { return false };
    let digits: String = field.iter().map(|byte| char::from(*byte)).filter(|c| !matches!(c, '\0' | ' ')).collect();
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    u32::from_str_radix(&digits, 8) == Ok(sum - own + 8 * u32::from(b' '))
}

/// What may still be unpacked of one file.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    /// All of it.
    pub(super) fn new() -> Self {
        Self { left: MOST_UNPACKED }
    }
}

/// A stream that ends with an error once too much has come out of it.
pub(super) struct Bounded<'a, R> {
    pub(super) from: R,
    pub(super) budget: &'a mut Budget,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.budget.left = self.budget.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MOST_UNPACKED} bytes come out of it"))
        })?;
        Ok(count)
    }
}

/// The name of a member, for people.
pub(super) fn name(path: io::Result<std::borrow::Cow<'_, Path>>) -> String {
    path.map_or_else(|_| "?".to_owned(), |path| path.display().to_string())
}

/// So deep may archives lie in each other.
pub(super) const DEEPEST: usize = 8;
/// As much as a tar header.
const HEAD: usize = 512;
/// Where in it its checksum is.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// So much is unpacked of one file, in bytes: what unpacks to more is not there to be read.
pub(super) const MOST_UNPACKED: u64 = 16 << 30;
