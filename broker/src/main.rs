//! `donjon`: parses the command line, runs the command, and ends with a documented exit code.

use clap::Parser;
use donjon::{
    cli::{Arguments, context::Output},
    failure::Exit,
};
use donjon_drivers::memory::{Wiping, harden};
use std::process::ExitCode;

#[global_allocator]
static MEMORY: Wiping = Wiping;

fn main() -> ExitCode {
    if let Err(error) = harden() {
        anstream::eprintln!("error: cannot switch core dumps off: {error}");
        return ExitCode::from(u8::from(Exit::Bug));
    }
    let arguments = Arguments::parse();
    let output = arguments.output;
    match arguments.run() {
        Ok(code) => code,
        Err(failure) => {
            if failure.code != Exit::ReaderGone {
                match output {
                    Output::Json => anstream::eprintln!("{}", serde_json::json!({"error": failure})),
                    Output::Table => anstream::eprintln!("{failure}"),
                }
            }
            ExitCode::from(u8::from(failure.code))
        }
    }
}
