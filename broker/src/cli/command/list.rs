//! `donjon list`: the names of what is stored.

use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;

/// List the secrets and views, without their values.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon list\n  donjon list --output json")]
pub struct List {}

impl List {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let reply = context.client()?.ask_quietly(&Request::List, Vec::new())?;
        show::answer(context.output, &reply.value, || {
            let secrets = reply.value["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
            let row = |s: &serde_json::Value| {
                vec![
                    s["name"].as_str().unwrap_or_default().to_owned(),
                    s["version"].to_string(),
                    show::time(s["created"].as_i64().unwrap_or(0)),
                ]
            };
            let table = show::table(&["NAME", "VERSION", "SINCE"], &secrets.iter().map(row).collect::<Vec<_>>());
            let instead = reply.value["instead"].as_str().map(|instead| format!("note: {instead}\n"));
            table + &instead.unwrap_or_default()
        })
    }
}
