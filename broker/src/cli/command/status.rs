//! `donjon status`: how things are, with the exit codes of `vault status`.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::Request,
};
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;

/// Show how things are. Exit code 0: ready; 1: error; 2: sealed.
///
/// With --watch it is shown again each time something has changed, until Ctrl-C; with `--output json` an object a line.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon status\n  donjon status --watch\n  donjon status --output json   # .state is \"ready\", or what it is instead"
)]
pub struct Status {
    /// Go on, and show it again when something has changed.
    #[arg(long)]
    watch: bool,
}

impl Status {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if self.watch {
            return watch(context);
        }
        let value = asked(context)?;
        show::answer(context.output, &value, || people(&value))?;
        verdict(&value)
    }
}

/// Shows it, and again each time that it is another.
fn watch(context: &Context) -> Result<(), Failure> {
    let mut shown = None;
    loop {
        let now = match asked(context) {
            Ok(value) => (people(&value), value),
            // It may come back: whoever watches wants to see that.
            Err(failure) => (format!("{failure}\n"), json!({"error": failure})),
        };
        if shown.as_ref() != Some(&now.0) {
            show::answer(context.output, &now.1, || {
                let time = show::time(jiff::Timestamp::now().as_second());
                format!("{}{time}\n{}", if shown.is_some() { "\n" } else { "" }, now.0)
            })?;
            shown = Some(now.0);
        }
        between_looks();
    }
}

fn asked(context: &Context) -> Result<Value, Failure> {
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
    Ok(reply.value)
}

fn people(status: &Value) -> String {
    let sealed = &status["state"]["sealed"];
    let text = |key: &str| status[key].as_str().unwrap_or("-").to_owned();
    let state = match sealed.is_object() {
        true => format!("sealed: {} of {} unseal shares given", sealed["given"], sealed["needed"]),
        false => text("state"),
    };
    let warnings = status["warnings"].as_array().into_iter().flatten().filter_map(|w| w.as_str());
    let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
    let custodians = status["custodians"].as_array().map_or(0, Vec::len);
    let opened = match (custodians, status["threshold"].as_u64()) {
        (0, _) | (_, None) => String::new(),
        (count, Some(threshold)) => format!(", opened by {threshold} of {count} custodians"),
    };
    format!(
        "{state}\nstore       {}{opened}\ndeployment  {}\nfile        {}\nhome        {}\ndaemon      pid {}, version {}\n{warnings}",
        text("store"),
        text("deployment"),
        text("file"),
        text("home"),
        status["pid"],
        text("version")
    )
}

fn verdict(status: &Value) -> Result<(), Failure> {
    if status["state"]["sealed"].is_object() {
        let custodians = status["custodians"].as_array().is_some_and(|custodians| !custodians.is_empty());
        let hint = match custodians {
            true => "custodians: `donjon unseal -i IDENTITY`",
            false => "the Vault's own operators unseal it: `bao operator unseal`",
        };
        return Err(Failure::new(Exit::Usage, "the store is sealed").hint(hint));
    }
    if status["state"] != "ready" {
        let trouble = status["trouble"].as_str().unwrap_or("the store cannot be used now");
        return Err(Failure::new(Exit::Failed, trouble)
            .hint("daemon.log in DONJON_HOME says more; of a unit `journalctl -u donjon`"));
    }
    Ok(())
}

fn between_looks() {
    #[expect(clippy::disallowed_methods, reason = "the pause between two looks of somebody who watches")]
    std::thread::sleep(PAUSE);
}

const SILENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

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
            Status { watch: false }.run(&context)
        });
        let failure = asked.unwrap_err();
        let hint = failure.hint.unwrap();
        assert!(failure.code == Exit::Failed && hint.contains("`donjon up`"), "{hint}");
        assert!(!hint.contains("`donjon status`"), "{hint}");
    }
}
