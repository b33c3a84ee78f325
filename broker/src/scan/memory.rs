//! The memory of every process, as root reads it by `/proc/PID/mem`.
//!
//! Every page is looked at that a process has written to, whether it can still write there or not, swapped-out ones too,
//! and all that it shares. What it has mapped from a file and not changed is that file; files that it has open and that have
//! no name (in memory, or removed since) are read as well. Pages of `memfd_secret` nobody can read. What the kernel keeps in pages of no process is out of sight; it clears them before another process gets them.

use super::{
    elsewhere::Process,
    encoding::Encoding,
    finding::{Finding, Place, Report},
    sieve::Sieve,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Searches all processes but this one, which holds the needles. Each value is told once of each process. Returns how many
/// bytes were read.
pub fn search(sieve: &Sieve, report: &mut Report) -> io::Result<u64> {
    let mut text = vec![0; sieve.longest + CHUNK];
    let mut bytes = 0;
    for process in Process::all()?.into_iter().filter(|process| process.pid != std::process::id()) {
        let folder = PathBuf::from(format!("/proc/{}", process.pid));
        let mut look = Look { sieve, text: &mut text, found: BTreeMap::new(), bytes: 0, unread: 0 };
        let looked = look.at(&folder);
        let (found, unread) = (std::mem::take(&mut look.found), look.unread);
        bytes += look.bytes;
        report.processes += 1;
        // What ended meanwhile holds nothing any more.
        match (looked, folder.exists()) {
            (Err(error), true) => report.unsearched(&folder.join("mem"), error.to_string()),
            (Ok(()), true) if unread > 0 => {
                report.unsearched(&folder.join("mem"), format!("{unread} bytes of it cannot be read"));
            }
            (Ok(()) | Err(_), _) => {}
        }
        for (owner, (encoding, offset, mapping)) in found {
            let (secret, standing) = sieve.owners[owner].clone();
            let (pid, command, part) = (process.pid, process.command.clone(), format!("memory, {mapping}"));
            report.found(Finding { secret, standing, encoding, place: Place::Process { pid, command, part }, offset });
        }
    }
    Ok(bytes)
}

/// One process that is looked at.
struct Look<'a> {
    sieve: &'a Sieve,
    text: &'a mut Vec<u8>,
    /// Of each value, the first place.
    found: BTreeMap<usize, (Encoding, u64, String)>,
    bytes: u64,
    unread: u64,
}

impl Look<'_> {
    fn at(&mut self, folder: &Path) -> io::Result<()> {
        let maps = fs::read_to_string(folder.join("smaps"))?;
        if maps.is_empty() {
            // A thread of the kernel's, or what is left of a process that has ended.
            return Ok(());
        }
        let (table, memory) = (File::open(folder.join("pagemap"))?, File::open(folder.join("mem"))?);
        for mapping in Mapping::all(&maps).into_iter().filter(|mapping| mapping.kilobytes > 0 && mapping.name != SECRET)
        {
            for (from, to) in mapping.runs(&table)? {
                self.run(&memory, from, to, mapping.name);
            }
        }
        self.nameless(&folder.join("fd"))
    }

    /// The files that it has open and that no walk over folders meets.
    fn nameless(&mut self, descriptors: &Path) -> io::Result<()> {
        for entry in fs::read_dir(descriptors)?.filter_map(Result::ok) {
            // What was closed meanwhile is no longer there.
            let (Ok(leads), Ok(found)) = (fs::read_link(entry.path()), fs::metadata(entry.path())) else { continue };
            let leads = leads.to_string_lossy();
            // Of a file that is no plain one, reading could wait for ever.
            if !found.is_file() || leads == SECRET || !(leads.starts_with(IN_MEMORY) || leads.ends_with(REMOVED)) {
                continue;
            }
            match File::open(entry.path()) {
                Ok(file) => self.run(&file, 0, found.len(), &format!("open file {leads}")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => self.unread += found.len(),
            }
        }
        Ok(())
    }

    /// Reads in chunks that overlap by as much as the longest needle.
    fn run(&mut self, memory: &File, from: u64, to: u64, name: &str) {
        let (mut at, mut kept) = (from, 0);
        while at < to {
            let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(CHUNK);
            let count = match memory.read_at(&mut self.text[kept..kept + wanted], at) {
                Ok(count) if count > 0 => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    self.unread += to - at;
                    return;
                }
            };
            let (start, end) = (at - kept as u64, kept + count);
            let found = &mut self.found;
            self.sieve.search(&self.text[..end], &mut |caught| {
                found
                    .entry(caught.owner)
                    .or_insert_with(|| (caught.encoding, start + caught.at as u64, name.to_owned()));
            });
            at += count as u64;
            self.bytes += count as u64;
            let keep = self.sieve.longest.saturating_sub(1).min(end);
            self.text.copy_within(end - keep..end, 0);
            kept = keep;
        }
    }
}

/// A mapping, as `smaps` tells it.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    from: u64,
    to: u64,
    /// Whether all of it is looked at, and not only what the process has changed for itself.
    whole: bool,
    name: &'a str,
    /// How much of it is in memory or swapped out.
    kilobytes: u64,
}

impl<'a> Mapping<'a> {
    fn all(smaps: &'a str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for line in smaps.lines() {
            match (Self::parse(line), all.last_mut()) {
                (Some(mapping), _) => all.push(mapping),
                (None, Some(last)) => {
                    let amount = line.strip_prefix("Rss:").or_else(|| line.strip_prefix("Swap:"));
                    let amount = amount.and_then(|amount| amount.trim().strip_suffix(" kB")?.parse::<u64>().ok());
                    last.kilobytes += amount.unwrap_or(0);
                }
                (None, None) => {}
            }
        }
        all
    }

    fn parse(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let permissions = rest.get(..4)?;
        // Three more fields, and what was mapped.
        let name = rest.splitn(5, ' ').nth(4).map(str::trim_start).filter(|name| !name.is_empty());
        Some(Self {
            from: u64::from_str_radix(from, 16).ok()?,
            to: u64::from_str_radix(to, 16).ok()?,
            whole: permissions.as_bytes()[1] == b'w' || permissions.ends_with('s'),
            name: name.unwrap_or("anonymous"),
            kilobytes: 0,
        })
    }

    /// Its runs of pages that are looked at, by the kernel's table of pages. Of a mapping that is larger than any memory the
    /// table is read until all pages that are there have come.
    fn runs(&self, table: &File) -> io::Result<Vec<(u64, u64)>> {
        let page = page_size();
        let (mut runs, mut at): (Vec<(u64, u64)>, u64) = (Vec::new(), self.from);
        let mut entries = vec![0; ENTRY * 4096];
        let mut left = if self.to - self.from > IMMENSE { self.kilobytes * 1024 / page } else { u64::MAX };
        while at < self.to && left > 0 {
            let pages = usize::try_from((self.to - at) / page).unwrap_or(usize::MAX);
            let wanted = pages.saturating_mul(ENTRY).min(entries.len());
            let count = table.read_at(&mut entries[..wanted], at / page * ENTRY as u64)?;
            if count < ENTRY {
                break;
            }
            for entry in entries[..count].chunks_exact(ENTRY) {
                let entry = entry.try_into().map_or(0, u64::from_ne_bytes) >> 61;
                left = left.saturating_sub(u64::from(entry & 0b110 != 0));
                if self.is_looked_at(entry) {
                    match runs.last_mut() {
                        // A few pages that hold nothing are cheaper to read than another run.
                        Some((_, end)) if at - *end <= GAP * page => *end = at + page,
                        Some(_) | None => runs.push((at, at + page)),
                    }
                }
                at += page;
            }
        }
        Ok(runs)
    }

    /// The three upper bits of a page's entry: it is in memory; it is swapped out; it is a file's, or shared.
    fn is_looked_at(&self, entry: u64) -> bool {
        entry & 0b110 != 0 && (self.whole || entry & 0b001 == 0)
    }
}

/// What the kernel has told this process when it was started.
fn page_size() -> u64 {
    let told = fs::read("/proc/self/auxv").unwrap_or_default();
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let mut pairs = told.chunks_exact(16).map(|pair| (number(&pair[..8]), number(&pair[8..])));
    pairs.find_map(|(kind, value)| (kind == AT_PAGESZ && value > 0).then_some(value)).unwrap_or(4096)
}

/// What `/proc` shows of files that `memfd_create` made, and of those that have lost their names.
const IN_MEMORY: &str = "/memfd:";
const REMOVED: &str = " (deleted)";
/// What the kernel calls a mapping of `memfd_secret`.
const SECRET: &str = "/secretmem (deleted)";
/// The bytes of an entry of `pagemap`.
const ENTRY: usize = 8;
const AT_PAGESZ: u64 = 6;
/// Reading the table of a smaller one to the end takes less than a second.
const IMMENSE: u64 = 64 << 30;
/// So many pages that are not there do not end a run.
const GAP: u64 = 16;
const CHUNK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Standing, Wanted};
    use donjon_drivers::material::Material;
    use std::process::{Child, Command, Stdio};

    #[test]
    fn mappings_are_read_as_the_kernel_writes_them() {
        let smaps = "55d0-55f1 rw-p 00000000 00:00 0                                  [heap]
Size:                132 kB
Rss:                  40 kB
Swap:                  8 kB
SwapPss:               1 kB
VmFlags: rd wr mr mw me ac sd
7f00-7fff r--p 00001000 fd:01 9                  /lib/a b.so (deleted)
Rss:                   0 kB
8000-8fff r--s 00000000 00:01 9  /memfd:x
9000-9fff ---p 00000000 00:00 0 
";
        let mapping = |from, to, whole, name, kilobytes| Mapping { from, to, whole, name, kilobytes };
        assert_eq!(
            Mapping::all(smaps),
            [
                mapping(0x55d0, 0x55f1, true, "[heap]", 48),
                mapping(0x7f00, 0x7fff, false, "/lib/a b.so (deleted)", 0),
                mapping(0x8000, 0x8fff, true, "/memfd:x", 0),
                mapping(0x9000, 0x9fff, false, "anonymous", 0),
            ]
        );
    }

    struct Holder(Child);

    impl Drop for Holder {
        fn drop(&mut self) {
            // It may have ended already.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// What one process holds, and how many bytes were read.
    fn held(sieve: &Sieve, pid: u32) -> (Vec<usize>, u64) {
        let mut text = vec![0; sieve.longest + CHUNK];
        let mut look = Look { sieve, text: &mut text, found: BTreeMap::new(), bytes: 0, unread: 0 };
        look.at(Path::new(&format!("/proc/{pid}"))).unwrap();
        (look.found.into_keys().collect(), look.bytes)
    }

    /// What a program holds once it has been loaded: right after its start it is still being put into memory.
    fn begun(sieve: &Sieve, child: &Holder) -> (Vec<usize>, u64) {
        for _ in 0..100_000 {
            let found = held(sieve, child.0.id());
            if found.1 > LOADED {
                return found;
            }
            std::thread::yield_now();
        }
        panic!("it was not loaded");
    }

    /// More than a stack and a half: a program with its libraries.
    const LOADED: u64 = 64 << 10;

    #[test]
    fn a_process_that_holds_a_value_is_told_from_one_that_does_not() {
        let value = format!("held-{}-in-memory-4711", std::process::id());
        let wanted = |name: &str, value: &str| Wanted {
            name: name.parse().unwrap(),
            standing: Standing::Current,
            material: Material::from(value.to_owned()),
        };
        let sieve = Sieve::new(&[wanted("held", &value), wanted("other", "never-anywhere-0815-4711")]);
        let mut shell = Command::new("sh");
        let child = Holder(shell.args(["-c", "read x"]).env("HELD", &value).stdin(Stdio::piped()).spawn().unwrap());
        let without = Holder(Command::new("sleep").arg("60").env_clear().spawn().unwrap());
        let (holds, bytes) = begun(&sieve, &child);
        assert!(holds == [0] && bytes > 4096, "{holds:?} {bytes}");
        let (holds, bytes) = begun(&sieve, &without);
        assert!(holds.is_empty() && bytes > 4096, "{holds:?} {bytes}");
        // It reads nothing of it: the value is in the file alone, and the file has no name any more.
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, format!("x{value}y").as_bytes()).unwrap();
        let open = Holder(Command::new("sleep").arg("60").env_clear().stdin(file).spawn().unwrap());
        let (holds, bytes) = begun(&sieve, &open);
        assert!(holds == [0] && bytes > 4096, "{holds:?} {bytes}");
    }
}
