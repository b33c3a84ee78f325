//! `donjon config`: what a service would see, and where that comes from.

mod deployment;
pub(in crate::cli::command) mod reading;

use crate::{
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    settings::{
        outcome, sample,
        secrecy::{self, Secrecy},
    },
};
use clap::{Args, Subcommand};
use donjon_drivers::source::{
    Configuration, Declaration, Many, OptionName, OptionType, Origin, ReadError, configuration::Found, option::DEFAULT,
};
use reading::{Files, Type};
use serde_json::json;

/// What a service would see in its configuration, and where that comes from.
///
/// oslo.config's files, environment and sources are read as it reads them; but a source that fails is an error here, where a
/// service would start on its defaults. Secret values are named, not shown.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    Get(Get),
    Show(Show),
    Sample(Sample),
}

/// Tell one option, and where it comes from.
///
/// Without `--config-file` it is one of `donjon.yaml`, told with its line, its inventory, or whose default it is; a name with
/// options below it tells all of them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon config get --config-file /etc/nova/nova.conf database connection\n  donjon config get --config-file nova.conf --type int DEFAULT osapi_compute_workers\n  donjon config get --config-file nova.conf --former DEFAULT.sql_connection database connection\n  donjon config get targets.mariadb connect_timeout\n  donjon config get schedules"
)]
struct Get {
    #[command(flatten)]
    files: Files,
    /// How the option's text is read.
    #[arg(long = "type", value_enum, default_value_t = Type::String)]
    kind: Type,
    /// An older name that the service also reads it under; only the service knows them. The present name counts first.
    #[arg(long, value_name = "[GROUP.]OPTION", value_parser = reading::option_name)]
    former: Vec<OptionName>,
    /// Print a secret value too.
    #[arg(long)]
    reveal: bool,
    /// The group; DEFAULT for options that have none.
    group: String,
    /// The option.
    option: Option<String>,
}

/// Tell every option that is set, and where each comes from; without a file, check the deployment file.
///
/// Without `--config-file` it reads `donjon.yaml`, checks every host, target and service in it against its driver, and tells
/// all mistakes at once.
///
/// Of a service's options that cannot be told the exit code is that of `config get`; of several codes, the lowest.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon config show\n  donjon config show --all\n  donjon config show --config-file /etc/nova/nova.conf"
)]
struct Show {
    #[command(flatten)]
    files: Files,
    /// Print secret values too.
    #[arg(long)]
    reveal: bool,
    /// Of donjon.yaml: tell every option that holds, defaults too, and where each comes from.
    #[arg(long, conflicts_with_all = ["files", "folders"])]
    all: bool,
}

/// Print a commented sample of donjon.yaml, made from what the drivers say of their options, or a catalogue.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon config sample > donjon.yaml\n  donjon config sample --catalogue tripleo > own.yaml"
)]
struct Sample {
    /// Print this built-in catalogue, as a file to make one of your own from.
    #[arg(long, value_name = "NAME")]
    catalogue: Option<String>,
}

impl Config {
    /// Reads and tells.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.act {
            Act::Get(get) => get.run(context),
            Act::Show(show) if show.files.none() => deployment::show(context, show.all, show.reveal),
            Act::Show(show) => show.run(context),
            Act::Sample(asked) => {
                let text = match &asked.catalogue {
                    Some(name) => config::built_in_text(name)?.to_owned(),
                    None => sample::deployment(),
                };
                show::answer(context.output, &json!({ "sample": text }), || text.clone())
            }
        }
    }
}

impl Get {
    fn run(self, context: &Context) -> Result<(), Failure> {
        if self.files.none() {
            return self.of_deployment(context);
        }
        let Some(option) = self.option else {
            return Err(Failure::new(Exit::Usage, "no option is named")
                .hint(format!("`{} OPTION` names one; DEFAULT is the group of those that have none", self.group)));
        };
        let option = OptionName::new(self.group, option);
        let (kind, many) = self.kind.declared();
        let declaration = Declaration { many, former: self.former, ..Declaration::of(kind) };
        let found = reading::runtime()?.block_on(async {
            let configuration = self.files.open(context).await?;
            configuration.read_as(&option, &declaration).await.map_err(|error| outcome::reading(&error))
        })?;
        if found.origin == Origin::Nowhere {
            return Err(Failure::new(Exit::NotThere, format!("{option} is not set"))
                .state("the service has its own default, which is not known here, and may read it under an older name, too")
                .hint("`donjon config show` with the same files lists every option that is set; `--former GROUP.OPTION` reads an older name"));
        }
        let reveal = if self.reveal { Secrecy::Open } else { secrecy::of_found(&option, &found) };
        show::answer(context.output, &described(&option, &found, reveal), || {
            format!("{option}\nvalue: {}\nfrom:  {}\n", told(&found, reveal), found.origin)
        })
    }
}

impl Get {
    /// Without a service's file: an option of the deployment file, which has a type of its own.
    fn of_deployment(self, context: &Context) -> Result<(), Failure> {
        if !matches!(self.kind, Type::String) || self.files.sets() || !self.former.is_empty() {
            return Err(Failure::new(Exit::Usage, "no configuration file is named")
                .cause("`--type`, `--set` and `--former` are for options of a service; those of donjon.yaml have their types and one name")
                .hint("`--config-file FILE` names one"));
        }
        let path = match (self.group, self.option) {
            (group, Some(option)) if group == DEFAULT => option,
            (group, Some(option)) => format!("{group}.{option}"),
            (group, None) => group,
        };
        deployment::get(context, &path, self.reveal)
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let (told, untold) = reading::runtime()?.block_on(async {
            let configuration = self.files.open(context).await?;
            Ok::<_, Failure>(everything(&configuration).await)
        })?;
        let reveal = |option: &OptionName, found: &Found| match self.reveal {
            true => Secrecy::Open,
            false => secrecy::of_found(option, found),
        };
        let all: Vec<_> = told.iter().map(|(option, found)| described(option, found, reveal(option, found))).collect();
        let cannot: Vec<_> = untold
            .iter()
            .map(|(option, why)| json!({"option": option.to_string(), "why": outcome::chain(why)}))
            .collect();
        show::answer(context.output, &json!({"options": all, "untold": cannot}), || {
            let row = |(option, found): &(OptionName, Found)| {
                let value = self::told(found, reveal(option, found));
                vec![option.group.clone(), option.name.clone(), found.origin.to_string(), value]
            };
            show::table(&["GROUP", "OPTION", "FROM", "VALUE"], &told.iter().map(row).collect::<Vec<_>>())
        })?;
        if untold.is_empty() { Ok(()) } else { Err(outcome::untold(&untold)) }
    }
}

/// Every option that is set, and those that cannot be told.
async fn everything(configuration: &Configuration) -> (Vec<(OptionName, Found)>, Vec<(OptionName, ReadError)>) {
    let (mut told, mut untold) = (Vec::new(), Vec::new());
    let declaration = Declaration { many: Many::Last, ..Declaration::of(OptionType::text()) };
    for option in configuration.set() {
        match configuration.read_as(&option, &declaration).await {
            Ok(found) => told.push((option, found)),
            Err(error) => untold.push((option, error)),
        }
    }
    (told, untold)
}

fn described(option: &OptionName, found: &Found, secrecy: Secrecy) -> serde_json::Value {
    let mut told = json!({"group": option.group, "option": option.name, "origin": found.origin});
    match secrecy {
        Secrecy::Open => told["value"] = reading::json(&found.value),
        Secrecy::Secret => told["secret"] = true.into(),
    }
    told
}

fn told(found: &Found, secrecy: Secrecy) -> String {
    match secrecy {
        Secrecy::Open => found.value.text().to_string(),
        Secrecy::Secret => HIDDEN.to_owned(),
    }
}

/// What stands for a value that is not shown.
const HIDDEN: &str = "(secret; --reveal shows it)";
