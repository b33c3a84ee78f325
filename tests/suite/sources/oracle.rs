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
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
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
        Self::running(&[script])
    }

    fn running(words: &[&str]) -> Self {
        let mut command = Command::new(tools::program("python"));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env_clear().env("PYTHONUTF8", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = command.spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, to, from }
    }

    pub(super) fn ask(&mut self, case: &Case, scene: &Scene) -> Result<Told, Ended> {
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
        let mut line = String::new();
        let heard = writeln!(self.to, "{asked}").and_then(|()| self.from.read_line(&mut line));
        if !matches!(heard, Ok(1..)) {
            // Whatever it still does, nobody waits for it.
            let _ = self.process.kill();
            return Err(Ended { status: self.process.wait().unwrap(), asked: asked.to_string() });
        }
        match serde_json::from_str(&line) {
            Ok(Line::Told(told)) => Ok(told),
            Ok(Line::Died { died }) => panic!("the original did not get to an answer: {died}\n{asked}"),
            Err(error) => panic!("{error}: {line}\n{asked}"),
        }
    }

    /// As [`Oracle::ask`]; `None`, and another process, where it has not answered within its 30 s.
    pub(super) fn ask_patiently(&mut self, case: &Case, scene: &Scene) -> Option<Told> {
        match self.ask(case, scene) {
            Ok(told) => Some(told),
            Err(ended) if ended.status.signal() == Some(ALARM) => {
                *self = Self::start();
                None
            }
            Err(ended) => panic!("{ended:?}"),
        }
    }
}

/// It ended without an answer.
#[derive(Debug)]
pub(super) struct Ended {
    status: ExitStatus,
    #[expect(dead_code, reason = "printed, so that the case can be replayed")]
    asked: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Died { died: String },
    Told(Told),
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

/// The first closes what it answers by and goes on; the second is late.
#[test]
fn an_original_that_has_no_answer_is_not_waited_for() {
    for (code, signal) in [
        ("import os, time; os.close(1); time.sleep(600)", 9),
        ("import os, signal, sys; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGALRM)", ALARM),
    ] {
        let ended = Oracle::running(&["-c", code]).ask(&Case::default(), &Scene::new()).unwrap_err();
        assert_eq!(ended.status.signal(), Some(signal), "{ended:?}");
    }
}
