//! The deployment host itself: commands run as children of this process.

use super::{Command, Host, HostError, Output, registry::Place};
use crate::{
    material::Material,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use std::{ffi::OsString, io, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin},
};

/// The driver `local`.
pub(super) const DRIVER: Driver<Place, Arc<dyn Host>> = Driver {
    name: "local",
    help: "the deployment host itself",
    options: &[BEFORE],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        Ok(Arc::new(Local::new(place.name, options.before)))
    },
};

/// What stands before each command.
pub(super) const BEFORE: Description = Description {
    name: "before",
    kind: Kind::Words,
    need: Need::Optional,
    help: "words before each command, such as [sudo, -n, --]",
};

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    before: Vec<String>,
}

/// The deployment host.
#[derive(Debug, Clone)]
pub struct Local {
    name: String,
    before: Vec<String>,
}

impl Local {
    /// A host of this name. `before` stands before each command's words, such as `sudo -n --`.
    pub fn new(name: impl Into<String>, before: Vec<String>) -> Self {
        Self { name: name.into(), before }
    }
}

#[async_trait]
impl Host for Local {
    async fn run(&self, command: Command<'_>) -> Result<Output, HostError> {
        let words: Vec<&str> = self.before.iter().map(String::as_str).chain(command.words.iter().copied()).collect();
        run(&self.name, &words, &[], command.input, command.within, MOST_OUT).await
    }
}

/// Runs a child to its end: no shell, an environment of three variables and those `kept`, `most` bytes of its output
/// kept, killed with its own children when its time is over or when nobody waits for it any more.
pub(super) async fn run(
    host: &str,
    words: &[&str],
    kept: &[&str],
    input: Option<&Material>,
    within: Duration,
    most: u64,
) -> Result<Output, HostError> {
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    let not_runnable =
        |source| HostError::NotRunnable { host: host.to_owned(), program: (*program).to_owned(), source };
    let environment = ["PATH", "HOME", "LANG"].iter().chain(kept).filter_map(|name| Some((*name, variable(name)?)));
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(not_runnable)?;
    let mut group = Group(child.id());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = tokio::time::timeout(within, attend(&mut child, input, (&mut out, most), &mut err)).await;
    match ended {
        Ok(code) => {
            // What it left running on purpose goes on.
            group.0 = None;
            Ok(Output {
                code: code.map_err(not_runnable)?,
                out: Material::new(out),
                err: String::from_utf8_lossy(&err).into_owned(),
            })
        }
        Err(_) => {
            drop(group);
            // Killed just now; it is reaped so that nothing of it stays.
            let _ = child.wait().await;
            Err(HostError::TimedOut { host: host.to_owned(), program: (*program).to_owned(), within })
        }
    }
}

/// A child's process group, killed when dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

async fn attend(
    child: &mut Child,
    input: Option<&Material>,
    (out, most): (&mut Vec<u8>, u64),
    err: &mut Vec<u8>,
) -> io::Result<Option<i32>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut streams = Box::pin(async {
        tokio::join!(feed(stdin, input), collect(stdout, out, most), collect(stderr, err, MOST_ERR))
    });
    let status = tokio::select! {
        status = child.wait() => {
            // What it left behind may hold its streams open for ever.
            let _ = tokio::time::timeout(AFTERWARDS, streams).await;
            status?
        }
        _ = &mut streams => child.wait().await?,
    };
    Ok(status.code())
}

/// How long streams are read after the child has ended.
const AFTERWARDS: Duration = Duration::from_millis(500);
pub(super) const MOST_OUT: u64 = 1 << 20;
const MOST_ERR: u64 = 1 << 16;

async fn feed(stdin: Option<ChildStdin>, input: Option<&Material>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        // A child that does not read to the end is its own affair; its exit code tells.
        let _ = stdin.write_all(input.expose()).await; // EXPOSE: into the child's pipe, the one way a secret goes there
        let _ = stdin.shutdown().await;
    }
}

/// Reads a stream to its end, keeping what fits.
async fn collect(stream: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>, most: u64) {
    let Some(mut stream) = stream else { return };
    if (&mut stream).take(most).read_to_end(into).await.is_ok() {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    async fn run(words: &[&str], input: Option<&str>, within: u64) -> Result<Output, HostError> {
        let input = input.map(|text| Material::from(text.to_owned()));
        let command = Command { words, input: input.as_ref(), within: Duration::from_millis(within) };
        Local::new("local", vec![]).run(command).await
    }

    fn text(output: &Output) -> &str {
        output.out.expose_text().unwrap() // EXPOSE: what a test's own command printed
    }

    #[tokio::test]
    async fn words_are_words_and_input_is_input() {
        let output = run(&["printf", "%s|", "a b", "$HOME", "*", ""], None, 5000).await.unwrap();
        assert_eq!((output.code, text(&output)), (Some(0), "a b|$HOME|*||"));
        let output = run(&["cat"], Some("by pipe"), 5000).await.unwrap();
        assert_eq!(text(&output), "by pipe");
        let output = run(&["sh", "-c", "echo no >&2; exit 3"], None, 5000).await.unwrap();
        assert_eq!((output.code, output.err.as_str()), (Some(3), "no\n"));
    }

    #[tokio::test]
    async fn the_environment_holds_three_names() {
        let output = run(&["env"], None, 5000).await.unwrap();
        let names: Vec<_> = text(&output).lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.iter().all(|name| ["PATH", "HOME", "LANG"].contains(name)), "{names:?}");
        assert!(names.contains(&"PATH"));
    }

    #[tokio::test]
    async fn time_and_output_are_bounded() {
        let begun = Instant::now();
        let late = run(&["sh", "-c", "sleep 47.11 & sleep 47.12"], None, 200).await;
        assert!(matches!(late, Err(HostError::TimedOut { .. })), "{late:?}");
        assert!(begun.elapsed() < Duration::from_secs(3));
        let long = run(&["head", "-c", "3000000", "/dev/zero"], None, 5000).await.unwrap();
        assert_eq!((long.code, long.out.len()), (Some(0), 1 << 20));
        // The child's own child is gone too; the control: a process that is there is found.
        let found = run(&["pgrep", "-f", "^sleep 47.1"], None, 5000).await.unwrap();
        assert_eq!(found.code, Some(1), "{}", text(&found));
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_does_not_hold_its_answer() {
        let begun = Instant::now();
        let output = run(&["sh", "-c", "echo done; sleep 2 &"], None, 20_000).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(text(&output), "done\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let missing = run(&["/nowhere/at-all"], None, 5000).await.unwrap_err();
        assert_eq!(missing.to_string(), "`/nowhere/at-all` cannot be run on local");
    }
}
