//! A whole scan: paths in, a report out.

use super::{
    archive::{self, Bounded, Budget, DEEPEST, Kind, MOST_UNPACKED, Peeked},
    elsewhere::{self, Elsewhere, Process},
    finding::{Finding, Place, Report},
    history,
    needles::{Meaning, Needles},
    stream::{self, Hit},
    walk::{self, Found},
};
use flate2::read::MultiGzDecoder;
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, ErrorKind, Read, Seek},
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Files and git objects that were read to the end.
    pub read: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Findings so far.
    pub found: u64,
    /// Files, git objects, processes and outputs that are behind it.
    pub done: u64,
    /// How many there are; none where nobody knows.
    pub total: Option<u64>,
}

/// Searches files, folders, the archives and git histories in them, and other places. `tell` is called
/// for each file and object, and again and again in a long one, and may end the scan.
///
/// This blocks, and reads as fast as the disk gives.
pub fn search(
    needles: &Needles,
    roots: &[PathBuf],
    elsewhere: &[Elsewhere],
    tell: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Report {
    let beside = elsewhere.iter().map(|place| match place {
        Elsewhere::Processes => Process::all().map_or(0, |all| all.len() as u64),
        Elsewhere::Journal => 1,
        // Counted when they are listed.
        Elsewhere::Containers => 0,
    });
    let total = walk::count(roots).map(|files| files + beside.sum::<u64>());
    let mut scan = Scan { needles, report: Report::default(), tell, done: 0, total };
    for root in roots {
        if scan.root(root).is_break() {
            scan.report.unsearched(root, ENDED);
            break;
        }
    }
    for place in elsewhere {
        if scan.elsewhere(*place).is_break() {
            scan.report.unsearched(Path::new("-"), ENDED);
            break;
        }
    }
    scan.report.findings.sort_unstable_by(|a, b| (&a.place, a.offset, &a.secret).cmp(&(&b.place, b.offset, &b.secret)));
    scan.report
}

struct Scan<'a> {
    needles: &'a Needles,
    report: Report,
    tell: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    done: u64,
    total: Option<u64>,
}

impl Scan<'_> {
    fn root(&mut self, root: &Path) -> ControlFlow<()> {
        let mut walk = walk::Walk::new(root);
        while let Some(found) = walk.next(&mut self.report) {
            match found {
                Found::File(path) => {
                    let Some(mut file) = walk::open(&path, &mut self.report) else {
                        self.done += 1;
                        continue;
                    };
                    let place = Place::File { path: path.display().to_string() };
                    let searched = match holes(&mut file) {
                        Holes::Few => self.content(&place, &mut file, 0, &mut Budget::new()),
                        Holes::Many => self.extents(&place, &mut file),
                        Holes::OfAnArchive => {
                            let why = format!(
                                "it is an archive of more than {MOST_UNPACKED} bytes, mostly holes: it was searched as it is"
                            );
                            self.report.unsearched(&path, why);
                            self.extents(&place, &mut file)
                        }
                    };
                    match searched {
                        Ok(()) => self.report.files += 1,
                        Err(error) => {
                            self.report.unsearched(&path, format!("it could not be read to the end: {error}"));
                            self.as_it_is(&place, &mut file);
                        }
                    }
                    self.told()?;
                }
                Found::Repository(repository) => self.history(&repository)?,
            }
        }
        ControlFlow::Continue(())
    }

    /// A file that is mostly holes: what is in it, and not the zeros, of which anybody can make terabytes at once.
    fn extents(&mut self, place: &Place, file: &mut File) -> io::Result<()> {
        let mut at = 0;
        loop {
            let begin = match seek(&*file, SeekFrom::Data(at)) {
                Ok(begin) => begin,
                // No data follows.
                Err(Errno::NXIO) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            at = seek(&*file, SeekFrom::Hole(begin))?;
            seek(&*file, SeekFrom::Start(begin))?;
            self.read_from(place, &mut Read::take(&mut *file, at - begin), begin)?;
        }
    }

    fn history(&mut self, repository: &Path) -> ControlFlow<()> {
        let before = self.report.findings.len();
        let mut went_on = ControlFlow::Continue(());
        let read = history::objects(repository, &mut |object, content| {
            let place = Place::Object {
                repository: repository.display().to_string(),
                object: object.id.clone(),
                kind: object.kind.clone(),
                commit: None,
                path: None,
            };
            // A broken archive is told; a broken history shows when the rest of it is read.
            if let Err(error) = self.content(&place, content, 0, &mut Budget::new()) {
                self.report.unsearched(
                    repository,
                    format!("{} {} could not be read to the end: {error}", object.kind, object.id),
                );
            }
            self.report.objects += 1;
            went_on = self.told();
            Ok(went_on)
        });
        if let Err(error) = read {
            self.report.unsearched(repository, format!("its git history was not searched to the end: {error}"));
        }
        self.name_objects(repository, before);
        went_on
    }

    /// Says by which commit an object came in and under which path, where a branch or tag reaches it.
    fn name_objects(&mut self, repository: &Path, since: usize) {
        let objects: BTreeSet<String> = self.report.findings[since..]
            .iter()
            .filter_map(|finding| match &finding.place {
                Place::Object { object, kind, .. } if kind == "blob" => Some(object.clone()),
                Place::Object { .. }
                | Place::File { .. }
                | Place::Member { .. }
                | Place::Process { .. }
                | Place::Output { .. } => None,
            })
            .collect();
        // A name is a courtesy: without one the object's id still says where it is.
        let names = history::names(repository, &objects).unwrap_or_default();
        for finding in &mut self.report.findings[since..] {
            if let Place::Object { object, commit, path, .. } = &mut finding.place
                && let Some(name) = names.get(object)
            {
                (*commit, *path) = (Some(name.commit.clone()), Some(name.path.clone()));
            }
        }
    }

    /// A stream, and what lies in it where it is an archive.
    fn content(&mut self, place: &Place, from: &mut dyn Read, depth: usize, budget: &mut Budget) -> io::Result<()> {
        let mut whole = Peeked::new(from);
        match whole.kind()? {
            Kind::Gzip | Kind::Tar if depth == DEEPEST => {
                Err(io::Error::other(format!("archives lie in each other more than {DEEPEST} deep")))
            }
            Kind::Gzip => {
                let inner = Bounded { from: MultiGzDecoder::new(whole), budget };
                self.unpacked(&place.within("gunzip"), inner, depth)
            }
            Kind::Tar => self.tars(place, whole, depth, budget),
            Kind::Plain => self.read(place, &mut whole),
        }
    }

    /// One tar, and those that were written behind it.
    fn tars(&mut self, place: &Place, mut whole: Peeked<'_>, depth: usize, budget: &mut Budget) -> io::Result<()> {
        loop {
            self.members(place, &mut whole, depth, budget)?;
            if !whole.passes_zeros()? {
                return Ok(());
            }
            match whole.kind()? {
                Kind::Tar => {}
                Kind::Gzip => return self.content(place, &mut whole, depth + 1, budget),
                Kind::Plain => return self.read(place, &mut whole),
            }
        }
    }

    fn unpacked<R: Read>(&mut self, place: &Place, mut inner: Bounded<'_, R>, depth: usize) -> io::Result<()> {
        // What lies deeper has a budget of its own, and all of it comes through this one.
        self.content(place, &mut inner, depth + 1, &mut Budget::new())?;
        self.report.members += 1;
        Ok(())
    }

    fn members(&mut self, place: &Place, from: &mut dyn Read, depth: usize, budget: &mut Budget) -> io::Result<()> {
        let mut archive = tar::Archive::new(from);
        for member in archive.entries()? {
            let mut member = member?;
            let name = archive::name(member.path());
            let within = place.within(&name);
            self.read(&within, &mut name.as_bytes())?;
            self.content(&within, &mut member, depth + 1, budget)?;
            self.report.members += 1;
        }
        Ok(())
    }

    /// What looks like an archive and is none may hold a value as it is.
    fn as_it_is(&mut self, place: &Place, file: &mut File) {
        if file.rewind().is_ok() {
            // That it cannot be read was told.
            let _ = self.read(place, file);
        }
    }

    fn elsewhere(&mut self, place: Elsewhere) -> ControlFlow<()> {
        match place {
            Elsewhere::Processes => self.processes(),
            Elsewhere::Journal => {
                self.output("journalctl", elsewhere::JOURNAL);
                self.told()
            }
            Elsewhere::Containers => match elsewhere::containers() {
                Err(error) => {
                    self.report.unsearched(Path::new("podman"), error.to_string());
                    self.told()
                }
                Ok(containers) => {
                    self.total = self.total.map(|total| total + containers.len() as u64);
                    for container in containers {
                        self.output("podman", &["inspect", &container]);
                        self.told()?;
                    }
                    ControlFlow::Continue(())
                }
            },
        }
    }

    fn processes(&mut self) -> ControlFlow<()> {
        let processes = match Process::all() {
            Ok(processes) => processes,
            Err(error) => {
                self.report.unsearched(Path::new("/proc"), error.to_string());
                return self.told();
            }
        };
        for process in processes {
            for (part, path) in process.parts() {
                let (pid, command) = (process.pid, process.command.clone());
                let place = Place::Process { pid, command, part: part.to_owned() };
                match File::open(&path).and_then(|mut file| self.read(&place, &mut file)) {
                    // It has ended since.
                    Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(NO_PROCESS) => {}
                    Err(error) => self.report.unsearched(&path, error.to_string()),
                    Ok(()) => {}
                }
            }
            self.report.processes += 1;
            self.told()?;
        }
        ControlFlow::Continue(())
    }

    fn output(&mut self, name: &str, arguments: &[&str]) {
        let place = Place::Output { output: format!("{name} {}", arguments.join(" ")) };
        let searched = elsewhere::program(name, arguments).spawn().and_then(|mut child| {
            if let Some(mut out) = child.stdout.take() {
                self.read(&place, &mut out)?;
            }
            child.wait()
        });
        let path = PathBuf::from(place.to_string());
        match searched {
            Ok(status) if status.success() => {}
            Ok(status) => self.report.unsearched(&path, format!("it ended with {status}")),
            Err(error) => self.report.unsearched(&path, error.to_string()),
        }
    }

    fn read(&mut self, place: &Place, from: &mut dyn Read) -> io::Result<()> {
        self.read_from(place, from, 0)
    }

    /// What begins so far into a place.
    fn read_from(&mut self, place: &Place, from: &mut dyn Read, begin: u64) -> io::Result<()> {
        let progress = self.progress();
        let Self { needles, report, tell, .. } = self;
        let mut beyond = BTreeMap::new();
        let mut told = Told { from, tell: *tell, progress, silent: 0 };
        let read = stream::search(needles, &mut told, &mut |hit| {
            findings(needles, place, Hit { offset: begin + hit.offset, ..hit }, &mut beyond, report);
        })?;
        report.bytes += read;
        Ok(())
    }

    fn told(&mut self) -> ControlFlow<()> {
        self.done += 1;
        let progress = self.progress();
        (self.tell)(progress)
    }

    fn progress(&self) -> Progress {
        let Report { files, objects, bytes, found, .. } = self.report;
        // Some more have come since.
        let total = self.total.filter(|total| *total >= self.done);
        Progress { read: files + objects, bytes, found, done: self.done, total }
    }
}

/// How much of a file is holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holes {
    /// So little that it is read as it is, or an archive, in which the zeros count.
    Few,
    /// So much that it is worth a look at where they are.
    Many,
    /// The same of an archive that is too long to be read with its holes.
    OfAnArchive,
}

fn holes(file: &mut File) -> Holes {
    let Some(seen) = file.metadata().ok() else { return Holes::Few };
    if seen.len().saturating_sub(seen.blocks() * BLOCK) < LARGE_HOLES {
        return Holes::Few;
    }
    let kind = Peeked::new(file).kind();
    match (kind, file.rewind()) {
        (Ok(Kind::Gzip | Kind::Tar), Ok(())) if seen.len() <= MOST_UNPACKED => Holes::Few,
        (Ok(Kind::Gzip | Kind::Tar), Ok(())) => Holes::OfAnArchive,
        (Ok(Kind::Plain) | Err(_), _) | (_, Err(_)) => Holes::Many,
    }
}

/// A stream that tells how far it is, and ends with an error where the scan is to end.
struct Told<'a> {
    from: &'a mut dyn Read,
    tell: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    progress: Progress,
    silent: u64,
}

impl Read for Told<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.progress.bytes += count as u64;
        self.silent += count as u64;
        if self.silent >= TOLD_EVERY {
            self.silent = 0;
            if (self.tell)(self.progress).is_break() {
                return Err(io::Error::other(ENDED));
            }
        }
        Ok(count)
    }
}

/// One leak is one finding, though its pieces and its forms may each be a hit: `beyond` holds where the next may begin.
fn findings(needles: &Needles, place: &Place, hit: Hit, beyond: &mut BTreeMap<usize, u64>, report: &mut Report) {
    let pattern = &needles.patterns[hit.pattern];
    let Meaning { owner, encoding, .. } = &pattern.of[hit.of];
    let next = beyond.entry(*owner).or_default();
    if hit.offset < *next {
        return;
    }
    *next = hit.offset + (pattern.length as u64).max(pattern.reach);
    let (secret, standing) = needles.owners[*owner].clone();
    if matches!(place, Place::File { path } if needles.declared.get(path).is_some_and(|sink| sink.contains(&secret))) {
        report.declared += 1;
        return;
    }
    report.found(Finding { secret, standing, encoding: *encoding, place: place.clone(), offset: hit.offset });
}

/// A long stream tells how far it is each time that so many bytes were read.
const TOLD_EVERY: u64 = 4 << 20;
const ENDED: &str = "the scan was ended before it was done";
/// ESRCH: what a process that is ending answers.
const NO_PROCESS: i32 = 3;
/// What `st_blocks` counts in.
const BLOCK: u64 = 512;
const LARGE_HOLES: u64 = 64 << 20;
