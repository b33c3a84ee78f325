//! `donjon completion`: what a shell needs to complete commands.

use crate::{
    cli::{Arguments, show},
    failure::Failure,
};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  donjon completion bash > /etc/bash_completion.d/donjon")]
pub struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    /// Prints the script.
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "donjon", &mut script);
        show::write_out(&script)
    }
}
