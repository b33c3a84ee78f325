//! A `donjon` of a test's own: its home, its daemon, and the commands run against it.

use crate::{
    process::{tied, wait_for},
    search, told, tools,
};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Mutex,
    time::Duration,
};
use tempfile::TempDir;

/// A home with a daemon, which ends when dropped.
#[derive(Debug)]
pub struct Donjon {
    home: TempDir,
    environment: BTreeMap<String, String>,
    /// What commands have said, but for the values that `get` is there to say.
    said: Mutex<String>,
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its arguments.
    pub asked: Vec<String>,
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// What a command with these arguments left.
    pub fn of(asked: &[&str], output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            asked: asked.iter().map(ToString::to_string).collect(),
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    /// The error of a program of others that must have ended with this code.
    #[track_caller]
    pub fn ended(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        self.err
    }

    /// The error of a command that must have ended with this code, and have told it in the form that every error has.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        if let Err(lacks) = told::form(&self) {
            panic!("the error lacks {lacks}: {self:#?}");
        }
        self.err
    }

    /// The JSON that a command printed that must have succeeded.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

impl Default for Donjon {
    fn default() -> Self {
        Self::new()
    }
}

impl Donjon {
    /// A home without a daemon.
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// A home without a daemon, whose daemons tell everything that they can tell, for [`Self::tells`].
    pub fn verbose() -> Self {
        let mut donjon = Self::new();
        donjon.set("DONJON_LOG", "trace");
        donjon
    }

    /// A home without a daemon, in a folder.
    pub fn below(folder: &Path) -> Self {
        let private = Permissions::from_mode(0o700);
        let home = tempfile::Builder::new().prefix("donjon.").permissions(private).tempdir_in(folder);
        let home = home.expect("a temporary folder can be made");
        let bin = tools::program("bao").display().to_string();
        let environment = BTreeMap::from([("DONJON_VAULT_BIN".to_owned(), bin)]);
        Self { home, environment, said: Mutex::default() }
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Commands and daemons started from now on get this in their environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// They no longer get it.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Writes the deployment file.
    pub fn describe(&self, yaml: &str) {
        donjon_drivers::fs::replace(&self.home().join("donjon.yaml"), yaml.as_bytes())
            .expect("the home can be written");
    }

    /// The command, for a test that spawns it itself.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.prepared(Command::new(binary()), arguments)
    }

    /// As [`Self::command`]; the kernel ends it with the thread that starts it.
    pub fn tied_command(&self, arguments: &[&str]) -> Command {
        self.prepared(tied(binary()), arguments)
    }

    /// As [`Self::command`], started by another program and its arguments.
    pub fn command_by(&self, by: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg(binary());
        self.prepared(command, arguments)
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        for name in
            ["VAULT_ADDR", "BAO_ADDR", "VAULT_TOKEN", "BAO_TOKEN", "FAILPOINTS", "DONJON_CONFIG", "DONJON_SOCKET"]
        {
            command.env_remove(name);
        }
        command.args(arguments).env("DONJON_HOME", self.home()).env("NO_COLOR", "1").envs(&self.environment);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, b"")
    }

    /// Runs a command that reads this.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("donjon is built: `cargo build --workspace`");
        let mut stdin = child.stdin.take().expect("it was asked for");
        // A command that reads nothing may have closed it.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("a child can be waited for");
        let ran = Ran::of(arguments, output);
        let shown = if arguments.first() == Some(&"get") { "" } else { &ran.out };
        self.said.lock().unwrap().extend([shown, &ran.err]);
        ran
    }

    /// Where any of these values stands, in any form, in what was told at the finest level: on the standard error of commands,
    /// in what those said that are not there to say a value, in the daemon's log, and in every other file of its home but the
    /// deployment file, which is the tester's own.
    ///
    /// The search is shown to see each form, and the log to be of that level.
    #[track_caller]
    pub fn tells(&self, values: &[&str]) -> Vec<PathBuf> {
        assert!(self.log().contains(" TRACE "), "the control: the log is of the finest level");
        let said = self.home().join("said");
        donjon_drivers::fs::replace(&said, self.said.lock().unwrap().as_bytes()).expect("the home can be written");
        let mut found = search::in_any_form(self.home(), values);
        found.retain(|file| *file != self.home().join("donjon.yaml"));
        found
    }

    /// Starts the daemon with its store.
    #[track_caller]
    pub fn up(&self) {
        self.run(&["up"]).ok();
    }

    /// The daemon's process id, where one answers.
    pub fn daemon(&self) -> Option<i32> {
        let ran = self.run(&["status", "--output", "json"]);
        let status: Value = serde_json::from_str(&ran.out).ok()?;
        status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Kills the daemon as by `kill -9`, and waits until it is gone.
    #[track_caller]
    pub fn kill_daemon(&self) {
        let pid = self.daemon().expect("a daemon runs");
        end(pid, Signal::KILL);
    }

    /// The process id that its Vault was recorded with.
    pub fn vault(&self) -> Option<i32> {
        let record = std::fs::read_to_string(self.home().join("vault/process.json")).ok()?;
        let record: Value = serde_json::from_str(&record).ok()?;
        record["process"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Donjon {
    fn drop(&mut self) {
        self.environment.remove("FAILPOINTS");
        // What is left is ended by its own id: the daemon's, and the one that it recorded of its Vault.
        let _ = self.run(&["down", "--force", "--no-search"]);
        if let Some(pid) = self.daemon() {
            end(pid, Signal::KILL);
        }
        if let Some(pid) = self.vault().filter(|pid| serves(*pid, self.home())) {
            end(pid, Signal::KILL);
        }
    }
}

/// Whether a process is the Vault of a home: a number alone may belong to another by now.
fn serves(pid: i32, home: &Path) -> bool {
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.contains(&home.display().to_string())
}

/// The binary under test, built beside this test.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its own file");
    let folder = own.ancestors().find(|a| a.join("donjon").is_file());
    folder.expect("donjon is built: `cargo build --workspace`").join("donjon")
}

/// Whether a process runs (a zombie does not).
pub fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Sends a signal and waits until the process is gone.
pub fn end(pid: i32, signal: Signal) {
    if let Some(process) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = rustix::process::kill_process(process, signal);
        wait_for("the process to end", Duration::from_secs(60), || !runs(pid));
    }
}
