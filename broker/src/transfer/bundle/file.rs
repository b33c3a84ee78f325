//! A finished bundle's file, and the room where its encrypted part grows.
//!
//! What stands ahead of the encrypted part in the file is signed over that part's digest, so it can only be written once all of
//! the part is there. Until then the part lies in memory while it is short, and in a file without a name once it is long.
//! Either way it is encrypted already.

use super::seal::{FORMAT, LONGEST_ENVELOPE, LONGEST_FILE, MAGIC, SealError};
use crate::audit::LITTLE_ROOM;
use aws_lc_rs::digest::{Context, SHA256};
use donjon_drivers::fs;
use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// Room for bytes that come one after the other.
pub(super) struct Spool {
    held: Held,
    folder: PathBuf,
    length: u64,
    digest: Context,
}

#[derive(Debug)]
enum Held {
    Memory(Vec<u8>),
    /// It has no name, and is gone with its last handle.
    Nameless(File),
}

impl Spool {
    /// Room for about so many bytes; what memory is not to hold goes into this folder.
    pub(super) fn new(about: usize, folder: &Path) -> Self {
        let held = Held::Memory(Vec::with_capacity(about.min(MOST_IN_MEMORY)));
        Self { held, folder: folder.to_path_buf(), length: 0, digest: Context::new(&SHA256) }
    }

    /// How many bytes came.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Their SHA-256.
    pub(super) fn sha256(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.digest.clone().finish().as_ref());
        out
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match &self.held {
            Held::Memory(bytes) => Box::new(&bytes[..]),
            Held::Nameless(file) => {
                let mut file = file;
                file.rewind()?;
                Box::new(file)
            }
        })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Held::Memory(held) = &self.held
            && held.len() + bytes.len() > MOST_IN_MEMORY
        {
            let mut file = tempfile::tempfile_in(&self.folder)?;
            file.write_all(held)?;
            self.held = Held::Nameless(file);
        }
        let count = match &mut self.held {
            Held::Memory(held) => held.write(bytes)?,
            Held::Nameless(file) => {
                // What is left is the audit log's, without which nothing is answered.
                if fs::room(&*file)? < LITTLE_ROOM {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                file.write(bytes)?
            }
        };
        self.digest.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file of a bundle, which is read from its beginning as often as one likes.
pub struct BundleFile {
    head: Vec<u8>,
    payload: Spool,
}

impl BundleFile {
    pub(super) fn assemble(envelope: &[u8], payload: Spool) -> Result<Self, SealError> {
        let length = u32::try_from(envelope.len()).map_err(|_| SealError::TooLarge)?;
        let first_line = format!("{FORMAT}\n");
        let file = Self { head: [MAGIC, first_line.as_bytes(), &length.to_be_bytes(), envelope].concat(), payload };
        if envelope.len() > LONGEST_ENVELOPE || file.length() > LONGEST_FILE as u64 {
            return Err(SealError::TooLarge);
        }
        Ok(file)
    }

    /// How long it is.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.payload.length()
    }

    /// Its bytes from the first on. One reader at a time: where the file is long, they share a place in it.
    pub fn reader(&self) -> io::Result<impl Read + Send + '_> {
        Ok((&self.head[..]).chain(self.payload.reader()?))
    }

    /// Writes all of it.
    pub fn copy_to(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.head)?;
        match &self.payload.held {
            Held::Memory(bytes) => to.write_all(bytes),
            Held::Nameless(_) => io::copy(&mut self.payload.reader()?, to).map(drop),
        }
    }

    /// All of it, for who has the room.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.length()).map_err(io::Error::other)?);
        self.copy_to(&mut bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for BundleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleFile").field("length", &self.length()).finish_non_exhaustive()
    }
}

/// A bundle's encrypted part is some 100 KB as a rule.
const MOST_IN_MEMORY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Files that this process has open without a name, below a folder.
    fn nameless(folder: &Path) -> usize {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let paths = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        paths.filter(|path| path.starts_with(folder)).count()
    }

    fn spooled(pieces: &[Vec<u8>], folder: &Path) -> Spool {
        let mut spool = Spool::new(0, folder);
        pieces.iter().for_each(|piece| spool.write_all(piece).unwrap());
        spool
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_was_written_is_read_from_memory_and_from_a_file(lengths in proptest::collection::vec(0_usize..400_000, 0..8), seed: u8) {
            let folder = tempfile::tempdir().unwrap();
            let pieces: Vec<Vec<u8>> =
                lengths.iter().map(|length| (0..*length).map(|at| (at % 251) as u8 ^ seed).collect()).collect();
            let whole = pieces.concat();
            let spool = spooled(&pieces, folder.path());
            prop_assert_eq!(nameless(folder.path()), usize::from(whole.len() > MOST_IN_MEMORY));
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            prop_assert_eq!(spool.sha256(), super::super::manifest::sha256(&whole));
            let file = BundleFile::assemble(b"envelope", spool).unwrap();
            let wanted = [&b"donjon-bundle/3\n\0\0\0\x08envelope"[..], &whole].concat();
            prop_assert_eq!(file.length(), wanted.len() as u64);
            for _ in 0..2 {
                prop_assert!(file.bytes().unwrap() == wanted);
                let mut read = Vec::new();
                file.reader().unwrap().read_to_end(&mut read).unwrap();
                prop_assert!(read == wanted);
            }
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(0, &folder.path().join("gone"));
        assert!(spool.write_all(&vec![0; MOST_IN_MEMORY]).is_ok());
        assert!(spool.write_all(&[0]).is_err());
    }
}
