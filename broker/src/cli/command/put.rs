//! `donjon put`: a value from standard input.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::{frame::LONGEST_MATERIAL, message::Request},
};
use clap::Args;
use donjon_drivers::material::Material;
use serde_json::Value;
use std::io::{IsTerminal, Read, stdin};

/// Store a value, read from standard input, as the next version of a secret.
///
/// The bytes are kept exactly as they come; one line end at the very end is dropped, unless --exact is given.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon put docker_registry_password < registry-password\n  pass show registry | donjon put docker_registry_password"
)]
pub struct Put {
    /// The secret.
    name: String,
    /// Keep a line end at the very end.
    #[arg(long)]
    exact: bool,
    /// Store a value of no bytes.
    #[arg(long)]
    empty: bool,
    /// Begin this deployment, although the store holds secrets of another one alone.
    #[arg(long)]
    new_deployment: bool,
}

impl Put {
    /// Reads and stores.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, "put reads the value from standard input, and that is a terminal")
                .hint("`donjon put NAME < FILE`; what is typed on a terminal would be shown"));
        }
        let mut client = context.client()?;
        let mut bytes = Vec::with_capacity(LONGEST_MATERIAL + 1);
        let unread = |error: std::io::Error| {
            Failure::new(Exit::Failed, "cannot read the value from standard input")
                .because(&error)
                .state("nothing was stored")
        };
        stdin().lock().take(LONGEST_MATERIAL as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
        if bytes.len() > LONGEST_MATERIAL {
            return Err(Failure::new(Exit::Usage, format!("the value is longer than {LONGEST_MATERIAL} bytes"))
                .state("nothing was stored"));
        }
        if !self.exact && bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.is_empty() && !self.empty {
            return Err(Failure::new(Exit::Usage, "there is no value on standard input")
                .cause("what should have written it has failed, or wrote nothing")
                .state("nothing was stored")
                .hint("`--empty` stores a value of no bytes"));
        }
        let request = Request::Put { name: self.name.clone(), new_deployment: self.new_deployment };
        let reply = client.ask_quietly(&request, vec![Material::new(bytes)])?;
        show::answer(context.output, &reply.value, || {
            let notes = reply.value["notes"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let notes: String = notes.map(|note| format!("note: {note}\n")).collect();
            format!("stored `{}` as version {}\n{notes}", self.name, reply.value["version"])
        })
    }
}
