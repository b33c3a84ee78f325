//! `donjon history`: the versions of a secret.

use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;

/// Show the versions of a secret, without their values.
///
/// `current` is what consumers read; `previous` was before the last rotation, and `kept` before that: each is destroyed at the
/// time in UNTIL.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  donjon history database_password")]
pub struct History {
    /// The secret or view.
    name: String,
}

impl History {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let reply = context.client()?.ask_quietly(&Request::History { name: self.name }, Vec::new())?;
        show::answer(context.output, &reply.value, || {
            let versions = reply.value["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let row = |v: &serde_json::Value| {
                vec![
                    v["version"].to_string(),
                    show::time(v["created"].as_i64().unwrap_or(0)),
                    v["state"].as_str().unwrap_or_default().to_owned(),
                    v["label"].as_str().unwrap_or_default().to_owned(),
                    v["until"].as_i64().map_or_else(String::new, show::time),
                ]
            };
            show::table(&["VERSION", "SINCE", "STATE", "LABEL", "UNTIL"], &versions.iter().map(row).collect::<Vec<_>>())
        })
    }
}
