//! `donjon get`: one value and nothing else.

use crate::{
    cli::{Context, context::Output, show},
    failure::{Exit, Failure},
    socket::message::{Asked, Request, VersionAsked},
};
use clap::{Args, ValueEnum};
use donjon_drivers::store::secret::Part;
use std::io::{IsTerminal, stdout};

/// Print one value and nothing else.
///
/// The value is written as it is; a line end follows only on a terminal. With `--output json` it stands in an object, under
/// `value`, or where it is no text under `base64`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon get database_password\n  donjon get database_password --version previous\n  donjon get kolla_ssh_key --part public-key"
)]
pub struct Get {
    /// The secret or view.
    name: String,
    /// A version's number, or `previous`.
    #[arg(long, value_parser = version)]
    version: Option<VersionAsked>,
    /// Which half of a key pair.
    #[arg(long, value_enum, default_value_t = Half::Whole)]
    part: Half,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Half {
    /// The value; of a pair, the private key.
    Whole,
    /// The private key of a pair.
    PrivateKey,
    /// The public key of a pair.
    PublicKey,
}

impl Get {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let part = match self.part {
            Half::Whole => Part::Whole,
            Half::PrivateKey => Part::PrivateKey,
            Half::PublicKey => Part::PublicKey,
        };
        let names = vec![Asked { name: self.name.clone(), part }];
        let request = Request::Read { names, version: self.version, epoch: None };
        let reply = context.client()?.ask_quietly(&request, Vec::new())?;
        let value =
            reply.materials.first().ok_or_else(|| Failure::new(Exit::Bug, "the daemon answered without a value"))?;
        if context.output == Output::Json {
            return show::value_in_json(&self.name, value);
        }
        show::value(value)?;
        if stdout().is_terminal() { show::write_out(b"\n") } else { Ok(()) }
    }
}

fn version(text: &str) -> Result<VersionAsked, String> {
    match text {
        "previous" => Ok(VersionAsked::Previous),
        number => {
            number.parse().map(VersionAsked::Number).map_err(|_| "a version is a number, or `previous`".to_owned())
        }
    }
}
