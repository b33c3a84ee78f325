//! Pages of the program's own file: the kernel maps some sixteen around each that is run, and leaves them mapped.
//!
//! What starting, or a rare command, has run stays resident that way for as long as the process lives. Given back, it is read
//! from the kernel's cache of files when it is next run.

use rustix::mm::{Advice, madvise};
use std::{io, ops::Range};

/// Gives the program's code and constants back to the kernel, and says how many bytes of addresses that is about.
pub fn give_back() -> io::Result<usize> {
    let maps = std::fs::read_to_string(MAPS)?;
    let mut given = 0;
    // Where this function is, and where a text is: what the kernel mapped when it began the program, and nobody unmaps.
    for within in [give_back as *const (), MAPS.as_ptr().cast()] {
        let Some(range) = unwritten(&maps, within.addr()) else { continue };
        let start = within.cast_mut().with_addr(range.start);
        // SAFETY: a private mapping of the program's file, which is there as long as the process is. It is not writable, and
        // the process has no page of its own in it, in memory or in swap: what is dropped comes back from the file as it was.
        match unsafe { madvise(start.cast(), range.len(), Advice::LinuxDontNeed) } {
            Ok(()) => given += range.len(),
            // Locked into memory.
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(given)
}

/// The mapping with this address, by the text of `/proc/PID/smaps`: where it is of a file, cannot be written, and holds nothing
/// but the file.
fn unwritten(maps: &str, address: usize) -> Option<Range<usize>> {
    let mut lines = maps.lines();
    let range = lines.by_ref().find_map(|line| mapping(line).filter(|range| range.contains(&address)))?;
    // Pages that were written to: the loader has put addresses there. They may be in swap.
    let mut none_of = |name| lines.find_map(|line| line.strip_prefix(name)).is_some_and(|size| size.trim() == "0 kB");
    (none_of("Anonymous:") && none_of("Swap:")).then_some(range)
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
        ]
        .concat();
        let found: Vec<_> = (0..0xb).filter_map(|page| unwritten(&maps, page << 12)).collect();
        assert_eq!(found, [0x1000..0x2000, 0x2000..0x4000, 0x2000..0x4000]);
        for cut in 0..maps.len() {
            assert!(unwritten(&maps[..cut], 0x4000).is_none());
        }
    }

    #[test]
    fn the_program_goes_on_with_fewer_of_its_pages() {
        let code = give_back as *const ();
        let resident = || {
            let maps = std::fs::read_to_string(MAPS).unwrap();
            let mut lines = maps.lines();
            lines.by_ref().find(|line| mapping(line).is_some_and(|range| range.contains(&code.addr()))).unwrap();
            let size = lines.find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB")).unwrap();
            size.trim().parse::<u64>().unwrap()
        };
        // The control: all of it is there.
        let range = unwritten(&std::fs::read_to_string(MAPS).unwrap(), code.addr()).unwrap();
        for page in range.step_by(4096) {
            // SAFETY: an address in a mapping that can be read.
            unsafe { std::ptr::read_volatile(code.with_addr(page).cast::<u8>()) };
        }
        let text = format!("{:?}", "1.5e3".parse::<f64>());
        let before = resident();
        assert!(give_back().unwrap() > 1 << 20);
        let after = resident();
        assert!(after * 2 < before, "{after} of {before} KB are still mapped");
        assert_eq!(format!("{:?}", "1.5e3".parse::<f64>()), text);
    }
}
