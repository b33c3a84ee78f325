//! `donjon retire-host`: what is forgotten when a node or a site leaves.

use super::{
    export::destination::At,
    recipients::{next, seen},
};
use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::{RecipientsAsked, Request},
};
use clap::Args;
use serde_json::Value;

/// Let a host or a site leave: its recipients are removed, and nobody waits for its receipts any more.
///
/// A recipient that another site has, too, leaves this site alone; by its own name it leaves them all.
/// With --address the AppRole credentials that were made for it in a Vault are destroyed, and the tokens that came of them
/// revoked. What it has seen is printed, with the plan of the rotations that take the worth of that away.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon retire-host compute7\n  donjon retire-host edge1\n  donjon retire-host ctl3 --address https://10.0.0.11:8200 --cacert ca.pem --token-file token"
)]
pub struct RetireHost {
    /// The host or the site; or the age key of a recipient that has no name.
    name: String,
    #[command(flatten)]
    at: At,
}

impl RetireHost {
    /// Asks the daemon.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let vault = self.at.asked()?;
        let materials = vault.as_ref().map(|_| self.at.token()).transpose()?;
        let asked = RecipientsAsked::Retire { name: self.name.clone(), vault };
        let reply = context.client()?.ask_quietly(&Request::Recipients { asked }, materials.into_iter().collect())?;
        let value = reply.value;
        if value["nothing"] == true {
            return Err(Failure::new(Exit::NotThere, format!("no host or site `{}` is known", self.name))
                .state("nothing was changed")
                .hint("`donjon recipients list` and `donjon receipt` show recipients and sites"));
        }
        show::answer(context.output, &value, || people(&self.name, &value))
    }
}

fn people(name: &str, value: &Value) -> String {
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut told = String::new();
    for recipient in list("recipients") {
        told += &format!("no bundle from now on is encrypted to {}\n", recipient.as_str().unwrap_or_default());
    }
    for recipient in list("kept") {
        told += &format!(
            "{} is one of {name} no more, and stays a recipient elsewhere\n",
            recipient.as_str().unwrap_or_default()
        );
    }
    for bundle in list("bundles") {
        told += &format!("nobody waits for the receipt of {} any more\n", bundle.as_str().unwrap_or_default());
    }
    for bundle in list("shared") {
        told += &format!("nobody waits for its receipt of {} any more\n", bundle.as_str().unwrap_or_default());
    }
    if let Some(revoked) = value["revoked"].as_object() {
        told += &format!(
            "{} credentials were destroyed and {} tokens revoked\n",
            revoked["credentials"], revoked["tokens"]
        );
    }
    told + &seen(value)
        + &next(value, &format!("donjon rotate apply --exposed-to {name}"))
        + "take it out of donjon.yaml, too\n"
}
