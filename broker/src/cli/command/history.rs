//! `donjon history`: the versions of a secret.

use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;

/// Show the versions of a secret, without their values.
#[derive(Debug, Args)]
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
                ]
            };
            show::table(&["VERSION", "SINCE", "STATE"], &versions.iter().map(row).collect::<Vec<_>>())
        })
    }
}
