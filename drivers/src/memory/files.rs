//! Pages of the program's own files: the kernel maps some sixteen around each that is run, and leaves them mapped.
//!
//! What starting, or a rare command, has run stays resident that way for as long as the process lives. Given back, it is read
//! from the kernel's cache of files when it is next run.

use rustix::mm::{Advice, madvise};
use std::{io, ops::Range};

/// What is mapped of the program and the libraries that it is linked with, and was never written to.
#[derive(Debug, Default)]
pub struct Linked(Vec<Range<usize>>);

impl Linked {
    /// Looks at what is mapped. To be asked before there is a second thread, which may be loading a library: what is mapped on
    /// the way is mapped over or unmapped a moment later. A process that has one is told of nothing.
    pub fn of_this_process() -> io::Result<Self> {
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        let found = if threads == 1 { unwritten(&std::fs::read_to_string(MAPS)?) } else { Vec::new() };
        Ok(Self(found))
    }

    /// Gives all of it back to the kernel, and says how many bytes of addresses that is about.
    pub fn give_back(&self) -> io::Result<usize> {
        let still = unwritten(&std::fs::read_to_string(MAPS)?);
        let mut given = 0;
        for range in self.0.iter().filter(|range| still.contains(range)) {
            let start = std::ptr::with_exposed_provenance_mut(range.start);
            // SAFETY: a private mapping of a file that was there before the first thread, so that it is there as long as the
            // process is. It is not writable, and the process has no page of its own in it, in memory or in swap: what is
            // dropped comes back from the file as it was.
            match unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) } {
                Ok(()) => given += range.len(),
                // Locked into memory.
                Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(given)
    }
}

/// The mappings of files that cannot be written and hold nothing but the file, by the text of `/proc/PID/smaps`.
fn unwritten(maps: &str) -> Vec<Range<usize>> {
    let (mut found, mut lines) = (Vec::new(), maps.lines().peekable());
    while let Some(first) = lines.next() {
        let Some(range) = mapping(first) else { continue };
        // Pages that were written to: the loader has put addresses there. They may be in swap.
        let mut none_of = |name| {
            let mut own = std::iter::from_fn(|| lines.next_if(|line| !line.contains('-')));
            own.find_map(|line| line.strip_prefix(name)).is_some_and(|size| size.trim() == "0 kB")
        };
        if none_of("Anonymous:") && none_of("Swap:") {
            found.push(range);
        }
    }
    found
}

/// The addresses of a mapping of a file that cannot be written, by its first line.
fn mapping(line: &str) -> Option<Range<usize>> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let [range, "r-xp" | "r--p", _offset, _device, inode, ..] = words[..] else { return None };
    let (from, to) = range.split_once('-')?;
    let number = |digits| usize::from_str_radix(digits, 16).ok();
    (inode != "0").then_some(number(from)?..number(to)?)
}

const MAPS: &str = "/proc/self/smaps";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_to_or_may_be_is_left_alone() {
        let with_swap = |range: &str, rights: &str, inode: &str, own: &str, swap: &str| {
            format!(
                "{range} {rights} 00000000 fe:00 {inode}   /bin/x\nSize:  64 kB\nAnonymous:  {own} kB\nSwap:  {swap} kB\nVmFlags: rd\n"
            )
        };
        let mapping = |range: &str, rights: &str, inode: &str, own: &str| with_swap(range, rights, inode, own, "0");
        let maps = [
            mapping("1000-2000", "r--p", "7", "0"),
            mapping("2000-4000", "r-xp", "7", "0"),
            mapping("4000-5000", "r--p", "7", "4"),
            mapping("5000-6000", "rw-p", "7", "0"),
            mapping("6000-7000", "r--p", "0", "0"),
            mapping("7000-8000", "r--s", "7", "0"),
            mapping("8000-9000", "---p", "7", "0"),
            with_swap("9000-a000", "r--p", "7", "0", "4"),
            mapping("b000-c000", "r-xp", "8", "0"),
        ]
        .concat();
        assert_eq!(unwritten(&maps), [0x1000..0x2000, 0x2000..0x4000, 0xb000..0xc000]);
        for cut in 0..maps.len() {
            let found = unwritten(&maps[..cut]);
            assert!(found.iter().all(|range| [0x1000, 0x2000, 0xb000].contains(&range.start)), "{cut}: {found:?}");
        }
    }

    #[test]
    fn a_process_with_threads_is_told_of_nothing() {
        let (told, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        assert!(Linked::of_this_process().unwrap().0.is_empty());
        drop(told);
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn the_program_goes_on_with_fewer_of_its_pages() {
        let code = Linked::give_back as *const ();
        let resident = || {
            let maps = std::fs::read_to_string(MAPS).unwrap();
            let mut lines = maps.lines();
            lines.by_ref().find(|line| mapping(line).is_some_and(|range| range.contains(&code.addr()))).unwrap();
            let size = lines.find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB")).unwrap();
            size.trim().parse::<u64>().unwrap()
        };
        // The program's own, whatever other tests load meanwhile.
        let mut linked = Linked(unwritten(&std::fs::read_to_string(MAPS).unwrap()));
        linked.0.retain(|range| range.contains(&code.addr()));
        // The control: all of it is there.
        for page in linked.0[0].clone().step_by(4096) {
            // SAFETY: an address in a mapping that can be read.
            unsafe { std::ptr::read_volatile(code.with_addr(page).cast::<u8>()) };
        }
        let text = format!("{:?}", "1.5e3".parse::<f64>());
        let before = resident();
        assert_eq!(linked.give_back().unwrap(), linked.0[0].len());
        let after = resident();
        assert!(after * 2 < before, "{after} of {before} KB are still mapped");
        assert_eq!(format!("{:?}", "1.5e3".parse::<f64>()), text);
    }
}
