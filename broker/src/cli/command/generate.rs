//! `donjon generate`: makes the secrets that are not there yet.

use crate::{
    cli::{Context, progress::Progress, show},
    config,
    failure::{Exit, Failure},
    socket::message::Request,
};
use clap::Args;
use serde_json::Value;
use std::path::Path;

/// Make every secret of a catalogue that is not there yet.
///
/// What is there is never changed, so this can be repeated, and two at once make one value each. Secrets that a person
/// supplies are listed and left alone.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon generate --catalogue kolla-ansible\n  donjon generate --catalogue tripleo MysqlRootPassword\n  donjon generate --catalogue ./own.yaml"
)]
pub struct Generate {
    /// Only these secrets.
    names: Vec<String>,
    /// kolla-ansible, tripleo, openstack-ansible, or a file; the one of the deployment file where none is given.
    #[arg(long)]
    catalogue: Option<String>,
    /// Begin this deployment, although the store holds secrets of another one alone.
    #[arg(long)]
    new_deployment: bool,
}

impl Generate {
    /// Asks the daemon, and shows how far it is.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let catalogue_text = match &self.catalogue {
            Some(word) if config::is_file(word) => Some(text(word)?),
            Some(_) | None => None,
        };
        let Self { names, catalogue, new_deployment } = self;
        let request = Request::Generate { catalogue, catalogue_text, names, new_deployment };
        let mut progress = Progress::new(context.output);
        let reply = context.client()?.ask(&request, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        let reply = reply?.value;
        show::answer(context.output, &reply, || summary(&reply))
    }
}

/// A catalogue file is read here, by the user who named it, and not by the daemon.
fn text(file: &str) -> Result<String, Failure> {
    let unread = || Failure::new(Exit::Usage, format!("cannot read the catalogue {file}")).state("nothing was made");
    let bytes = donjon_drivers::fs::read(Path::new(file)).map_err(|error| unread().because(&error))?;
    String::from_utf8(bytes).map_err(|error| unread().because(&error.utf8_error()))
}

fn summary(reply: &Value) -> String {
    let names = |key: &str| -> Vec<&str> {
        reply[key].as_array().map(|names| names.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    };
    let mut text = format!("made {} secrets; {} were there already\n", names("made").len(), names("present").len());
    for name in names("operator") {
        text.push_str(&format!("a person supplies `{name}`: donjon put {name}\n"));
    }
    text
}
