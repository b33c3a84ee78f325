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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
    #[serde(skip)]
    told: usize,
}

impl Report {
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
        self.told += text + AROUND;
        self.told <= MOST_TOLD
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
