//! A value as a file in memory that a command can open by a path and nobody can change.

use donjon_drivers::material::Material;
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// A value in sealed memory. It is inherited by whatever this process starts while it is held.
#[derive(Debug)]
pub struct MemoryFile(OwnedFd);

impl MemoryFile {
    /// Puts a value there.
    pub fn new(value: &Material) -> io::Result<Self> {
        // Without CLOEXEC: the command is to have it.
        let file = memfd_create("donjon", MemfdFlags::ALLOW_SEALING)?;
        // EXPOSE: handed to the kernel, for the command
        let mut rest = value.expose();
        while !rest.is_empty() {
            rest = &rest[io::write(&file, rest)?..];
        }
        fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
        Ok(Self(file))
    }

    /// The path at which the command, and what it starts, can open it, each time from the beginning.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_whole_each_time_and_cannot_be_changed() {
        let file = MemoryFile::new(&Material::new(vec![b'x'; 200_000])).unwrap();
        for _ in 0..2 {
            assert_eq!(std::fs::read(file.path()).unwrap(), vec![b'x'; 200_000]); // EXPOSE: a test value
        }
        assert!(io::pwrite(&file.0, b"y", 0).is_err());
    }
}
