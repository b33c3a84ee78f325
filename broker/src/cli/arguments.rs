//! What can be typed. The doc comments here are the help.

use super::{Context, command, context::Output};
use crate::failure::Failure;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A secret broker for OpenStack deployments.
///
/// It keeps a deployment's secrets in a temporary Vault, gives references instead of values, rotates without an
/// outage, and exports an encrypted store.
#[derive(Debug, Parser)]
#[command(name = "donjon", version, max_term_width = 120, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// How to show answers.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(command::up::Up),
    Down(command::down::Down),
    Unseal(command::unseal::Unseal),
    Status(command::status::Status),
    Generate(command::generate::Generate),
    Get(command::get::Get),
    Put(command::put::Put),
    List(command::list::List),
    History(command::history::History),
    Adopt(command::adopt::Adopt),
    Wire(command::wire::Wire),
    Run(command::run::Run),
    Render(command::render::Render),
    Rotate(command::rotate::Rotate),
    Schedule(command::schedule::Schedule),
    Doctor(command::doctor::Doctor),
    Metrics(command::metrics::Metrics),
    Config(command::config::Config),
    Scan(command::scan::Scan),
    Export(command::export::Export),
    Import(command::import::Import),
    Receipt(command::receipt::Receipt),
    Recipients(command::recipients::Recipients),
    RetireHost(command::retire_host::RetireHost),
    Drain(command::drain::Drain),
    Serve(command::serve::Serve),
    Audit(command::audit::Audit),
    Completion(command::completion::Completion),
    #[command(hide = true)]
    Witness(command::witness::Witness),
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let context = Context::new(self.output)?;
        let done = match self.command {
            // It ends with the code of what it ran.
            Command::Run(run) => return run.run(&context),
            Command::Up(up) => up.run(&context),
            Command::Down(down) => down.run(&context),
            Command::Unseal(unseal) => unseal.run(&context),
            Command::Status(status) => status.run(&context),
            Command::Generate(generate) => generate.run(&context),
            Command::Get(get) => get.run(&context),
            Command::Put(put) => put.run(&context),
            Command::List(list) => list.run(&context),
            Command::History(history) => history.run(&context),
            Command::Adopt(adopt) => adopt.run(&context),
            Command::Wire(wire) => wire.run(&context),
            Command::Render(render) => render.run(&context),
            Command::Rotate(rotate) => rotate.run(&context),
            Command::Schedule(schedule) => schedule.run(&context),
            Command::Metrics(metrics) => metrics.run(&context),
            Command::Doctor(doctor) => doctor.run(&context),
            Command::Config(config) => config.run(&context),
            Command::Scan(scan) => scan.run(&context),
            Command::Export(export) => export.run(&context),
            Command::Import(import) => import.run(&context),
            Command::Receipt(receipt) => receipt.run(&context),
            Command::Recipients(recipients) => recipients.run(&context),
            Command::RetireHost(retire) => retire.run(&context),
            Command::Drain(drain) => drain.run(&context),
            Command::Serve(serve) => serve.run(&context),
            Command::Audit(audit) => audit.run(&context),
            Command::Completion(completion) => completion.run(),
            Command::Witness(witness) => witness.run(&context),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

const EXAMPLES: &str = "\
Examples:
  donjon up                                        bring up a temporary Vault on this host
  donjon generate --catalogue kolla-ansible        make every secret that is not there yet
  donjon wire kolla -o /etc/kolla/passwords.yml    give kolla-ansible references instead of values
  donjon rotate plan database_password             what a rotation would do
  donjon rotate apply database_password            rotate it, with no outage

Environment:
  DONJON_HOME         where all of the broker lies (of root /var/lib/donjon, else donjon below XDG_STATE_HOME)
  DONJON_CONFIG       the deployment file (DONJON_HOME/donjon.yaml)
  DONJON_SOCKET       the daemon's socket (DONJON_HOME/run/donjon.sock)
  DONJON_VAULT_BIN    `bao` or `vault`, where neither is on PATH
  DONJON_LOG          what the daemon logs (info)
  BAO_ADDR, BAO_TOKEN, BAO_CACERT, or VAULT_…         with `up`: a Vault that is there already
  NO_COLOR            no colours on a terminal

Exit codes: 0 done, 1 failed, 2 usage, 3 not allowed, 4 not there, 5 conflict, 6 no answer (try again), 7 found,
8 refused, 9 integrity, 10 ambiguous, 11 quorum, 12 work is due, 13 waiting, 70 a bug. `status`: 0 ready, 1 error, 2 sealed.";
