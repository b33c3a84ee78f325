//! The git history of a folder: every object that git has, reachable or not, streamed by git itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    ops::ControlFlow,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// An object of a repository.
#[derive(Debug)]
pub(super) struct Object {
    /// Its id.
    pub id: String,
    /// `blob`, `commit`, `tree` or `tag`.
    pub kind: String,
}

/// Gets an object and its content, and says whether to go on.
type Visit<'a> = dyn FnMut(&Object, &mut dyn Read) -> io::Result<ControlFlow<()>> + 'a;

/// How an object came into a history.
#[derive(Debug)]
pub(super) struct Name {
    /// The oldest commit that has it.
    pub commit: String,
    /// Its path there.
    pub path: String,
}

/// Why a history was not searched to the end.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    /// There is no git to ask.
    #[error("git is not installed")]
    NoGit,
    /// Git could not be run or read from.
    #[error("git could not be read from: {0}")]
    Io(#[from] io::Error),
    /// Git answered something else than objects.
    #[error("git answered something unexpected")]
    Answer,
    /// Git failed.
    #[error("git ended with {status}")]
    Failed {
        /// Its status.
        status: ExitStatus,
    },
}

/// Reads every object.
pub(super) fn objects(repository: &Path, visit: &mut Visit<'_>) -> Result<(), HistoryError> {
    let mut git = Git::start(git(repository).args(["cat-file", "--batch-all-objects", "--batch", "--unordered"]))?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if git.out.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return git.end();
        }
        let (object, size) = header(&line).ok_or(HistoryError::Answer)?;
        let mut content = git.out.by_ref().take(size);
        let went_on = visit(&object, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        if went_on.is_break() {
            return Ok(());
        }
        let mut end = [0; 1];
        git.out.read_exact(&mut end)?;
    }
}

/// How many objects there are, as git has it written down: one that is stored twice is counted twice.
pub(super) fn count(repository: &Path) -> Option<u64> {
    let counted =
        git(repository).args(["count-objects", "--verbose"]).output().ok().filter(|out| out.status.success())?;
    let text = String::from_utf8(counted.stdout).ok()?;
    let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
    Some(number("count: ")? + number("in-pack: ")?)
}

/// Where the history first has each of these blobs. What no branch, tag or reflog reaches has no name.
pub(super) fn names(repository: &Path, blobs: &BTreeSet<String>) -> Result<BTreeMap<String, Name>, HistoryError> {
    let mut names = BTreeMap::new();
    if blobs.is_empty() {
        return Ok(names);
    }
    let mut commits = spawn(git(repository).args(["rev-list", "--all", "--reflog"]))?;
    let list = commits.stdout.take().ok_or(HistoryError::Answer)?;
    let asked = blobs.iter().take(MOST_NAMED).map(|id| format!("--find-object={id}"));
    let mut trees = Git::start(
        git(repository)
            .args(["diff-tree", "--stdin", "-r", "--root", "-m", "--no-ext-diff", "--no-textconv", "--no-renames"])
            .args(asked)
            .stdin(Stdio::from(list)),
    )?;
    let mut commit = String::new();
    let mut line = Vec::new();
    while trees.out.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        // `:100644 100644 <old> <new> M<tab>path` below each commit; the newest commit comes first, so the oldest stays.
        match text.strip_prefix(':') {
            None => commit = text.split(' ').next().unwrap_or_default().to_owned(),
            Some(change) => {
                if let (Some(id), Some((_, path))) = (change.split(' ').nth(3), change.split_once('\t'))
                    && blobs.contains(id)
                {
                    names.insert(id.to_owned(), Name { commit: commit.clone(), path: path.to_owned() });
                }
            }
        }
    }
    trees.end()?;
    commits.wait()?;
    Ok(names)
}

fn header(line: &[u8]) -> Option<(Object, u64)> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let mut words = text.split(' ');
    let (id, kind, size) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    Some((Object { id: id.to_owned(), kind: kind.to_owned() }, size))
}

/// Git, so that nothing in the repository's own configuration can make it run or fetch anything.
fn git(repository: &Path) -> Command {
    let mut git = Command::new("git");
    git.env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_NO_LAZY_FETCH", "1")
        // For a git that does not know the one above. It goes before all configuration, and `protocol.ext.allow` of a
        // repository goes before `protocol.allow` of ours.
        .env("GIT_ALLOW_PROTOCOL", "")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        // Only plumbing is run, which starts nothing of the owner's; so another owner is no danger.
        .args(["-c", "safe.directory=*", "-c", "safe.bareRepository=all", "-c", "protocol.allow=never"])
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"])
        .args([OsStr::new("--no-pager"), OsStr::new("--git-dir"), repository.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    git
}

fn spawn(command: &mut Command) -> Result<Child, HistoryError> {
    command.spawn().map_err(|error| match error.kind() == ErrorKind::NotFound {
        true => HistoryError::NoGit,
        false => HistoryError::Io(error),
    })
}

/// A git that runs. It is ended when this is dropped.
struct Git {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Git {
    fn start(command: &mut Command) -> Result<Self, HistoryError> {
        let mut child = spawn(command)?;
        let out = child.stdout.take().ok_or(HistoryError::Answer)?;
        Ok(Self { child, out: BufReader::with_capacity(super::stream::CHUNK, out) })
    }

    fn end(mut self) -> Result<(), HistoryError> {
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(HistoryError::Failed { status }) }
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end; waiting leaves no zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LONGEST_LINE: u64 = 64 * 1024;
/// So many objects of one repository are given names.
const MOST_NAMED: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn done(command: &mut Command) -> bool {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// A repository that would have what it lacks fetched by a command of its owner's.
    fn lacking(folder: &Path) -> std::path::PathBuf {
        let git = |words: &[&str]| assert!(done(Command::new("git").arg("-C").arg(folder).args(words)), "{words:?}");
        git(&["init", "--quiet", "."]);
        for (name, value) in [
            ("core.repositoryFormatVersion", "1"),
            ("extensions.partialClone", "evil"),
            ("remote.evil.promisor", "true"),
            ("remote.evil.url", &format!("ext::sh -c touch% {}", folder.join("ran").display())),
            ("protocol.ext.allow", "always"),
        ] {
            git(&["config", name, value]);
        }
        folder.join(".git")
    }

    #[test]
    fn a_git_from_before_lazy_fetches_could_be_forbidden_runs_nothing_either() {
        let folder = tempfile::tempdir().unwrap();
        let repository = lacking(folder.path());
        let object = ["cat-file", "-p", "1234567812345678123456781234567812345678"];
        let ran = || folder.path().join("ran").exists();
        assert!(!done(git(&repository).args(object).env_remove("GIT_NO_LAZY_FETCH")) && !ran());
        let mut open = git(&repository);
        open.args(object).env_remove("GIT_NO_LAZY_FETCH").env_remove("GIT_ALLOW_PROTOCOL");
        assert!(!done(&mut open) && ran(), "the control: its owner's command would be run");
    }
}
