//! What `donjon config` reads: the files and what stands beside them, and how a type is named on the command line.

use crate::{
    cli::Context,
    failure::{Exit, Failure},
    settings::{asking::OverSocket, outcome},
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};
use donjon_drivers::source::{
    Argument, Configuration, Known, Many, OptionName, OptionType, Sought, Text, Value, environment::Environment,
    option::DEFAULT,
};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// What a service is started with.
#[derive(Debug, Args)]
pub(in crate::cli::command) struct Files {
    #[command(flatten)]
    places: Places,
    /// What stands on the service's command line, or is its default: no secrets here.
    #[arg(long, value_name = "[GROUP.]OPTION=VALUE", value_parser = assignment)]
    set: Vec<(OptionName, String)>,
}

/// Files and folders, in the order in which they are named: a later one overrides, of whichever sort it is.
#[derive(Debug)]
struct Places(Vec<Place>);

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Args for Places {
    fn augment_args(command: Command) -> Command {
        let named = |id, long, value, help| {
            let path = value_parser!(PathBuf);
            Arg::new(id).long(long).value_name(value).action(ArgAction::Append).value_parser(path).help(help)
        };
        let file = "A configuration file; later ones override earlier ones";
        let folder = "A folder of `*.conf` files, which are read where it stands among the files";
        command.arg(named(FILES, "config-file", "FILE", file)).arg(named(FOLDERS, "config-dir", "FOLDER", folder))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Places {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = |id: &'static str, place: fn(PathBuf) -> Place| {
            let paths = matches.get_many::<PathBuf>(id).into_iter().flatten();
            matches.indices_of(id).into_iter().flatten().zip(paths.cloned().map(place)).collect::<Vec<_>>()
        };
        let mut all = of(FILES, Place::File);
        all.extend(of(FOLDERS, Place::Folder));
        all.sort_by_key(|(index, _)| *index);
        Ok(Self(all.into_iter().map(|(_, place)| place).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const FILES: &str = "files";
const FOLDERS: &str = "folders";

impl Files {
    /// Whether nothing is named.
    pub(in crate::cli::command) fn none(&self) -> bool {
        self.places.0.is_empty()
    }

    /// Whether something is set beside them.
    pub(in crate::cli::command) fn sets(&self) -> bool {
        !self.set.is_empty()
    }

    /// Opens them, with the environment of this process; on error, all that is wrong.
    pub(in crate::cli::command) async fn open(&self, context: &Context) -> Result<Configuration, Failure> {
        let places = self.places.0.iter().cloned().map(|place| match place {
            Place::File(path) => Argument::File(path),
            Place::Folder(path) => Argument::Folder(path),
        });
        let set = self.set.iter().map(|(option, text)| Argument::Option(option.clone(), Text::from(text.as_str())));
        let sought = Sought {
            arguments: places.chain(set).collect(),
            environment: Environment::of_this_process(),
            known: Known::Any,
            broker: Arc::new(OverSocket::of(&context.home)),
        };
        Configuration::open(sought).await.map_err(|errors| outcome::opening(&errors))
    }
}

fn assignment(text: &str) -> Result<(OptionName, String), String> {
    let (name, value) = text.split_once('=').ok_or("[GROUP.]OPTION=VALUE is expected")?;
    Ok((option_name(name)?, value.to_owned()))
}

/// An option as it is named in one word.
pub(in crate::cli::command) fn option_name(text: &str) -> Result<OptionName, String> {
    let (group, name) = text.split_once('.').unwrap_or((DEFAULT, text));
    match group.is_empty() || name.is_empty() {
        true => Err("[GROUP.]OPTION is expected".to_owned()),
        false => Ok(OptionName::new(group, name)),
    }
}

/// The types of oslo.config.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Type {
    /// Text.
    String,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A floating-point number.
    Float,
    /// A port number.
    Port,
    /// Items between commas.
    List,
    /// `key:value` between commas.
    Dict,
    /// A text that may stand several times.
    Multi,
    /// An IP address.
    Ip,
    /// An IP address or host name.
    Host,
    /// A URI.
    Uri,
}

impl Type {
    /// As an option is declared.
    pub(super) fn declared(self) -> (OptionType, Many) {
        let kind = match self {
            Self::String => OptionType::text(),
            Self::Bool => OptionType::Switch,
            Self::Int => OptionType::integer(),
            Self::Float => OptionType::Float { min: None, max: None },
            Self::Port => OptionType::port(),
            Self::List => OptionType::list(),
            Self::Dict => OptionType::map(),
            Self::Multi => return (OptionType::text(), Many::All),
            Self::Ip => OptionType::Address(None),
            Self::Host => OptionType::Host,
            Self::Uri => OptionType::Uri { schemes: Vec::new(), longest: None },
        };
        (kind, Many::Last)
    }
}

/// A value for programs. Whole numbers beyond 64 bits and what is no number are texts.
pub(super) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Text(_) => value.text().as_str().into(),
        Value::Integer(_) => value.text().parse::<i64>().map_or_else(|_| value.text().as_str().into(), Into::into),
        Value::Float(number) if number.is_finite() => json!(number),
        Value::Float(_) => value.text().as_str().into(),
        Value::Switch(switch) => (*switch).into(),
        Value::List(items) => items.iter().map(json).collect(),
        // EXPOSE: shown on request
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.expose().to_owned(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// A runtime for one command.
pub(in crate::cli::command) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Bug, "cannot start the runtime").because(&error))
}
