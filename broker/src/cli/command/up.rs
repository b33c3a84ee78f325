//! `donjon up`: brings the daemon and its store up.

pub mod told;

use super::from::{From, Vouched};
use crate::{
    cli::{Context, progress::Progress, show},
    daemon,
    failure::{Exit, Failure},
    home::Home,
    socket::message::{Event, Request},
    transfer::bundle::Expired,
    vault::place::Place,
};
use clap::{Args, ValueEnum};
use donjon_drivers::material::Material;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write, stdout},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Bring up the daemon and its store: a temporary Vault on this host.
///
/// Without --custodian the unseal share and the broker's credential are encrypted to an identity kept on this host
/// (a file only this user can read): `up` recovers alone after a crash, and whoever can read that file can open the store.
/// With --custodian each unseal share is encrypted to one person's age key: after a crash of the Vault, `up` ends
/// sealed and waits for `donjon unseal` by as many as --threshold says.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon up\n  donjon up --custodian age1… --custodian age1… --custodian age1… --threshold 2\n  donjon up --store file\n  donjon up --from everything.donjon -i custodian.identity --authority-key authority.pem\n  BAO_ADDR=https://vault.example:8200 BAO_TOKEN=… donjon up"
)]
pub struct Up {
    /// Stay in the foreground, as under systemd.
    #[arg(long)]
    pub foreground: bool,
    /// Which store: a temporary Vault, or an encrypted folder (which cannot rotate). Where it is not said: the one that is
    /// there, else a Vault.
    #[arg(long, value_enum)]
    pub store: Option<Kind>,
    /// A custodian's age public key; give one per custodian.
    #[arg(long, value_name = "AGE1…")]
    pub custodian: Vec<String>,
    /// How many custodians it takes to unseal; more than half of them where it is not given.
    #[arg(long, value_name = "K", requires = "custodian")]
    pub threshold: Option<u32>,
    /// Become the authority again from a custodians' bundle, in a store that is empty.
    #[arg(long, value_name = "BUNDLE", requires = "identity", conflicts_with = "foreground")]
    pub from: Option<PathBuf>,
    /// The age identity file that opens the custodians' bundle.
    #[arg(long, short, value_name = "FILE", requires = "from")]
    pub identity: Option<PathBuf>,
    /// The public key of the authority that made the bundle, as `donjon export key` wrote it.
    #[arg(long, value_name = "FILE", requires = "from")]
    pub authority_key: Option<PathBuf>,
    /// Believe whoever signed the bundle, without a key to compare with.
    #[arg(long, requires = "from", conflicts_with = "authority_key")]
    pub trust_first: bool,
    /// Take the bundle also where its time is over: where it is the last that there is.
    #[arg(long, requires = "from")]
    pub expired: bool,
    /// Read the token for a Vault that is already there from standard input.
    #[arg(long, hide = true, requires = "foreground")]
    pub token_on_stdin: bool,
}

/// Which store to bring up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A temporary Vault on this host, or the one that VAULT_ADDR or BAO_ADDR names.
    Vault,
    /// An age-encrypted folder.
    File,
}

/// What the daemon tells the process that started it, a JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A step.
    Step(Event),
    /// It answers on its socket now.
    Serving,
    /// It could not.
    Failed(Failure),
}

impl Up {
    /// Starts a daemon, or finds the one that runs.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if self.foreground {
            return daemon::start::foreground(&context.home, &self);
        }
        let from = self.from.as_deref().zip(self.identity.as_deref());
        let expired = if self.expired { Expired::Taken } else { Expired::Refused };
        let vouched = Vouched { key: self.authority_key.as_deref(), first: self.trust_first, expired };
        let from = from.map(|(bundle, identity)| From::read(context, bundle, identity, vouched)).transpose()?;
        if let Some(status) = running(context, DYING)? {
            self.fits(&status)?;
            if let Some(from) = from {
                return from.restore(context);
            }
            return show::answer(context.output, &status, || match status["state"]["sealed"].is_object() {
                true => format!("donjon is up already (pid {}), sealed: {}\n", status["pid"], told::UNSEAL),
                false => format!("donjon is up already (pid {})\n{}", status["pid"], told::unfinished(&status)),
            });
        }
        let new = is_new(&context.home);
        let mut progress = Progress::new(context.output);
        let started = self.start(context, &mut progress);
        progress.end();
        started?;
        if let Some(from) = from {
            return from.restore(context);
        }
        let status = context.client()?.ask_quietly(&Request::Status, Vec::new())?.value;
        show::answer(context.output, &status, || told::up(&context.home, &status, new))
    }

    /// Whether another `donjon up` has started this one, and waits for what it reports.
    pub fn is_of_another_process(&self) -> bool {
        self.token_on_stdin
    }

    /// Refused where this asks for another store than the one that is up.
    fn fits(&self, status: &Value) -> Result<(), Failure> {
        let is_folder = status["store"] == "encrypted folder";
        let other = match self.store {
            Some(Kind::File) if !is_folder => Some("its store is no encrypted folder"),
            Some(Kind::Vault) if is_folder => Some("its store is an encrypted folder"),
            _ if !self.custodian.is_empty() => {
                let given: BTreeSet<&str> = self.custodian.iter().map(String::as_str).collect();
                let known = status["custodians"].as_array().into_iter().flatten();
                let known: BTreeSet<&str> = known.filter_map(Value::as_str).collect();
                let threshold = self.threshold.is_none_or(|wanted| status["threshold"] == wanted);
                (given != known || !threshold).then_some("it has other custodians, or none, or another threshold")
            }
            _ => None,
        };
        other.map_or(Ok(()), |why| {
            Err(Failure::new(
                Exit::Conflict,
                format!("donjon is up already (pid {}), and not as asked for", status["pid"]),
            )
            .cause(why)
            .state("it goes on as it was; nothing was changed")
            .hint("`donjon status` shows how it is; another store has a DONJON_HOME of its own"))
        })
    }

    fn start(&self, context: &Context, progress: &mut Progress) -> Result<(), Failure> {
        let bug = |error: std::io::Error| Failure::new(Exit::Bug, "cannot start the daemon").because(&error);
        context.home.make()?;
        let log = daemon::start::open_log(&context.home)?;
        let mut command = Command::new(std::env::current_exe().map_err(bug)?);
        command.args(["up", "--foreground"]);
        if let Some(store) = self.store {
            command.args(["--store", if store == Kind::File { "file" } else { "vault" }]);
        }
        for custodian in &self.custodian {
            command.args(["--custodian", custodian]);
        }
        if let Some(threshold) = self.threshold {
            command.arg("--threshold").arg(threshold.to_string());
        }
        // A token in the environment of a daemon could be read there for as long as it runs; a pipe is empty once read.
        let token =
            ["BAO_TOKEN", "VAULT_TOKEN"].into_iter().find_map(|name| std::env::var(name).ok()).map(Material::from);
        command.arg("--token-on-stdin").env_remove("BAO_TOKEN").env_remove("VAULT_TOKEN");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().map_err(bug)?;
        let mut pipe = child.stdin.take().ok_or_else(|| Failure::new(Exit::Bug, "the daemon has no standard input"))?;
        if let Some(token) = token {
            pipe.write_all(token.expose()).map_err(bug)?; // EXPOSE: through a pipe, to the daemon alone
        }
        drop(pipe);
        let reports =
            child.stdout.take().ok_or_else(|| Failure::new(Exit::Bug, "the daemon has no standard output"))?;
        for line in BufReader::new(reports).lines() {
            match serde_json::from_str(&line.map_err(bug)?) {
                Ok(Report::Step(event)) => progress.tell(&event),
                Ok(Report::Serving) => return Ok(()),
                Ok(Report::Failed(failure)) => {
                    // It ends by itself after this report; waiting for it leaves no zombie.
                    let _ = child.wait();
                    return Err(failure);
                }
                Err(_) => {}
            }
        }
        let _ = child.wait();
        Err(Failure::new(Exit::Failed, "the daemon ended before it was ready")
            .state("what was stored before is on its disk as it was")
            .hint(format!("{} says why", context.home.log().display())))
    }
}

/// Whether nothing was ever stored in a home.
pub fn is_new(home: &Home) -> bool {
    !Place::new(&home.vault()).state().exists() && !home.file_store().exists()
}

/// The status of a daemon that runs. One that has just been killed still holds its socket for a moment; one that ends may keep
/// whoever has connected for longer, so what is late is asked once more.
fn running(context: &Context, dying: Duration) -> Result<Option<Value>, Failure> {
    let (end, mut late) = (Instant::now() + dying, false);
    loop {
        let Ok(mut client) = context.client() else { return Ok(None) };
        match client.ask_quietly(&Request::Status, Vec::new()) {
            Ok(reply) => return Ok(Some(reply.value)),
            Err(failure) if late => return Err(failure),
            Err(_) => {
                late = Instant::now() >= end;
                pause();
            }
        }
    }
}

/// Between two looks at something that takes a moment.
pub(crate) fn pause() {
    #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a bounded condition")]
    std::thread::sleep(Duration::from_millis(20));
}

/// How long a killed daemon may hold its socket and its lock.
pub(crate) const DYING: Duration = Duration::from_secs(3);

/// Tells the process that started this daemon.
pub fn report(report: &Report) {
    // It may be gone; the daemon goes on.
    let _ = writeln!(stdout(), "{}", json!(report));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::context::Output, socket::frame::Message};
    use std::os::unix::net::UnixListener;

    /// What `up` makes of a daemon that keeps it waiting and then ends without an answer, by what is at its socket then.
    fn after_a_late_end(free: bool) -> Result<Option<Value>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { home: Home::at(folder.path().join("home")), output: Output::Json };
        let socket = context.home.socket();
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..2 {
                    let (mut stream, _) = listener.accept().unwrap();
                    Message::read(&mut stream).unwrap();
                    if free {
                        std::fs::remove_file(&socket).unwrap();
                        return;
                    }
                }
            });
            running(&context, Duration::ZERO)
        })
    }

    #[test]
    fn a_daemon_that_ended_late_is_looked_for_once_more() {
        assert_eq!(after_a_late_end(true).unwrap(), None);
        assert_eq!(after_a_late_end(false).unwrap_err().code, Exit::Unavailable);
    }
}
