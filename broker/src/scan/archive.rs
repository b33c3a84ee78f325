//! What lies in archives: tar and gzip, one in the other, streamed and never unpacked to a disk.

use std::{
    io::{self, Cursor, Read},
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

/// Looks at the beginning of a stream, and gives the whole stream again.
pub(super) fn look(from: &mut dyn Read) -> io::Result<(Kind, impl Read + '_)> {
    let mut head = Vec::with_capacity(HEAD);
    Read::take(&mut *from, HEAD as u64).read_to_end(&mut head)?;
    let kind = if head.starts_with(&[0x1f, 0x8b, 8]) {
        Kind::Gzip
    } else if head.get(257..262).is_some_and(|magic| magic == b"ustar") {
        Kind::Tar
    } else {
        Kind::Plain
    };
    Ok((kind, Cursor::new(head).chain(from)))
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
/// So much is unpacked of one file, in bytes: what unpacks to more is not there to be read.
const MOST_UNPACKED: u64 = 16 << 30;
