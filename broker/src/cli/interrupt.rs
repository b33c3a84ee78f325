//! Ctrl-C while the daemon works for a command: the command ends and says so, and the daemon goes on.

use crate::socket::client::Client;
use std::{
    io,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::signal::unix::{SignalKind, signal};

/// Whether SIGINT has come.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT hangs up on the daemon instead of ending the process, so that the command can say how things are.
    ///
    /// # Errors
    ///
    /// The signal cannot be waited for, or is ignored, as of a command in the background of a script: then all is as ever.
    pub fn hangs_up(client: &Client) -> io::Result<Self> {
        if is_ignored() {
            return Err(io::Error::other("SIGINT is ignored"));
        }
        let line = client.line()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut interrupt = {
            let _within = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        let come = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&come);
        std::thread::spawn(move || {
            if runtime.block_on(interrupt.recv()).is_some() {
                told.store(true, Relaxed);
                // What cannot be hung up on has ended already.
                let _ = line.shutdown(Shutdown::Both);
            }
        });
        Ok(Self(come))
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Whether whoever started this has had it ignore SIGINT. See proc_pid_status(5).
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & OF_SIGINT != 0)
}

/// The bit of signal 2.
const OF_SIGINT: u64 = 1 << 1;
