//! The server's process: started in a session of its own, found again by a later daemon, never mistaken for another.

use super::place::Place;
use donjon_drivers::material::Material;
use rustix::{
    fs::{MemfdFlags, SealFlags},
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{MetadataExt, OpenOptionsExt},
            process::CommandExt,
        },
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::io::{Interest, unix::AsyncFd};

/// A running server.
#[derive(Debug)]
pub struct Process {
    mark: Mark,
    handle: AsyncFd<OwnedFd>,
    // Only who started it has to reap it.
    child: Mutex<Option<Child>>,
}

/// What tells a process from all others: ids are used again, but not with the same start time since the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its id.
    pub pid: i32,
    /// Clock ticks from boot to its start.
    pub started: u64,
    /// Which boot.
    pub boot: String,
}

/// A process could not be started or followed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The operating system refused.
    #[error("cannot {act}")]
    System {
        /// What was tried.
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It would not end.
    #[error("the Vault server (pid {pid}) does not end")]
    DoesNotEnd {
        /// Its id.
        pid: i32,
    },
}

impl Process {
    /// Starts the server. Its TLS key reaches it as an anonymous file on standard input, so the key is on no disk.
    pub fn start(binary: &Path, place: &Place, key: &Material) -> Result<Self, ProcessError> {
        let system = |act| move |source| ProcessError::System { act, source };
        let log = || {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(0o600).open(place.log()).map_err(system("open the server's log"))
        };
        let mut command = alone(binary);
        command
            .arg("server")
            .arg(format!("-config={}", place.configuration().display()))
            // Nothing of the daemon's environment: BAO_* would change the configuration.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            // Its garbage is collected a quarter as often: a fifth more writes a second, for some 30 MB of its memory.
            .env("GOGC", "400")
            .current_dir(place.folder())
            .stdin(Stdio::from(anonymous(key).map_err(system("pass the server its key"))?))
            .stdout(log()?)
            .stderr(log()?);
        let mut child = command.spawn().map_err(system("start the Vault server"))?;
        match take_in(&child) {
            Ok((mark, handle)) => Ok(Self { mark, handle, child: Mutex::new(Some(child)) }),
            Err(source) => {
                // What cannot be followed must not go on; it may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                Err(system("take the Vault server in")(source))
            }
        }
    }

    /// Takes over a server that an earlier daemon started. `None`: it is gone. One that is about to be gone, its ports
    /// perhaps still taken, is given back, and [`Process::ended`] waits for it.
    pub fn adopt(mark: &Mark) -> Result<Option<Self>, ProcessError> {
        let Some(pid) = Pid::from_raw(mark.pid) else {
            return Ok(None);
        };
        // The order matters: the handle is opened first, so if the mark fits afterwards, the handle is its.
        let handle = match follow(pid) {
            Ok(handle) => handle,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Ok(None),
            Err(source) => return Err(ProcessError::System { act: "follow the Vault server", source }),
        };
        match Mark::of(pid) {
            Ok(found) if found == *mark => Ok(Some(Self { mark: found, handle, child: Mutex::new(None) })),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Finds a server of this folder that nobody wrote down: the daemon died just after it had started it.
    pub fn stray(place: &Place) -> Result<Option<Self>, ProcessError> {
        let argument = format!("-config={}", place.configuration().display());
        let failed = |source| ProcessError::System { act: "look through /proc", source };
        for entry in std::fs::read_dir("/proc").map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()).and_then(Pid::from_raw) else {
                continue;
            };
            // Processes end while one looks at them; those of others do not matter.
            let own = entry.metadata().is_ok_and(|m| m.uid() == rustix::process::geteuid().as_raw());
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let ours = own && words.split(|b| *b == 0).any(|word| word == argument.as_bytes());
            if ours && let Ok(mark) = Mark::of(pid) {
                return Self::adopt(&mark);
            }
        }
        Ok(None)
    }

    /// What tells it from all others.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        // The handle is readable once the process has ended; an error cannot say anything else.
        let _ = self.handle.ready(Interest::READABLE).await;
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Reaping; that it has ended is known already.
            let _ = child.wait();
        }
    }

    /// Asks it to open its logs anew, and to have the audit devices that its configuration names by now.
    pub fn reopen_logs(&self) -> Result<(), ProcessError> {
        rustix::process::pidfd_send_signal(self.handle.get_ref(), Signal::HUP)
            .map_err(|error| ProcessError::System { act: "tell the Vault server of its new log", source: error.into() })
    }

    /// Asks it to end, then makes it.
    pub async fn stop(&self) -> Result<(), ProcessError> {
        self.end_by(&[Signal::TERM, Signal::KILL]).await
    }

    /// Ends it at once.
    pub async fn kill(&self) -> Result<(), ProcessError> {
        self.end_by(&[Signal::KILL]).await
    }

    async fn end_by(&self, signals: &[Signal]) -> Result<(), ProcessError> {
        for signal in signals {
            match rustix::process::pidfd_send_signal(self.handle.get_ref(), *signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(ProcessError::System { act: "end the Vault server", source: error.into() }),
            }
            if tokio::time::timeout(END_WITHIN, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(ProcessError::DoesNotEnd { pid: self.mark.pid })
    }
}

impl Mark {
    /// Of a process that runs.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let started = started(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid: pid.as_raw_nonzero().get(), started, boot: boot.trim().to_owned() })
    }
}

/// The start time in a line of /proc/PID/stat, whose second field may hold anything.
fn started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// In a session of its own, so that no terminal's signals reach it.
fn alone(binary: &Path) -> Command {
    let setsid = Path::new("/usr/bin/setsid");
    if setsid.exists() {
        let mut command = Command::new(setsid);
        command.arg(binary);
        return command;
    }
    let mut command = Command::new(binary);
    command.process_group(0);
    command
}

fn anonymous(content: &Material) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("donjon", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    // EXPOSE: into memory that only the child gets
    file.write_all(content.expose())?;
    rustix::fs::fcntl_add_seals(
        file.as_fd(),
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// Turns core dumps off in a child that has just started, and opens the handle on it.
fn take_in(child: &Child) -> io::Result<(Mark, AsyncFd<OwnedFd>)> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::prlimit(Some(pid), Resource::Core, none)?;
    Ok((Mark::of(pid)?, follow(pid)?))
}

#[expect(
    deprecated,
    reason = "it is unsound for what may close its descriptor early, which an OwnedFd never does; its successor is unsafe"
)]
fn follow(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?, Interest::READABLE)
}

const END_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_is_read_whatever_the_name() {
        let stat = "42 (a) S (b)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 10";
        assert_eq!(started(stat), Some(123_456));
        assert_eq!(started("42 (a"), None);
    }

    #[tokio::test]
    async fn a_recycled_id_is_not_adopted() {
        let own = Mark::of(rustix::process::getpid()).unwrap();
        assert!(Process::adopt(&own).unwrap().is_some(), "the control: the right mark is");
        let other = Mark { started: own.started - 1, ..own.clone() };
        assert!(Process::adopt(&other).unwrap().is_none());
        let earlier = Mark { boot: "another".to_owned(), ..own };
        assert!(Process::adopt(&earlier).unwrap().is_none());
    }
}
