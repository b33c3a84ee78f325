//! A whole scan: paths in, a report out.

use super::{
    finding::{Finding, Place, Report},
    history,
    needles::Needles,
    stream::{self, Hit},
    walk::{self, Found},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    ops::ControlFlow,
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
}

/// Searches files, folders and the git histories in them. `tell` is called for each file and object and may end the scan.
///
/// This blocks, and reads as fast as the disk gives.
pub fn search(needles: &Needles, roots: &[PathBuf], tell: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Report {
    let mut scan = Scan { needles, report: Report::default(), tell };
    for root in roots {
        if scan.root(root).is_break() {
            scan.report.unsearched(root, "the scan was ended before it was done");
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
}

impl Scan<'_> {
    fn root(&mut self, root: &Path) -> ControlFlow<()> {
        let mut walk = walk::Walk::new(root);
        while let Some(found) = walk.next(&mut self.report) {
            match found {
                Found::File { path, mut file } => {
                    let place = Place::File { path: path.display().to_string() };
                    match self.read(&place, &mut file) {
                        Ok(()) => self.report.files += 1,
                        Err(error) => {
                            self.report.unsearched(&path, format!("it could not be read to the end: {error}"))
                        }
                    }
                    self.told()?;
                }
                Found::Repository(repository) => self.history(&repository)?,
            }
        }
        ControlFlow::Continue(())
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
            self.read(&place, content)?;
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
                Place::Object { .. } | Place::File { .. } => None,
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

    fn read(&mut self, place: &Place, from: &mut dyn Read) -> io::Result<()> {
        let Self { needles, report, .. } = self;
        let mut beyond = BTreeMap::new();
        let read = stream::search(needles, from, &mut |hit| findings(needles, place, hit, &mut beyond, report))?;
        report.bytes += read;
        Ok(())
    }

    fn told(&mut self) -> ControlFlow<()> {
        let Report { files, objects, bytes, found, .. } = self.report;
        (self.tell)(Progress { read: files + objects, bytes, found })
    }
}

/// One leak is one finding, though its pieces and its forms may each be a hit: `beyond` holds where the next may begin.
fn findings(needles: &Needles, place: &Place, hit: Hit, beyond: &mut BTreeMap<usize, u64>, report: &mut Report) {
    let pattern = &needles.patterns[hit.pattern];
    for (owner, encoding) in &pattern.of {
        let next = beyond.entry(*owner).or_default();
        if hit.offset < *next {
            continue;
        }
        *next = hit.offset + (pattern.length as u64).max(pattern.reach);
        let (secret, standing) = needles.owners[*owner].clone();
        report.found(Finding { secret, standing, encoding: *encoding, place: place.clone(), offset: hit.offset });
    }
}
