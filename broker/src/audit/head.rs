//! How far a log went, kept beside it: a log whose end was taken away still holds together, and its head says that it went on.
//!
//! It is written over in place once the lines that it speaks of are durable, so it is never ahead of them, and by a power
//! loss a second behind at most. Whoever may write the log may write it, too: a copy elsewhere is worth more.

use crate::absence;
use donjon_drivers::fs::FileError;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The last line of a log that is known to be durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    format: u32,
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Beside(File);

impl Head {
    pub(super) fn new(sequence: u64, hash: String) -> Self {
        Self { format: FORMAT, sequence, hash }
    }

    /// What lies beside a log; `None` beside one of before.
    pub fn read(log: &Path) -> Result<Option<Self>, FileError> {
        let file = beside(log);
        let Some(text) = absence::read_private(&file)? else { return Ok(None) };
        let unreadable = || FileError::Io { act: "understand", path: file, source: io::ErrorKind::InvalidData.into() };
        let head = serde_json::from_slice::<Self>(&text).ok().filter(|head| head.format == FORMAT);
        head.map(Some).ok_or_else(unreadable)
    }
}

impl Beside {
    pub(super) fn open(log: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).open(beside(log)).map(Self)
    }

    /// Its length stays the same, so that no part of an older one stands behind it and a full disk has room for it.
    pub(super) fn write(&self, head: &Head) -> io::Result<()> {
        let mut text = serde_json::to_vec(head)?;
        text.resize(LENGTH, b' ');
        self.0.write_all_at(&text, 0)
    }
}

fn beside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".head");
    name.into()
}

const FORMAT: u32 = 1;
const LENGTH: usize = 160;
