//! The real oslo.config, in one Python process that answers line by line.

use super::{
    case::{Case, Given},
    scene::Scene,
};
use donjon_tests::tools;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The process; it ends when dropped.
pub(super) struct Oracle {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// What the original makes of a case.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    /// The error it ended with instead of opening.
    pub(super) opened: Option<String>,
    pub(super) values: Vec<Answer>,
    /// What it logged while it opened: logger, level, line.
    pub(super) heard: Vec<(String, String, String)>,
}

/// What it makes of one option.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) value: Value,
    #[serde(default)]
    pub(super) place: Option<String>,
    #[serde(default)]
    pub(super) error: Option<String>,
    pub(super) heard: Vec<(String, String, String)>,
}

impl Oracle {
    pub(super) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/sources/oracle.py");
        let mut command = Command::new(tools::program("python"));
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env_clear().env("PYTHONUTF8", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = command.spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, to, from }
    }

    pub(super) fn ask(&mut self, case: &Case, scene: &Scene) -> Told {
        let arguments: Vec<String> = case
            .arguments
            .iter()
            .map(|argument| match argument {
                Given::File(name) => format!("--config-file={}", scene.path(name).display()),
                Given::Folder(name) => format!("--config-dir={}", scene.path(name).display()),
                Given::Option(index, text) => case.options[*index].typed(text),
            })
            .collect();
        let environment: Vec<(String, &String)> =
            case.environment.iter().map(|(name, value)| (hex::encode(name), value)).collect();
        let asked = json!({"options": case.options, "arguments": arguments, "environment": environment});
        writeln!(self.to, "{asked}").unwrap();
        let mut line = String::new();
        if self.from.read_line(&mut line).unwrap() == 0 {
            panic!("the original ended without an answer: {:?}\n{asked}", self.process.wait());
        }
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}\n{asked}"))
    }

    /// As [`Oracle::ask`]; `None`, and another process, where it has not answered within its 30 s.
    pub(super) fn ask_patiently(&mut self, case: &Case, scene: &Scene) -> Option<Told> {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.ask(case, scene)));
        let Err(panic) = told else {
            return told.ok();
        };
        if self.process.wait().unwrap().signal() != Some(ALARM) {
            std::panic::resume_unwind(panic);
        }
        *self = Self::start();
        None
    }
}

/// SIGALRM.
const ALARM: i32 = 14;

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
