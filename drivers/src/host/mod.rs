//! Hosts: where a command runs.

pub mod inventory;
pub mod local;
pub mod registry;
pub mod ssh;

use crate::material::Material;
use async_trait::async_trait;
use std::time::Duration;

/// A host that runs commands.
#[async_trait]
pub trait Host: Send + Sync {
    /// Runs a command to its end, within its time.
    async fn run(&self, command: Command<'_>) -> Result<Output, HostError>;
}

/// A command: words, never a shell line, and never with a secret in them.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program and its arguments.
    pub words: &'a [&'a str],
    /// What it reads on standard input. Secrets go here and nowhere else.
    pub input: Option<&'a Material>,
    /// How long it may take.
    pub within: Duration,
}

/// What a command left.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote on standard output, at most 1 MiB. It may hold a secret.
    pub out: Material,
    /// What it wrote on standard error, at most 64 KiB.
    pub err: String,
}

/// Why a command did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The host cannot be reached.
    #[error("host {host} cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command did not end in time and was ended.
    #[error("`{program}` on {host} did not end within {} s", within.as_secs())]
    TimedOut {
        /// The host.
        host: String,
        /// The program.
        program: String,
        /// Its time.
        within: Duration,
    },
    /// There is no such program.
    #[error("`{program}` cannot be run on {host}")]
    NotRunnable {
        /// The host.
        host: String,
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
