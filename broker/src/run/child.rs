//! A command as a child: its output through a mask, signals passed on to it, its exit code as ours.

use super::mask::{Covering, Mask};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write, stderr, stdin, stdout},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    thread,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

/// Runs a command to its end. What it writes passes through the mask, and what it starts may write on.
pub fn run(command: std::process::Command, mask: Option<Mask>) -> io::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, copies) = runtime.block_on(async {
        let mut command = Command::from(command);
        if mask.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        // Before there is a child that a signal could be meant for.
        let signals = Signals::new()?;
        let mut child = command.spawn()?;
        let copies = match mask {
            Some(mask) => copies(&mut child, &Arc::new(mask))?,
            None => Vec::new(),
        };
        Ok::<_, io::Error>((signals.until_ended(&mut child).await?, copies))
    })?;
    for copy in copies {
        // One that panicked has nothing more to say.
        let _ = copy.join();
    }
    Ok(status)
}

/// The exit code that a shell gives.
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn copies(child: &mut Child, mask: &Arc<Mask>) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let mut copies = Vec::new();
    if let Some(from) = child.stdout.take() {
        let (from, mask) = (File::from(from.into_owned_fd()?), mask.clone());
        copies.push(thread::spawn(move || copy(from, stdout(), &mask)));
    }
    if let Some(from) = child.stderr.take() {
        let (from, mask) = (File::from(from.into_owned_fd()?), mask.clone());
        copies.push(thread::spawn(move || copy(from, stderr(), &mask)));
    }
    Ok(copies)
}

/// Until its end, or until nobody reads on: then the child learns of it as if it wrote there itself.
fn copy(mut from: File, mut to: impl Write, mask: &Mask) {
    let mut covering = Covering::new(mask);
    let mut chunk = zeroize::Zeroizing::new(vec![0; CHUNK]);
    loop {
        let out = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) if count > 0 => covering.pass(&chunk[..count]),
            Ok(_) | Err(_) => {
                let _ = to.write_all(&covering.end()).and_then(|()| to.flush());
                return;
            }
        };
        if to.write_all(&out).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
    user2: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn until_ended(mut self, child: &mut Child) -> io::Result<ExitStatus> {
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // A terminal sends these to the child as well.
        let typed = stdin().is_terminal();
        loop {
            let got = tokio::select! {
                status = child.wait() => return status,
                _ = self.hangup.recv() => Some(Signal::HUP),
                _ = self.interrupt.recv() => (!typed).then_some(Signal::INT),
                _ = self.quit.recv() => (!typed).then_some(Signal::QUIT),
                _ = self.terminate.recv() => Some(Signal::TERM),
                _ = self.user1.recv() => Some(Signal::USR1),
                _ = self.user2.recv() => Some(Signal::USR2),
            };
            if let (Some(id), Some(got)) = (id, got) {
                // It may have ended just now.
                let _ = kill_process(id, got);
            }
        }
    }
}

const CHUNK: usize = 16 * 1024;
