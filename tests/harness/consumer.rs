//! A consumer of MySQL root as a test's service: it logs in anew every 20 ms and reports every login that was denied.

use crate::{donjon, donjon::Donjon, tools};
use rustix::process::Signal;
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The consumer; it ends when dropped.
#[derive(Debug)]
pub struct Consumer {
    folder: TempDir,
    words: Vec<String>,
}

/// What it has reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// How often it started.
    pub started: usize,
    /// How many logins it has made since its last start, to the last full 25.
    pub logins: u64,
    /// How many were denied.
    pub denied: usize,
}

impl Report {
    /// What a consumer has written into its report.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut report = Self::default();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            if line.get("started").is_some() {
                report.started += 1;
                report.logins = 0;
            }
            report.denied += usize::from(line.get("denied").is_some());
            report.logins = line["logins"].as_u64().unwrap_or(report.logins);
        }
        report
    }
}

impl Consumer {
    /// A consumer that does not run yet.
    pub fn new(donjon: &Donjon, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/consumer/restart.py");
        let socket = donjon.home().join("run/donjon.sock");
        let words = [
            tools::program("python").display().to_string(),
            script.to_owned(),
            folder.path().display().to_string(),
            socket.display().to_string(),
            port.to_string(),
        ];
        Self { folder, words: words.to_vec() }
    }

    /// It as a service of the deployment file.
    pub fn service(&self) -> String {
        let started = self.started();
        format!(
            "services:\n  consumer:\n    driver: command\n    restart: {:?}\n    started: [cat, {started:?}]\n    settle: 20\n    uses: [database_password]\n",
            self.words
        )
    }

    /// As [`Self::service`], with a check that fails after the restart of this number.
    pub fn service_failing_after(&self, start: usize) -> String {
        let check = format!("test \"$(grep -c started {})\" -ne {start}", self.path("report").display());
        format!("{}    check: [sh, -c, {check:?}]\n", self.service().replace("settle: 20", "settle: 1"))
    }

    /// Starts it by hand, as an operator has before the first rotation.
    pub fn start(&self) {
        let status = Command::new(&self.words[0]).args(&self.words[1..]).status().expect("python is there");
        assert!(status.success(), "{}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    /// What it has reported so far.
    pub fn report(&self) -> Report {
        Report::read(&self.path("report"))
    }

    /// Where it says when it started last, in microseconds since 1970.
    pub fn started(&self) -> PathBuf {
        self.path("started")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.path("pid")).ok().and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid {
            donjon::end(pid, Signal::KILL);
        }
    }
}
