//! What a witness of a teardown sees, before and after: values in files where Donjon may have written, and in the memory of
//! every process.

use super::{Finding, Needles, Place, Report, Sieve, Standing, Wanted, memory, needles::TooMany, search};
use donjon_policies::name::SecretName;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Where files are looked at.
#[derive(Debug, Clone)]
pub struct Places {
    /// The deployment's folder, all of it.
    pub home: PathBuf,
    /// Files that its processes had open outside.
    pub open: BTreeSet<PathBuf>,
    /// Folders for temporary files: what was changed in them since the Vault was made.
    pub temporary: Vec<PathBuf>,
    /// When that was.
    pub since: SystemTime,
}

/// Whoever looks, with the values that it looks for.
pub struct Eye {
    needles: Needles,
    sieve: Sieve,
}

/// A value that was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trace {
    /// Whose value.
    pub secret: SecretName,
    /// Which of its values.
    pub standing: Standing,
    /// Where; of a process with its number, its command and which memory it is.
    pub place: String,
    /// The process, where it is in one.
    pub process: Option<u32>,
}

/// What was seen in one look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Values.
    pub traces: Vec<Trace>,
    /// Files that were read to the end.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Processes that were looked at.
    pub processes: u64,
    /// The bytes of their memory that were read.
    pub memory_bytes: u64,
    /// Where nobody could look, and why.
    pub unsearched: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Eye {
    /// Looks for these, but not in files that are declared to hold them.
    pub fn new(wanted: Vec<Wanted>, declared: BTreeMap<String, BTreeSet<SecretName>>) -> Result<Self, TooMany> {
        let sieve = Sieve::new(&wanted);
        Ok(Self { sieve, needles: Needles::new(wanted, Vec::new())?.with_declared(declared) })
    }

    /// How many secrets it looks for.
    pub fn looks_for(&self) -> usize {
        self.needles.looked_for.len()
    }

    /// Looks once.
    pub fn look(&self, places: &Places) -> io::Result<Look> {
        let began = Instant::now();
        let (files, unlisted) = self.files(places);
        // Any number of processes may hold any number of values, and each counts.
        let mut memory = Report::whole();
        let memory_bytes = memory::search(&self.sieve, &mut memory)?;
        // What is gone by now holds nothing.
        let unsearched = files.unsearched.iter().chain(&memory.unsearched).filter(|one| Path::new(&one.path).exists());
        let cut =
            files.is_cut().then(|| "more places in files than can be listed: not all of them were compared".to_owned());
        let unsearched =
            unsearched.map(|one| format!("{}: {}", one.path, one.reason)).chain(unlisted).chain(cut).collect();
        let traces: BTreeSet<Trace> = files.findings.into_iter().chain(memory.findings).map(Trace::from).collect();
        Ok(Look {
            traces: traces.into_iter().collect(),
            files: files.files,
            file_bytes: files.bytes,
            processes: memory.processes,
            memory_bytes,
            unsearched,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    fn files(&self, places: &Places) -> (Report, Vec<String>) {
        let (roots, unlisted) = places.roots();
        (search(&self.needles, &roots, &[], &mut |_| ControlFlow::Continue(())), unlisted)
    }
}

impl Look {
    /// How many secrets have a value in the memory of one of these processes.
    pub fn held_by(&self, processes: &BTreeSet<u32>) -> usize {
        let held = self.traces.iter().filter(|trace| trace.process.is_some_and(|process| processes.contains(&process)));
        held.map(|trace| &trace.secret).collect::<BTreeSet<_>>().len()
    }

    /// What a teardown has left, and what others had before it and have still: consumers, or whoever has a copy.
    pub fn left(&self, before: &Self, own: &BTreeSet<u32>) -> (Vec<Trace>, Vec<Trace>) {
        let others: BTreeSet<u32> = before.traces.iter().filter_map(|trace| trace.process).collect();
        let traces = self.traces.iter().cloned();
        traces
            .partition(|trace| trace.process.is_none_or(|process| own.contains(&process) || !others.contains(&process)))
    }
}

impl From<Finding> for Trace {
    fn from(Finding { secret, standing, place, .. }: Finding) -> Self {
        let process = match place {
            Place::Process { pid, .. } => Some(pid),
            Place::File { .. } | Place::Member { .. } | Place::Output { .. } | Place::Object { .. } => None,
        };
        Self { secret, standing, place: place.to_string(), process }
    }
}

impl Places {
    /// Of a deployment whose processes these are, and whose Vault was made in this folder.
    pub fn new(home: &Path, vault: &Path, own: &BTreeSet<u32>) -> Self {
        let home = fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
        let descriptors = own.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten());
        let open = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let open = open.filter(|path| !path.starts_with(&home) && path.is_file()).collect();
        let folders = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()];
        let named = std::env::var_os("TMPDIR").is_some();
        // Where a folder is named for it, others have theirs in /tmp.
        let folders = folders.into_iter().filter(|folder| !(named && folder == Path::new("/tmp")));
        let temporary: BTreeSet<PathBuf> = folders.filter_map(|folder| fs::canonicalize(folder).ok()).collect();
        let since = fs::metadata(vault).and_then(|seen| seen.created()).unwrap_or(UNIX_EPOCH);
        Self { home, open, temporary: temporary.into_iter().collect(), since }
    }

    /// Everything that is to be searched, and what could not be listed.
    fn roots(&self) -> (Vec<PathBuf>, Vec<String>) {
        let mut unlisted = Vec::new();
        let mut roots: BTreeSet<PathBuf> = self.open.iter().filter(|path| path.exists()).cloned().collect();
        roots.insert(self.home.clone());
        for folder in &self.temporary {
            self.changed(folder, &mut roots, &mut unlisted);
        }
        (roots.into_iter().collect(), unlisted)
    }

    /// The files of a folder, and of its file system, that were changed since.
    fn changed(&self, folder: &Path, into: &mut BTreeSet<PathBuf>, unlisted: &mut Vec<String>) {
        let Ok(device) = fs::metadata(folder).map(|seen| seen.dev()) else { return };
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    unlisted.push(format!("{}: {error}", folder.display()));
                    continue;
                }
            };
            for path in entries.flatten().map(|entry| entry.path()).filter(|path| *path != self.home) {
                match fs::symlink_metadata(&path) {
                    Ok(seen) if seen.is_dir() && seen.dev() == device => folders.push(path),
                    Ok(seen) if seen.is_file() && changed(&seen) >= self.since => {
                        into.insert(path);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}

/// When a file was last changed in any way; a time of the content's alone can be set to any other.
fn changed(seen: &Metadata) -> SystemTime {
    let (seconds, nanoseconds) = (u64::try_from(seen.ctime()), u32::try_from(seen.ctime_nsec()));
    UNIX_EPOCH + std::time::Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

/// A process and all that it has started, and what those have; 0 is none.
pub fn family(of: u32) -> BTreeSet<u32> {
    if of == 0 {
        return BTreeSet::new();
    }
    let mut family = BTreeSet::from([of]);
    let parents = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything.
        Some((pid, stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()?))
    });
    let parents: Vec<(u32, u32)> = parents.collect();
    loop {
        let before = family.len();
        let children: Vec<u32> =
            parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid).collect();
        family.extend(children);
        if family.len() == before {
            return family;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::material::Material;
    use std::process::{Command, Stdio};

    fn trace(secret: &str, process: Option<u32>) -> Trace {
        Trace { secret: secret.parse().unwrap(), standing: Standing::Current, place: "somewhere".to_owned(), process }
    }

    #[test]
    fn what_donjon_left_is_told_from_what_others_had() {
        let look = |traces: &[Trace]| Look { traces: traces.to_vec(), ..Look::default() };
        let before = look(&[trace("a", Some(1)), trace("a", Some(2)), trace("b", Some(1))]);
        assert_eq!((before.held_by(&[1].into()), before.held_by(&[2, 3].into())), (2, 1));
        let after = look(&[trace("a", Some(1)), trace("a", Some(2)), trace("a", Some(3)), trace("a", None)]);
        let (left, others) = after.left(&before, &[1].into());
        assert_eq!(left, [trace("a", Some(1)), trace("a", Some(3)), trace("a", None)]);
        assert_eq!(others, [trace("a", Some(2))]);
    }

    #[test]
    fn a_child_of_a_child_is_of_the_family() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 & read x; kill $!"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = shell.spawn().unwrap();
        let of = family;
        for _ in 0..1000 {
            if of(child.id()).len() == 2 {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(of(child.id()).len(), 2);
        assert!(of(std::process::id()).is_superset(&of(child.id())));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn files_of_the_home_and_new_ones_of_temporary_folders_are_looked_at() {
        let value = format!("a-value-of-{}-in-files", std::process::id());
        let (home, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |path: PathBuf, text: &str| donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
        let wanted = Wanted {
            name: "held".parse().unwrap(),
            standing: Standing::Current,
            material: Material::from(value.clone()),
        };
        let sink = home.path().join("sink").display().to_string();
        let declared = [(sink, BTreeSet::from(["held".parse().unwrap()]))].into();
        let eye = Eye::new(vec![wanted], declared).unwrap();
        let mut places = Places::new(home.path(), home.path(), &BTreeSet::new());
        places.temporary = vec![temporary.path().to_owned()];
        let files = |places: &Places| -> BTreeSet<String> {
            assert_eq!(eye.looks_for(), 1);
            eye.files(places).0.findings.into_iter().map(|finding| Trace::from(finding).place).collect()
        };
        assert!(files(&places).is_empty());
        for name in ["sink", "left"] {
            put(home.path().join(name), &format!("x={value}\n"));
        }
        put(temporary.path().join("new"), &value);
        let at = |folder: &tempfile::TempDir, name: &str| folder.path().join(name).display().to_string();
        let both = BTreeSet::from([at(&home, "left"), at(&temporary, "new")]);
        assert_eq!(files(&places), both);
        places.since = SystemTime::now() + std::time::Duration::from_secs(60);
        assert_eq!(files(&places), [at(&home, "left")].into(), "of temporary folders the new ones alone");
        places.open = [temporary.path().join("new")].into();
        assert_eq!(files(&places), both, "what was open is looked at");
    }
}
