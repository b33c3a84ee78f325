//! `donjon unseal`: a custodian's share.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::Request,
    vault::{place::Place, shares},
};
use age::x25519;
use clap::Args;
use donjon_drivers::material::Material;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// Give the unseal shares that an identity opens.
///
/// The shares lie in DONJON_HOME, each encrypted to one custodian. They are opened here, by this command, and reach the
/// daemon over its socket; the identity never leaves this process.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  donjon unseal -i ~/.config/age/custodian.txt")]
pub struct Unseal {
    /// A file with an age identity; give one per custodian who is here.
    #[arg(short, long, value_name = "IDENTITY", required = true)]
    identity: Vec<PathBuf>,
}

impl Unseal {
    /// Opens the shares and gives them.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut client = context.client()?;
        let opened = opened(context, &self.identity)?;
        let status = client.ask_quietly(&Request::Unseal, opened)?.value;
        show::answer(context.output, &status, || match &status["state"]["sealed"] {
            sealed if sealed.is_object() => {
                format!("{} of {} unseal shares given\n", sealed["given"], sealed["needed"])
            }
            _ => "the store is open\n".to_owned(),
        })
    }
}

/// The shares that custodians' identities open.
pub fn opened(context: &Context, identities: &[PathBuf]) -> Result<Vec<Material>, Failure> {
    let place = Place::new(&context.home.vault());
    let mut opened = Vec::new();
    for path in identities {
        let found = shares::opened_by(&place, &identity(path)?).map_err(|error| {
            Failure::new(Exit::Failed, "cannot open the unseal shares").because(&error).state("nothing was given")
        })?;
        if found.is_empty() {
            return Err(Failure::new(Exit::NotAllowed, format!("{} opens none of the unseal shares", path.display()))
                .cause("it is the identity of no custodian of this Vault")
                .state("nothing was given")
                .hint("each share is encrypted to one of the keys that `donjon up --custodian` was given"));
        }
        opened.extend(found);
    }
    Ok(opened)
}

fn identity(path: &Path) -> Result<x25519::Identity, Failure> {
    let unread = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Usage, "cannot read the identity").because(error).state("nothing was given")
    };
    let file = Material::new(donjon_drivers::fs::read(path).map_err(|error| unread(&error))?);
    // EXPOSE: parsed into a key that wipes itself
    let text = file.expose_text().map_err(|error| unread(&error))?;
    let key = text.lines().find_map(|line| x25519::Identity::from_str(line.trim()).ok());
    key.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{} holds no age identity", path.display())).state("nothing was given")
    })
}
