//! What every command gets: where the daemon is and how answers are shown.

use crate::{failure::Failure, home::Home, socket::client::Client};
use clap::ValueEnum;

/// How answers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// Where the daemon keeps its files.
    pub home: Home,
    /// How answers are shown.
    pub output: Output,
}

impl Context {
    /// Reads the environment.
    pub fn new(output: Output) -> Result<Self, Failure> {
        Ok(Self { home: Home::from_environment()?, output })
    }

    /// Connects to the daemon.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.home)
    }
}
