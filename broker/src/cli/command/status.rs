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
        let reply = client.ask_quietly(&Request::Status, Vec::new()).map_err(|failure| {
            let broken = failure.code == Exit::Unavailable;
            as_error(if broken {
                failure.hint("look again in a moment; where it has ended, `donjon up` starts it")
            } else {
                failure
            })
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::context::Output, home::Home};
    use std::os::unix::net::UnixListener;

    #[test]
    fn of_a_daemon_that_ends_meanwhile_it_says_more_than_to_ask_again() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { home: Home::at(folder.path().to_path_buf()), output: Output::Json };
        std::fs::create_dir(context.home.run()).unwrap();
        let listener = UnixListener::bind(context.home.socket()).unwrap();
        let asked = std::thread::scope(|scope| {
            scope.spawn(|| drop(listener.accept().unwrap()));
            Status {}.run(&context)
        });
        let failure = asked.unwrap_err();
        let hint = failure.hint.unwrap();
        assert!(failure.code == Exit::Failed && hint.contains("`donjon up`"), "{hint}");
        assert!(!hint.contains("`donjon status`"), "{hint}");
    }
}
