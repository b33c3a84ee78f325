//! What a process and its children change in the file system, as `strace` tells it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// What a traced process left.
#[derive(Debug)]
pub struct Traced {
    /// As it would have left it untraced.
    pub output: Output,
    /// Each call that named a file.
    pub calls: Vec<String>,
}

impl Traced {
    /// Runs a command to its end, with nothing in its environment but what it was given.
    pub fn run(command: &Command, log: &Path) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=%file", "-o"]).arg(log).arg("--");
        strace.arg(command.get_program()).args(command.get_args()).env_clear();
        strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            strace.current_dir(folder);
        }
        let output = strace.stdin(std::process::Stdio::null()).output().expect("strace is installed");
        let log = fs::read_to_string(log).expect("it was traced");
        Self { output, calls: log.lines().map(str::to_owned).collect() }
    }

    /// The calls that open a file to write it, or make, rename or change one: all but those that only look. Devices hold nothing.
    pub fn changes(&self) -> Vec<&str> {
        self.calls.iter().map(String::as_str).filter(|line| is_change(line)).collect()
    }

    /// Whether a file was opened, for whatever.
    pub fn opened(&self, file: &Path) -> bool {
        let named = format!("\"{}\"", file.display());
        self.calls.iter().any(|line| call(line).is_some_and(|call| call.starts_with("open")) && line.contains(&named))
    }
}

/// The name of the call in a line; none in one that tells of a signal, of an end, or how an earlier call ended.
fn call(line: &str) -> Option<&str> {
    let (before, _) = line.split_once('(')?;
    before.split_whitespace().next_back().filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

fn is_change(line: &str) -> bool {
    match call(line) {
        None => false,
        Some("open" | "openat" | "openat2") => {
            ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag))
                && !line.contains("\"/dev/")
        }
        Some(name) => !LOOKS.contains(&name),
    }
}

/// Calls that name a file and change nothing.
const LOOKS: [&str; 14] = [
    "access",
    "chdir",
    "execve",
    "faccessat",
    "faccessat2",
    "getcwd",
    "getxattr",
    "lstat",
    "newfstatat",
    "readlink",
    "readlinkat",
    "stat",
    "statfs",
    "statx",
];
