//! A broker of the campaign: the real `donjon` daemon as a child, so that how it ends is seen.

use crate::{
    donjon::{Donjon, Ran, binary},
    process::wait_for,
};
use rustix::process::{Pid, Signal};
use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    time::Duration,
};

/// A daemon with its home; it ends when dropped.
#[derive(Debug)]
pub(super) struct Broker {
    donjon: Donjon,
    token: String,
    child: Option<Child>,
    armed: bool,
}

impl Broker {
    /// One that does not run yet. It finds its store through `environment`.
    pub(super) fn new(environment: &[(&str, String)], token: &str) -> Self {
        let mut donjon = Donjon::new();
        for (name, value) in environment {
            donjon.set(name, value);
        }
        Self { donjon, token: token.to_owned(), child: None, armed: false }
    }

    /// Its deployment file.
    pub(super) fn describe(&self, yaml: &str) {
        self.donjon.describe(yaml);
    }

    /// Starts it, or starts it anew, with these failpoints.
    pub(super) fn start(&mut self, failpoints: &str) {
        self.kill();
        let log = OpenOptions::new().create(true).append(true).open(self.donjon.home().join("daemon.log")).unwrap();
        let mut command = self.donjon.tied_command(&["up", "--foreground", "--token-on-stdin"]);
        command.env("FAILPOINTS", failpoints).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        child.stdin.take().unwrap().write_all(self.token.as_bytes()).unwrap();
        let mut reports = BufReader::new(child.stdout.take().unwrap()).lines();
        let serving = reports.any(|line| line.is_ok_and(|line| line.contains("serving")));
        self.child = Some(child);
        self.armed = !failpoints.is_empty();
        assert!(serving, "the daemon did not start: {}", self.donjon.log());
    }

    /// Has it run without failpoints.
    pub(super) fn ready(&mut self) {
        if self.armed || !self.runs() {
            self.start("");
        }
    }

    /// Whether it runs.
    pub(super) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// The signal that ended it, where one has; waits a moment for that.
    pub(super) fn ended_by_signal(&mut self) -> Option<i32> {
        let child = self.child.as_mut()?;
        wait_for("the daemon to end", Duration::from_secs(60), || child.try_wait().unwrap().is_some());
        child.try_wait().unwrap().and_then(|status| status.signal())
    }

    /// Kills it as by `kill -9`, and says by which signal it ended.
    pub(super) fn kill(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap().signal()
    }

    /// Stops it where it stands, or lets it go on.
    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        rustix::process::kill_process(id.unwrap(), signal).unwrap();
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.donjon.run(arguments)
    }

    /// Stores a value.
    pub(super) fn put(&self, secret: &str, value: &str) {
        self.donjon.run_with_input(&["put", secret], value.as_bytes()).ok();
    }

    /// Begins a command.
    pub(super) fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.donjon.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Which named points it says it was killed at, in order.
    pub(super) fn killed_at(&self) -> Vec<String> {
        let killed = |line: &str| Some(line.strip_prefix("checkpoint ")?.strip_suffix(": killed")?.to_owned());
        self.donjon.log().lines().filter_map(killed).collect()
    }

    /// Everything that it has written.
    pub(super) fn home(&self) -> &std::path::Path {
        self.donjon.home()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
