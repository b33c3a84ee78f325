//! The command line with the program's own allocator, built as the bench `lookup` is, which is the same with the system's.

use clap::Parser;
use donjon::cli::Arguments;
use donjon_drivers::memory::Wiping;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: Wiping = Wiping;

fn main() -> ExitCode {
    // `cargo test` runs every bench without words.
    if std::env::args().len() == 1 {
        return ExitCode::SUCCESS;
    }
    Arguments::parse().run().unwrap_or(ExitCode::FAILURE)
}
