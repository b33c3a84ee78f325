//! `donjon rotate`: plan, apply, resume, abort, status; and what opens the Vault, and what signs.

mod signing_key;

use crate::{
    cli::{Context, command::unseal, interrupt::Interrupt, progress::Progress, show},
    daemon::lookup::name,
    failure::{Exit, Failure},
    rotation::plan::cut_off,
    socket::{
        client::BROKEN_OFF,
        message::{Request, ResumeAsked, RotateAsked},
    },
};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::{collections::BTreeSet, path::PathBuf};

/// Rotate secrets without an outage.
///
/// Old and new stay valid until every consumer is proven on the new value. What is interrupted, by whatever, goes on with
/// `donjon rotate resume`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon rotate plan database_password\n  donjon rotate apply database_password\n  donjon rotate status\n  donjon rotate resume"
)]
pub struct Rotate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what a rotation would change, in which order, what restarts, and what it costs. Changes nothing.
    #[command(
        after_help = "Examples:\n  donjon rotate plan database_password\n  donjon rotate plan --all --output json\n  donjon rotate plan --due --detailed-exitcode     12 where something is due\n  donjon rotate plan --exposed-to compute7"
    )]
    Plan(Planned),
    /// Rotate.
    #[command(
        after_help = "Examples:\n  donjon rotate apply database_password\n  donjon rotate apply --all --accept-outage\n  donjon rotate apply nova_database_password --compromised --accept-outage\n  donjon rotate apply keystone_admin_password --leave keystone@ctl3"
    )]
    Apply(Applied),
    /// Go on with what was interrupted.
    #[command(
        after_help = "Examples:\n  donjon rotate resume\n  donjon rotate resume database_password --leave web@ctl1\n  donjon rotate resume --take-over"
    )]
    Resume(Interrupted),
    /// Go back, where no consumer can have read a new value.
    #[command(after_help = "Examples:\n  donjon rotate abort\n  donjon rotate abort database_password")]
    Abort(Abort),
    /// Show the rotations that have not ended. Exit code 13 where there are any.
    #[command(after_help = "Examples:\n  donjon rotate status\n  donjon rotate status --output json")]
    Status,
    /// Renew what opens the temporary Vault: unseal shares, barrier key, the broker's credential, the CA.
    ///
    /// No secret changes and no service restarts; the Vault is started once more in the end, which takes under a second.
    /// Custodians' shares that were copied elsewhere open nothing written from now on, but an old copy of the storage
    /// still opens with them.
    #[command(after_help = "Examples:\n  donjon rotate broker\n  donjon rotate broker -i alice.txt -i bob.txt")]
    Broker {
        /// A file with a custodian's age identity, where custodians open the Vault: enough of them at once.
        #[arg(short, long, value_name = "IDENTITY")]
        identity: Vec<PathBuf>,
    },
    SigningKey(signing_key::SigningKey),
}

#[derive(Debug, Args)]
struct Asked {
    /// The secrets.
    names: Vec<String>,
    /// Every secret that may be rotated in bulk.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// What is due by the schedule; nothing, where nothing is.
    #[arg(long, conflicts_with_all = ["names", "all", "compromised"])]
    due: bool,
    /// What this recipient could ever open and is in use still: by its key, the name that it was added with, or its site or host.
    #[arg(long, value_name = "RECIPIENT", conflicts_with_all = ["names", "all", "due"])]
    exposed_to: Option<String>,
    /// Accept the outage that the plan shows.
    #[arg(long)]
    accept_outage: bool,
    /// The old value is known to others: remove it first. Consumers and sites are cut off until they have the new one, and
    /// from then on there is no way back and no abort.
    #[arg(long)]
    compromised: bool,
    /// An account that nobody can try from here, and that you have tried yourself.
    #[arg(long = "vouch", value_name = "USER@HOST")]
    vouched: Vec<String>,
}

#[derive(Debug, Args)]
struct Planned {
    #[command(flatten)]
    asked: Asked,
    /// Exit code 12 where there is something to do.
    #[arg(long)]
    detailed_exitcode: bool,
}

#[derive(Debug, Args)]
struct Applied {
    #[command(flatten)]
    asked: Asked,
    /// A consumer or a site to go on without from the beginning, as in `rotate resume`.
    #[arg(long, value_name = "SERVICE@HOST|SITE")]
    leave: Vec<String>,
}

#[derive(Debug, Args)]
struct Interrupted {
    /// Only the rotations of these secrets.
    names: Vec<String>,
    /// A consumer or a site to go on without, neither restarted nor proven: it is cut off once the value that it has goes.
    #[arg(long, value_name = "SERVICE@HOST|SITE")]
    leave: Vec<String>,
    /// Take it from another broker even where that one is alive: it stops at its next step.
    #[arg(long)]
    take_over: bool,
}

#[derive(Debug, Args)]
struct Abort {
    /// Only the rotations of these secrets.
    names: Vec<String>,
    /// Take it from another broker even where that one is alive: it stops at its next step.
    #[arg(long)]
    take_over: bool,
}

impl From<Abort> for Interrupted {
    fn from(given: Abort) -> Self {
        Self { names: given.names, leave: Vec::new(), take_over: given.take_over }
    }
}

impl TryFrom<Interrupted> for ResumeAsked {
    type Error = Failure;
    fn try_from(given: Interrupted) -> Result<Self, Failure> {
        let names = given.names.iter().map(|given| name(given)).collect::<Result<_, _>>()?;
        Ok(Self { names, leave: given.leave.into_iter().collect(), take_over: given.take_over })
    }
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plan { detailed: bool },
    Status,
    Rotations,
}

impl Rotate {
    /// Asks the daemon.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let (request, shown) = match self.what {
            What::Plan(Planned { asked, detailed_exitcode }) => {
                (Request::RotatePlan(asked.into()), Shown::Plan { detailed: detailed_exitcode })
            }
            What::Apply(Applied { asked, leave }) => {
                let asked = RotateAsked { leave: leave.into_iter().collect(), ..asked.into() };
                (Request::RotateApply(asked), Shown::Rotations)
            }
            What::Resume(asked) => (Request::RotateResume(asked.try_into()?), Shown::Rotations),
            What::Abort(asked) => (Request::RotateAbort(Interrupted::from(asked).try_into()?), Shown::Rotations),
            What::Status => (Request::RotateStatus, Shown::Status),
            What::SigningKey(asked) => return asked.run(context),
            What::Broker { identity } => return broker(context, &identity),
        };
        let mut client = context.client()?;
        // Where it cannot be waited for, Ctrl-C ends this without a word, as ever.
        let interrupt = (shown == Shown::Rotations).then(|| Interrupt::hangs_up(&client).ok()).flatten();
        let mut progress = Progress::new(context.output);
        let reply = client.ask(&request, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        let value = reply.map_err(|failure| match interrupt {
            Some(interrupt) if interrupt.has_come() && failure.message == BROKEN_OFF => left(),
            Some(_) | None if shown == Shown::Rotations => killed(failure),
            Some(_) | None => failure,
        })?;
        let value = value.value;
        match shown {
            Shown::Plan { detailed } => show_plan(context, &value, detailed),
            Shown::Status => show_status(context, &value),
            Shown::Rotations => show::answer(context.output, &value, || rotations(&value)),
        }
    }
}

/// Whoever asked has left; the daemon has not.
fn left() -> Failure {
    Failure::new(Exit::Waiting, "interrupted: this command waits no longer")
        .state("the daemon goes on with what was asked; nothing was taken back")
        .hint("`donjon rotate status` says how far it is")
}

/// Whatever a daemon that ended had begun is in the store.
fn killed(failure: Failure) -> Failure {
    if failure.message != BROKEN_OFF {
        return failure;
    }
    failure
        .state("what it had begun stands in the store, and every server lets a stored value in")
        .hint("`donjon up` where it has ended, then `donjon rotate status` and `donjon rotate resume`")
}

/// Renews what opens the temporary Vault.
fn broker(context: &Context, identities: &[PathBuf]) -> Result<(), Failure> {
    let mut client = context.client()?;
    let shares = unseal::opened(context, identities)?;
    let mut progress = Progress::new(context.output);
    let reply = client.ask(&Request::RotateBroker, shares, &mut |event| progress.tell(&event));
    progress.end();
    let value = reply?.value;
    show::answer(context.output, &value, || {
        items(&value["renewed"]).iter().map(|what| format!("renewed: {}\n", text(what))).collect()
    })
}

impl From<Asked> for RotateAsked {
    fn from(asked: Asked) -> Self {
        Self {
            names: asked.names,
            chosen: false,
            all: asked.all,
            due: asked.due,
            exposed_to: asked.exposed_to,
            accept_outage: asked.accept_outage,
            compromised: asked.compromised,
            vouched: asked.vouched,
            leave: BTreeSet::new(),
        }
    }
}

fn show_plan(context: &Context, plan: &Value, detailed: bool) -> Result<(), Failure> {
    let rotations = items(&plan["rotations"]);
    show::answer(context.output, plan, || {
        let mut rows = Vec::new();
        for (number, rotation) in rotations.iter().enumerate() {
            rows.extend(items(&rotation["secrets"]).iter().map(|secret| secret_row(number + 1, secret)));
        }
        let mut shown = match rows.as_slice() {
            [] => "there is nothing to do\n".to_owned(),
            rows => show::table(&["ROTATION", "SECRET", "STRATEGY", "OUTAGE", "ACCOUNTS"], rows),
        };
        shown += &rotations.iter().flat_map(|r| items(&r["secrets"])).filter_map(because).collect::<String>();
        shown += &rotations.iter().flat_map(|r| items(&r["secrets"])).filter_map(advice).collect::<String>();
        let rows: Vec<_> =
            rotations.iter().enumerate().flat_map(|(n, rotation)| restart_rows(n + 1, rotation)).collect();
        if !rows.is_empty() {
            shown += "\n";
            shown += &show::table(&["ROTATION", "STEP", "RESTARTS TOGETHER"], &rows);
        }
        let sites = |(n, r): (usize, &Value)| {
            items(&r["sites"]).iter().map(|s| vec![(n + 1).to_string(), text(s)]).collect::<Vec<_>>()
        };
        let rows: Vec<_> = rotations.iter().enumerate().flat_map(sites).collect();
        if !rows.is_empty() {
            shown += "\n";
            shown += &show::table(&["ROTATION", "WAITS FOR SITE"], &rows);
        }
        let unread = rotations.iter().flat_map(|rotation| items(&rotation["unread"])).filter_map(Value::as_str);
        let unread = unread.filter_map(|name| name.parse().ok()).collect();
        let unread = cut_off(&unread).map_or_else(String::new, |text| format!("\nwarning: {text}\n"));
        let refused = plan["refused"].as_str().map_or_else(String::new, |why| format!("\nwarning: {why}\n"));
        let warnings = items(&plan["warnings"]).iter().map(|told| format!("\nwarning: {}\n", text(told)));
        shown + &unread + &left_alone(plan) + &refused + &warnings.collect::<String>()
    })?;
    if detailed && !rotations.is_empty() { Err(Failure::new(Exit::Due, "there is something to do")) } else { Ok(()) }
}

fn secret_row(number: usize, secret: &Value) -> Vec<String> {
    let credentials = items(&secret["credentials"]);
    let joined = |parts: Vec<String>| parts.join(", ");
    let users = |c: &Value| items(&c["users"]).iter().map(text).collect::<Vec<_>>().join(", ");
    let mut strategies: Vec<String> = credentials.iter().map(|c| text(&c["strategy"])).collect();
    strategies.dedup();
    let (strategies, accounts) = match credentials {
        [] => ("together".to_owned(), "its readers alone".to_owned()),
        _ => (
            joined(strategies),
            joined(credentials.iter().map(|c| format!("{} on {}", users(c), text(&c["target"]))).collect()),
        ),
    };
    vec![number.to_string(), text(&secret["secret"]), strategies, text(&secret["outage"]), accounts]
}

/// Why a secret changes in another way than the catalogue says.
fn because(secret: &Value) -> Option<String> {
    let credential = items(&secret["credentials"]).iter().find(|c| c["because"].is_string())?;
    let (strategy, because) = (text(&credential["strategy"]), text(&credential["because"]));
    Some(format!("{}: {strategy}, since {because}\n", text(&secret["secret"])))
}

/// What would be better than a value.
fn advice(secret: &Value) -> Option<String> {
    Some(format!("{}: {}\n", text(&secret["secret"]), secret["advice"].as_str()?))
}

fn restart_rows(number: usize, rotation: &Value) -> Vec<Vec<String>> {
    let place = |i: &Value| format!("{}@{}", text(&i["service"]), text(&i["host"]));
    let row = |(step, of): (usize, &Value)| {
        let together = items(&of["instances"]).iter().map(place).collect::<Vec<_>>().join(", ");
        vec![number.to_string(), (step + 1).to_string(), together]
    };
    items(&rotation["restarts"]).iter().enumerate().map(row).collect()
}

fn show_status(context: &Context, value: &Value) -> Result<(), Failure> {
    show::answer(context.output, value, || match items(&value["rotations"]) {
        [] => "no rotation is under way\n".to_owned(),
        _ => rotations(value),
    })?;
    match items(&value["rotations"]) {
        [] => Ok(()),
        _ if value["driven"] == true => Err(Failure::new(Exit::Waiting, "a rotation goes on at this moment")
            .state("the daemon drives it; whoever asked for it need not wait for it")
            .hint("`donjon rotate status` again shows how far it is")),
        unfinished => {
            let next: Vec<String> = unfinished.iter().map(|rotation| text(&rotation["next"])).collect();
            Err(Failure::new(Exit::Waiting, "rotations have not ended").hint(next.join("; ")))
        }
    }
}

fn rotations(value: &Value) -> String {
    let row = |r: &Value| {
        let took = r["microseconds"].as_i64().map_or_else(String::new, |us| format!("{:.1} s", us as f64 / 1e6));
        let waiting = r["waiting"].as_str().map_or_else(|| text(&r["meaning"]), |w| format!("waits: {w}"));
        let secrets = items(&r["secrets"]).iter().map(text).collect::<Vec<_>>().join(", ");
        vec![secrets, text(&r["state"]), took, waiting]
    };
    let rows: Vec<_> = items(&value["rotations"]).iter().map(row).collect();
    if rows.is_empty() {
        return format!("there was nothing to do\n{}", left_alone(value));
    }
    show::table(&["SECRETS", "STATE", "TOOK", "MEANING"], &rows) + &left_alone(value)
}

/// What nobody named and what is left alone, and why; nothing where nothing is.
fn left_alone(value: &Value) -> String {
    let row = |left: &Value| vec![text(&left["secret"]), text(&left["why"])];
    let rows: Vec<_> = items(&value["left"]).iter().map(row).collect();
    if rows.is_empty() { String::new() } else { format!("\n{}", show::table(&["LEFT ALONE", "WHY"], &rows)) }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
