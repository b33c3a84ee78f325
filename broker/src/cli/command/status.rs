//! `donjon status`: how things are, with the exit codes of `vault status`.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::Request,
};
use clap::Args;
use std::time::Duration;

/// Show how things are. Exit code 0: ready; 1: error; 2: sealed.
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        // `vault status` knows 0, 1 and 2 only, and scripts rely on it.
        let as_error = |mut failure: Failure| {
            failure.code = Exit::Failed;
            failure
        };
        let mut client = context.client().map_err(as_error)?;
        client.give_up_after(SILENCE)?;
        let reply = client.ask_quietly(&Request::Status, Vec::new()).map_err(as_error)?;
        let sealed = &reply.value["state"]["sealed"];
        let text = |key: &str| reply.value[key].as_str().unwrap_or("-").to_owned();
        show::answer(context.output, &reply.value, || {
            let state = match sealed.is_object() {
                true => format!("sealed: {} of {} unseal shares given", sealed["given"], sealed["needed"]),
                false => text("state"),
            };
            let warnings = reply.value["warnings"].as_array().into_iter().flatten().filter_map(|w| w.as_str());
            let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
            let custodians = reply.value["custodians"].as_array().map_or(0, Vec::len);
            let opened = match (custodians, reply.value["threshold"].as_u64()) {
                (0, _) | (_, None) => String::new(),
                (count, Some(threshold)) => format!(", opened by {threshold} of {count} custodians"),
            };
            format!(
                "{state}\nstore       {}{opened}\ndeployment  {}\nhome        {}\ndaemon      pid {}, version {}\n{warnings}",
                text("store"),
                text("deployment"),
                context.home.folder().display(),
                reply.value["pid"],
                text("version")
            )
        })?;
        if sealed.is_object() {
            let custodians = reply.value["custodians"].as_array().is_some_and(|custodians| !custodians.is_empty());
            let hint = match custodians {
                true => "custodians: `donjon unseal -i IDENTITY`",
                false => "the Vault's own operators unseal it: `bao operator unseal`",
            };
            return Err(Failure::new(Exit::Usage, "the store is sealed").hint(hint));
        }
        if reply.value["state"] != "ready" {
            let trouble = reply.value["trouble"].as_str().unwrap_or("the store cannot be used now");
            return Err(Failure::new(Exit::Failed, trouble)
                .hint("daemon.log in DONJON_HOME says more; of a unit `journalctl -u donjon`"));
        }
        Ok(())
    }
}

const SILENCE: Duration = Duration::from_secs(10);
