//! A real container that ends with its test, also where the test is killed.

use crate::{tools, wait};
use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A container. Its root is a throw-away layer over a Debian root; `/test` in it is a folder of the test.
#[derive(Debug)]
pub struct Podman {
    name: String,
    folder: TempDir,
    watcher: Child,
}

/// What podman needs to be told before everything else where the default runtime is not to be trusted.
pub const ENGINE_ARGUMENTS: [&str; 2] = ["--runtime", "runc"];

impl Podman {
    /// Starts a container that shares the machine's network; `arguments` go to `podman run`, `words` are what it runs.
    pub fn start(arguments: &[&str], words: &[&str]) -> Self {
        Self::start_on(&debian_root(), arguments, words)
    }

    /// As [`Self::start`], over another root.
    pub fn start_on(root: &Path, arguments: &[&str], words: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("container.").tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_string_lossy().replace("container.", "donjon-test-");
        // It learns of the test's end by the pipe that closes then, however that comes.
        let watcher = Command::new("sh")
            .args(["-c", "read _; exec podman rm --force --time 0 \"$1\"", "sh", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let container = Self { name, folder, watcher };
        let mut run = container.command(&["run", "--detach", "--name", &container.name, "--network", "host"]);
        run.args(["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"])
            .arg(format!("--volume={}:/test", container.folder.path().display()))
            .args(arguments)
            .arg("--rootfs")
            .arg(format!("{}:O", root.display()))
            .args(words);
        done(&mut run);
        container
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that it sees as `/test`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program in it.
    pub fn exec(&self, words: &[&str]) -> Output {
        self.command(&["exec", &self.name]).args(words).output().unwrap()
    }

    /// As [`Self::exec`]; it must end with 0. What it printed.
    pub fn told(&self, words: &[&str]) -> String {
        done(self.command(&["exec", &self.name]).args(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(ENGINE_ARGUMENTS).args(words).stdin(Stdio::null());
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// A container in which systemd runs.
#[derive(Debug)]
pub struct Booted(Podman);

impl Booted {
    /// Boots one.
    pub async fn start() -> Self {
        Self::start_on(&debian_root(), &[]).await
    }

    /// Boots another root, with more arguments for `podman run`.
    pub async fn start_on(root: &Path, more: &[&str]) -> Self {
        // Its control groups begin at its own top, as on a machine of its own, whatever this one has.
        let arguments = ["--systemd=always", "--privileged", "--cgroupns=private"];
        let booted = Self(Podman::start_on(root, &[&arguments[..], more].concat(), &["/sbin/init"]));
        wait::until("systemd to be up", Duration::from_secs(90), async || {
            let state = booted.0.exec(&["systemctl", "is-system-running"]).stdout;
            matches!(state.trim_ascii(), b"running" | b"degraded").then_some(())
        })
        .await;
        booted
    }
}

impl std::ops::Deref for Booted {
    type Target = Podman;
    fn deref(&self) -> &Podman {
        &self.0
    }
}

/// The root that `tests/setup/debian-root.sh` makes.
fn debian_root() -> PathBuf {
    let root = tools::folder().join("debian-root");
    assert!(
        root.join(".complete").exists(),
        "{} is not there: `make test` makes it, or run tests/setup/debian-root.sh",
        root.display()
    );
    root
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
