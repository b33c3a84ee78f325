//! What a scan tells: where a value was found, and where nobody could look. Never the value.

use super::{encoding::Encoding, needles::Standing};
use donjon_policies::name::SecretName;
use serde::Serialize;

/// A stored value at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Whose value.
    pub secret: SecretName,
    /// Which of its values.
    pub standing: Standing,
    /// How it is written there.
    pub encoding: Encoding,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The first byte of it there, counted from 0.
    pub offset: u64,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// In a file.
    File {
        /// Its path; bytes that are no text are replaced.
        path: String,
    },
    /// In a file that lies in an archive.
    Member {
        /// The archive.
        path: String,
        /// The file in it; of archives in each other, one after the other.
        member: String,
    },
    /// In a process.
    Process {
        /// Its number.
        pid: u32,
        /// Its command's name.
        command: String,
        /// `environ` or `cmdline`.
        part: String,
    },
    /// In what a program prints.
    Output {
        /// The program and its arguments.
        output: String,
    },
    /// In the history of a git repository.
    Object {
        /// The repository's own folder.
        repository: String,
        /// The object.
        object: String,
        /// `blob`, `commit`, `tree` or `tag`.
        kind: String,
        /// A commit that brought it in; none where no branch or tag reaches it.
        #[serde(skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// The path it had there.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
}

/// A place where nobody could look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsearched {
    /// Where.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings, as many as fit in [`MOST_TOLD`].
    pub findings: Vec<Finding>,
    /// How many there are altogether.
    pub found: u64,
    /// Values in declared sinks, which are no findings.
    pub declared: u64,
    /// Places that could not be looked at, as many as fit in [`MOST_TOLD`].
    pub unsearched: Vec<Unsearched>,
    /// How many there are altogether.
    pub unsearched_count: u64,
    /// Files that were read to the end.
    pub files: u64,
    /// Git objects that were read to the end.
    pub objects: u64,
    /// Processes that were looked at.
    pub processes: u64,
    /// Files in archives that were read to the end.
    pub members: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Symbolic links, which are not followed.
    pub links: u64,
    /// Sockets, pipes, devices and folders of the kernel's own, which hold no files.
    pub special: u64,
    /// How much text may still be listed, in bytes.
    #[serde(skip)]
    room: usize,
}

impl Default for Report {
    fn default() -> Self {
        Self::listing(MOST_TOLD)
    }
}

impl Report {
    /// One that lists so many bytes of text, and counts the rest.
    fn listing(room: usize) -> Self {
        Self {
            findings: Vec::new(),
            found: 0,
            declared: 0,
            unsearched: Vec::new(),
            unsearched_count: 0,
            files: 0,
            objects: 0,
            processes: 0,
            members: 0,
            bytes: 0,
            links: 0,
            special: 0,
            room,
        }
    }

    /// One that lists all: for who compares two of them.
    pub(super) fn whole() -> Self {
        Self::listing(usize::MAX)
    }

    /// Whether there was more than could be listed.
    pub(super) fn is_cut(&self) -> bool {
        self.found > self.findings.len() as u64 || self.unsearched_count > self.unsearched.len() as u64
    }

    pub(super) fn found(&mut self, finding: Finding) {
        self.found += 1;
        if self.has_room_for(finding.place.to_string().len()) {
            self.findings.push(finding);
        }
    }

    pub(super) fn unsearched(&mut self, path: &std::path::Path, reason: impl Into<String>) {
        self.unsearched_count += 1;
        let (path, reason) = (path.display().to_string(), reason.into());
        if self.has_room_for(path.len() + reason.len()) {
            self.unsearched.push(Unsearched { path, reason });
        }
    }

    fn has_room_for(&mut self, text: usize) -> bool {
        let left = self.room.checked_sub(text + AROUND);
        self.room = left.unwrap_or_default();
        left.is_some()
    }
}

impl Place {
    /// A member of what lies here.
    pub(super) fn within(&self, name: &str) -> Self {
        match self {
            Self::File { path } => Self::Member { path: path.clone(), member: name.to_owned() },
            Self::Member { path, member } => Self::Member { path: path.clone(), member: format!("{member}/{name}") },
            Self::Process { .. } | Self::Output { .. } | Self::Object { .. } => self.clone(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path } => f.write_str(path),
            Self::Member { path, member } => write!(f, "{path}: {member}"),
            Self::Process { pid, command, part } => write!(f, "process {pid} ({command}), {part}"),
            Self::Output { output } => write!(f, "`{output}`"),
            Self::Object { repository, object, kind, commit, path } => {
                write!(f, "{repository} {kind} {object}")?;
                if let Some(path) = path {
                    write!(f, " {path}")?;
                }
                match commit {
                    Some(commit) => write!(f, " (commit {commit})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The text of what is listed, in bytes: an answer has to fit in one frame. The rest is counted.
pub const MOST_TOLD: usize = 256 * 1024;
/// What stands around a path in an answer: names, offset, encoding.
const AROUND: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_compares_two_looks_has_each_finding_and_else_it_is_said_that_some_are_missing() {
        let finding = |pid| Finding {
            secret: "x".parse().unwrap(),
            standing: Standing::Current,
            encoding: Encoding::Raw,
            place: Place::Process { pid, command: "a".repeat(1000), part: "memory".to_owned() },
            offset: 0,
        };
        let (mut told, mut whole) = (Report::default(), Report::whole());
        for pid in 0..1000 {
            told.found(finding(pid));
            whole.found(finding(pid));
        }
        assert_eq!((whole.findings.len(), whole.is_cut()), (1000, false));
        assert!(told.findings.len() < 300 && told.found == 1000 && told.is_cut());
    }
}
