//! Places that are no files of a tree: environments and arguments of processes, the journal, what podman says of containers.

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::PathBuf,
    process::{Command, Stdio},
};

/// What is searched beside files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// The environment and the arguments of every process.
    Processes,
    /// All that the journal holds.
    Journal,
    /// What `podman inspect` shows of every container.
    Containers,
}

/// A process and the files that show it.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) command: String,
}

impl Process {
    /// Every process, as far as they can be seen.
    pub(super) fn all() -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
                let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                all.push(Self { pid, command: command.trim_end().to_owned() });
            }
        }
        all.sort_unstable_by_key(|process| process.pid);
        Ok(all)
    }

    /// Its environment and its arguments.
    pub(super) fn parts(&self) -> [(&'static str, PathBuf); 2] {
        ["environ", "cmdline"].map(|part| (part, PathBuf::from(format!("/proc/{}/{part}", self.pid))))
    }
}

/// A program whose output is searched. It gets no environment but its search path.
pub(super) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .envs(["PATH", "HOME", "XDG_RUNTIME_DIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Every container that podman knows.
pub(super) fn containers() -> io::Result<Vec<String>> {
    let listed = program("podman", &["ps", "--all", "--quiet", "--no-trunc"]).output()?;
    if !listed.status.success() {
        return Err(io::Error::other(format!("podman ended with {}", listed.status)));
    }
    Ok(String::from_utf8_lossy(&listed.stdout).split_whitespace().map(str::to_owned).collect())
}

/// All of the journal, fields that are no text included.
pub(super) const JOURNAL: &[&str] = &["--all", "--no-pager", "--quiet", "--output=export"];
