//! `donjon down`: ends the daemon, and the temporary Vault with it; as root, a second process says what is left.

use super::witness::Said;
use crate::{
    cli::{Context, progress::Progress, show},
    failure::{Exit, Failure},
    scan::witness::{Look, Trace},
    socket::{
        client::Client,
        message::{Event, Request},
    },
};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// End the daemon, and destroy the temporary Vault once its secrets are safe elsewhere.
///
/// Refused until the authority has moved, or a custodians' bundle with everything as it is now, and good for a day more, was
/// reopened and each recipient of every exported bundle has sent a receipt; and while a deployer runs (`donjon run --deploy`), forced or not. Every token is revoked, the Vault sealed and ended, its keys and
/// its storage removed.
///
/// As root, a second process looks for every stored value before and after: in the memory of every process, in all of
/// DONJON_HOME, in files that the daemon and the Vault had open, and in what has changed in the folders for temporary files
/// since the Vault was made. It has to see them in the Vault's memory before, or it proves nothing (exit 1). Exit 7: a value
/// is left in a file, in a process of Donjon's, or in one that held none before. Processes that did are listed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon down\n  donjon down --force        the secrets are nowhere else, and are lost"
)]
pub struct Down {
    /// Destroy the temporary Vault although its secrets are nowhere else.
    #[arg(long)]
    force: bool,
    /// Do not look for what is left.
    #[arg(long)]
    no_search: bool,
}

impl Down {
    /// Asks the daemon, with a witness where this is root.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut client = context.client()?;
        let mut progress = Progress::new(context.output);
        let mut tell = |event: Event| progress.tell(&event);
        let witness = match self.is_not_searched(&mut client)? {
            None => {
                tell(Event { text: LOOKS.to_owned(), done: None, total: None });
                Ok(Eyes::open()?)
            }
            Some(why) => Err(why),
        };
        let reply = client.ask(&Request::Down { force: self.force }, Vec::new(), &mut tell);
        let searched = reply.map(|reply| (reply.value, witness.map(Eyes::again)));
        progress.end();
        match searched? {
            (mut value, Ok(looks)) => {
                let searched = Searched::from(looks?);
                value["searched"] = json!(searched);
                show::answer(context.output, &value, || format!("{}{}", down(&value), searched.told()))?;
                searched.verdict()
            }
            (mut value, Err(why)) => {
                value["searched"] = Value::Null;
                let why = if value["destroyed"] == true { why } else { "" };
                show::answer(context.output, &value, || match why {
                    "" => down(&value),
                    why => format!("{}nobody has looked for what is left: {why}\n", down(&value)),
                })
            }
        }
    }

    /// Why nobody looks for what is left; `None` where somebody does.
    fn is_not_searched(&self, client: &mut Client) -> Result<Option<&'static str>, Failure> {
        if self.no_search {
            return Ok(Some("it was asked not to"));
        }
        if !rustix::process::geteuid().is_root() {
            return Ok(Some(
                "that takes root, and a daemon of root's: `sudo donjon up`, and `sudo donjon down` in the end",
            ));
        }
        let status = client.ask_quietly(&Request::Status, Vec::new())?.value;
        if status["deployer"] == true {
            return Ok(Some("it is refused while a deployer runs"));
        }
        if status["store"] != "temporary Vault" || status["state"] != "ready" {
            return Ok(Some("the store is not open, so nobody knows the values"));
        }
        if self.force {
            return Ok(None);
        }
        // Where it will be refused, nobody needs to look first; where it is not all the same, there is nothing.
        let standing = &client.ask_quietly(&Request::Receipt, Vec::new())?.value["standing"];
        Ok((standing["may_end"] != true).then_some("no value was stored"))
    }
}

/// A witness that has looked once.
struct Eyes {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    before: Said,
}

impl Eyes {
    fn open() -> Result<Self, Failure> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(Exit::Failed, "there is no witness of what is left")
                .because(error)
                .state("nothing was changed")
                .hint("`donjon down --no-search` goes without")
        };
        let own = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut command = Command::new(own);
        command.arg("witness").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new(Exit::Bug, "a witness without pipes"));
        };
        let mut from = BufReader::new(from);
        match said(&mut from) {
            Ok(before) => Ok(Self { child, to, from, before }),
            Err(error) => {
                drop(to);
                // It has said why on standard error.
                let _ = child.wait();
                Err(failed(&error))
            }
        }
    }

    fn again(mut self) -> Result<(Said, Said), Failure> {
        let after = writeln!(self.to, "gone").and_then(|()| said(&mut self.from));
        drop(self.to);
        let ended = self.child.wait();
        let after = after.and_then(|after| ended.map(|_| after)).map_err(|error| {
            Failure::new(Exit::Failed, "the witness of what is left has not said what it saw")
                .because(&error)
                .state("donjon is down, and everything of it was removed")
        })?;
        Ok((self.before, after))
    }
}

fn said(from: &mut impl BufRead) -> std::io::Result<Said> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).map_err(std::io::Error::from)
}

/// Both looks of a witness, and what they say together.
#[derive(Debug, Serialize)]
struct Searched {
    before: Said,
    after: Said,
    /// Values in a file, in a process of Donjon's, or in one that held none before.
    left: Vec<Trace>,
    /// Values in processes that held some before: consumers, or whoever has a copy.
    others: Vec<Trace>,
    not_searched: &'static str,
}

impl From<(Said, Said)> for Searched {
    fn from((before, after): (Said, Said)) -> Self {
        let (left, others) = after.look.left(&before.look, &before.own);
        Self { before, after, left, others, not_searched: NOT_SEARCHED }
    }
}

impl Searched {
    fn told(&self) -> String {
        let ((vault, in_vault), (daemon, in_daemon)) = (self.before.vault, self.before.daemon);
        let in_files = self.before.look.traces.iter().filter(|trace| trace.process.is_none()).count();
        let mut text = format!(
            "a second process has looked for the values of {} secrets, as root\n  before: the Vault (process {vault}) had \
             {in_vault} of them in its memory, the daemon (process {daemon}) {in_daemon}; {in_files} lay in files\n          \
             {}\n  after:  {} are left; {} are in processes that had them before\n          {}\n",
            self.before.looked_for,
            looked_at(&self.before.look),
            self.left.len(),
            self.others.len(),
            looked_at(&self.after.look)
        );
        text.extend(self.left.iter().map(|Trace { secret, place, .. }| format!("  left: `{secret}` in {place}\n")));
        let mut others: BTreeMap<Option<u32>, Vec<&Trace>> = BTreeMap::new();
        self.others.iter().for_each(|trace| others.entry(trace.process).or_default().push(trace));
        for traces in others.values() {
            let rest = if traces.len() > 1 { format!(", and {} more", traces.len() - 1) } else { String::new() };
            text += &format!("  as before: `{}`{rest} in {}\n", traces[0].secret, traces[0].place);
        }
        text.extend(self.after.look.unsearched.iter().map(|place| format!("  could not look at {place}\n")));
        text + &format!("  not searched: {NOT_SEARCHED}\n")
    }

    fn verdict(&self) -> Result<(), Failure> {
        const STATE: &str = "donjon is down, and everything of it was removed";
        let blind = self.before.looked_for > 0 && self.before.vault.1 == 0;
        if blind || !self.before.control || !self.after.control {
            return Err(Failure::new(Exit::Failed, "what the second process has not seen proves nothing")
                .cause("it saw no value in the Vault's own memory before, or not its own file on the disk")
                .state(STATE));
        }
        match self.left.len() {
            0 => Ok(()),
            left => Err(Failure::new(Exit::Found, format!("{left} values are left; see above"))
                .state(STATE)
                .hint("remove the files and end the processes, then rotate those secrets at the new authority")),
        }
    }
}

fn down(value: &Value) -> String {
    let warning = value["warning"].as_str().map(|warning| format!("note: {warning}\n"));
    format!("donjon is down\n{}", warning.unwrap_or_default())
}

fn looked_at(look: &Look) -> String {
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    format!(
        "looked at {} files ({} MB) and at the memory of {} processes ({} MB), in {:.1} s",
        look.files,
        megabytes(look.file_bytes),
        look.processes,
        megabytes(look.memory_bytes),
        look.seconds
    )
}

const LOOKS: &str = "a second process looks for every value, to see afterwards whether any is left";
const NOT_SEARCHED: &str = "free blocks of the disk, where removed files lay (the Vault's were encrypted); swap without a \
                            process; the journal; other folders (`donjon scan` looks at those, before `down`)";
