//! Pages of our own: `memfd_secret` where the kernel has it, locked ones else.
//!
//! The kernel takes secret pages out of its own map, so that neither `/proc/PID/mem` nor `ptrace` nor a core dump reads them,
//! root's included. Kernels before 6.5 have them off by default. Locked pages are kept out of swap and core dumps, and that
//! is all.

use rustix::{
    fs::ftruncate,
    io::Errno,
    mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap},
};
use std::{
    ffi::c_void,
    io,
    os::fd::{FromRawFd, OwnedFd},
    ptr::NonNull,
};

/// What keeps others from the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `memfd_secret`: not even root reads them from outside.
    Secret,
    /// Locked into memory: never in swap or in a core dump, and root reads them.
    Locked,
    /// Ordinary pages: there was no room under RLIMIT_MEMLOCK for others.
    Ordinary,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret => "memfd_secret",
            Self::Locked => "mlock",
            Self::Ordinary => "ordinary",
        })
    }
}

/// A private mapping of whole pages, zeroed at first, and never seen by a child.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<u8>,
    length: usize,
    kind: Kind,
}

// SAFETY: the mapping belongs to this value alone, and what is in it is reached through `at`, whose callers keep the rules.
unsafe impl Send for Pages {}
// SAFETY: as above; a shared `Pages` gives out addresses only.
unsafe impl Sync for Pages {}

impl Pages {
    /// Pages for this many bytes, of the best kind there is.
    pub(super) fn new(length: usize) -> io::Result<Self> {
        let secret = secret(length).map(|start| (start, Kind::Secret));
        let (start, kind) = secret.or_else(|_| locked(length))?;
        // SAFETY: the range is the one just mapped. A child that could read it, or a core dump, would be one reader too many.
        let kept = unsafe { madvise(start, length, Advice::LinuxDontFork) };
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        let pages = Self { start, length, kind };
        kept?;
        Ok(pages)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The address of a byte.
    ///
    /// # Panics
    /// Beyond the end.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.length, "within the pages");
        // SAFETY: within the mapping, by the line above.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing borrows from it any more: whoever does holds the value.
        let unmapped = unsafe {
            std::ptr::write_bytes(self.start.as_ptr(), 0, self.length);
            munmap(self.start.as_ptr().cast(), self.length)
        };
        debug_assert!(unmapped.is_ok(), "a whole mapping can be unmapped");
    }
}

fn secret(length: usize) -> io::Result<*mut c_void> {
    let file = memfd_secret()?;
    ftruncate(&file, length as u64)?;
    // SAFETY: a new mapping, at an address that the kernel chooses. The file is closed behind it: nobody else maps it.
    Ok(unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)? })
}

fn locked(length: usize) -> io::Result<(*mut c_void, Kind)> {
    // SAFETY: a new mapping, at an address that the kernel chooses; then advice and a lock for exactly that.
    unsafe {
        let start =
            mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        let kept = madvise(start, length, Advice::LinuxDontDump);
        let kind = if kept.is_ok() && mlock(start, length).is_ok() { Kind::Locked } else { Kind::Ordinary };
        Ok((start, kind))
    }
}

/// The system call, which no library here wraps. Its number is the same on every architecture.
#[cfg(target_arch = "x86_64")]
fn memfd_secret() -> io::Result<OwnedFd> {
    let mut answer: isize = MEMFD_SECRET;
    // SAFETY: the call takes one word of flags and touches no memory of ours; the kernel changes rcx and r11, as declared.
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") answer, in("rdi") CLOSE_ON_EXEC, lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    opened(answer)
}

#[cfg(target_arch = "aarch64")]
fn memfd_secret() -> io::Result<OwnedFd> {
    let mut answer: isize = CLOSE_ON_EXEC;
    // SAFETY: the call takes one word of flags and touches no memory of ours.
    unsafe {
        std::arch::asm!("svc 0", in("x8") MEMFD_SECRET, inlateout("x0") answer, options(nostack));
    }
    opened(answer)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn memfd_secret() -> io::Result<OwnedFd> {
    Err(Errno::NOSYS.into())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn opened(answer: isize) -> io::Result<OwnedFd> {
    match i32::try_from(answer) {
        // SAFETY: the kernel has just given it out, and nobody else knows of it.
        Ok(file) if file >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        Ok(error) => Err(io::Error::from_raw_os_error(-error)),
        Err(_) => Err(Errno::NOSYS.into()),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const MEMFD_SECRET: isize = 447;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const CLOSE_ON_EXEC: isize = 0o2_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::unix::fs::FileExt};

    /// What root reads at an address of this process, as a debugger would.
    fn read_from_outside(address: *const u8) -> io::Result<[u8; 8]> {
        let mut bytes = [0; 8];
        File::open("/proc/self/mem")?.read_exact_at(&mut bytes, address as u64)?;
        Ok(bytes)
    }

    fn fill(pages: &Pages) {
        // SAFETY: eight bytes from the start, in a mapping of one page at least that nothing else uses.
        unsafe { std::ptr::copy_nonoverlapping(b"canary47".as_ptr(), pages.at(0), 8) };
    }

    #[test]
    fn secret_pages_are_not_read_from_outside() {
        let (ordinary, _) = locked(4096).unwrap();
        let ordinary = Pages { start: NonNull::new(ordinary.cast()).unwrap(), length: 4096, kind: Kind::Ordinary };
        fill(&ordinary);
        assert_eq!(read_from_outside(ordinary.at(0)).unwrap(), *b"canary47", "the control: other pages are read so");
        let pages = Pages::new(4096).unwrap();
        fill(&pages);
        // SAFETY: written by `fill`.
        assert_eq!(unsafe { *pages.at(3) }, b'a', "the process itself reads them");
        let refused = read_from_outside(pages.at(0));
        match pages.kind() {
            Kind::Secret => assert!(refused.is_err(), "{refused:?}"),
            // This kernel has none: then the daemon says so.
            Kind::Locked | Kind::Ordinary => assert!(memfd_secret().is_err()),
        }
    }

    #[test]
    fn a_child_does_not_have_them() {
        let pages = Pages::new(4096).unwrap();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let at = maps.find(&format!("{:x}-", pages.at(0) as usize)).expect("the mapping is there");
        let flags = maps[at..].lines().find(|line| line.starts_with("VmFlags:")).unwrap();
        assert!(flags.contains(" dc") && flags.contains(" dd"), "neither forked nor dumped: {flags}");
        assert!(pages.kind() == Kind::Ordinary || flags.contains(" lo"), "never in swap: {flags}");
    }
}
