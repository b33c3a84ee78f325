//! `donjon wire`: files of references for a deployer.

mod nova;
mod oslo;
mod over;
mod proof;
mod runtime;
mod tripleo;

use self::over::Over;
use crate::{
    adopt::Format,
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    socket::{
        client::Client,
        message::{Asked, Request},
    },
    wire::{
        Numbers, Reference,
        named::{self, Reader},
    },
};
use clap::{Args, Subcommand};
use donjon_drivers::{keyring::document::Repository, material::Material, store::secret::Part};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::Shape,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Give a deployer references instead of values.
#[derive(Debug, Args)]
pub struct Wire {
    #[command(subcommand)]
    deployer: Deployer,
}

#[derive(Debug, Subcommand)]
enum Deployer {
    Kolla(Kolla),
    Osa(Osa),
    Tripleo(tripleo::Tripleo),
    Nova(nova::Nova),
    Oslo(oslo::Oslo),
}

/// Write a passwords.yml of lookups for kolla-ansible.
///
/// kolla-ansible loads it unchanged. What an operator supplies (a registry's password) is empty until it has been put.
///
/// With `--runtime` its services read their secrets themselves: overrides below /etc/kolla/config leave the values out of what
/// kolla renders, at each `genconfig` and `reconfigure`. What must be there first is told (on each node the driver's package and a
/// reader, in donjon.yaml the roles), and what kolla writes in clear all the same, with the reason. `--undo` takes the overrides away;
/// the next `reconfigure` then puts the values into the services' files again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire kolla -o /etc/kolla/passwords.yml\n  donjon run --deploy -- kolla-ansible deploy\n  donjon wire kolla --runtime donjon\n  donjon wire kolla --undo"
)]
struct Kolla {
    /// The file to write, or a link to it. It is replaced whole and keeps its owner and mode, unless it holds values, which are adopted
    /// first, or anything else that is not of Donjon's.
    #[arg(long = "file", short = 'o', value_name = "FILE", required_unless_present_any = ["runtime", "undo"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    reading: runtime::Reading,
}

/// Write a user_secrets.yml of lookups for openstack-ansible.
///
/// openstack-ansible loads it unchanged, as it does its own. What an operator supplies is empty until it has been put.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire osa -o /etc/openstack_deploy/user_secrets.yml\n  donjon run --deploy -- openstack-ansible openstack.osa.setup_openstack"
)]
struct Osa {
    /// The file to write, or a link to it. It is replaced whole and keeps its owner and mode, unless it holds values, which are adopted
    /// first, or anything else that is not of Donjon's.
    #[arg(long = "file", short = 'o', value_name = "FILE")]
    file: PathBuf,
}

impl Wire {
    /// Writes.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.deployer {
            Deployer::Kolla(kolla) => kolla.run(context),
            Deployer::Osa(osa) => osa.run(context),
            Deployer::Tripleo(tripleo) => tripleo.run(context),
            Deployer::Nova(nova) => nova.run(context),
            Deployer::Oslo(oslo) => oslo.run(context),
        }
    }
}

impl Kolla {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let catalogue = config::of_deployer(&context.home, "kolla-ansible")?;
        if let Some(path) = &self.file {
            passwords(context, Reader::Kolla, &catalogue, path)?;
        }
        match self.reading.runtime {
            Some(runtime) => self.reading.run(context, &catalogue, runtime),
            None if self.reading.undo => self.reading.take_back(context),
            None => Ok(()),
        }
    }
}

impl Osa {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let catalogue = config::of_deployer(&context.home, "openstack-ansible")?;
        passwords(context, Reader::Osa, &catalogue, &self.file)
    }
}

fn passwords(context: &Context, reader: Reader, catalogue: &Catalogue, path: &Path) -> Result<(), Failure> {
    let file = named::passwords(reader, catalogue, &stored(context)?, &numbers(context, catalogue)?);
    let format = match reader {
        Reader::Kolla => Format::Kolla,
        Reader::Osa => Format::Osa,
    };
    let refers = |names: &[&str], text: &str| {
        Reference::read(text).is_some_and(|reference| names.contains(&reference.name.as_str()))
    };
    let over = Over { format, catalogue, written: &file, is_reference: &refers };
    over.found(path)?.replace(file.as_bytes())?;
    let path = path.display();
    show::answer(context.output, &json!({"file": path.to_string()}), || {
        format!("{path} holds references to {} secrets and no value\n", catalogue.current().count())
    })
}

/// Every file below a folder but git's own, in the order of their names; links are not followed.
fn files_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = std::fs::read_dir(folder).and_then(Iterator::collect).map_err(named)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let kind = entry.file_type().map_err(named)?;
        if kind.is_dir() && entry.file_name() != ".git" {
            found.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What is in the store, so that what an operator has put is referred to. Without a daemon nothing has been put.
fn stored(context: &Context) -> Result<BTreeSet<SecretName>, Failure> {
    let mut client = match context.client() {
        Ok(client) => client,
        Err(failure) if failure.code == Exit::Unavailable => return Ok(BTreeSet::new()),
        Err(failure) => return Err(failure),
    };
    names(&mut client)
}

fn names(client: &mut Client) -> Result<BTreeSet<SecretName>, Failure> {
    let reply = client.ask_quietly(&Request::List, Vec::new())?;
    let secrets = reply.value["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(secrets.iter().filter_map(|secret| secret["name"].as_str()?.parse().ok()).collect())
}

/// The keys of the catalogue's repositories as they are stored. Where nothing was ever stored, they are those to be made.
fn numbers(context: &Context, catalogue: &Catalogue) -> Result<Numbers, Failure> {
    let is_repository = |entry: &&Entry| matches!(entry.recipe.shape(), Shape::FernetRepository { .. });
    let repositories: Vec<&SecretName> = catalogue.entries().filter(is_repository).map(|entry| &entry.name).collect();
    let mut client = match context.client() {
        Ok(client) if !repositories.is_empty() => client,
        Err(failure) if !repositories.is_empty() && context.home.lock().exists() => {
            return Err(failure.state("no file was changed"));
        }
        Ok(_) | Err(_) => return Ok(Numbers::default()),
    };
    let stored = names(&mut client)?;
    let repositories: Vec<&SecretName> = repositories.into_iter().filter(|name| stored.contains(name)).collect();
    if repositories.is_empty() {
        return Ok(Numbers::default());
    }
    let asked = repositories.iter().map(|name| Asked { name: name.to_string(), part: Part::Whole }).collect();
    let reply = client.ask_quietly(&Request::Read { names: asked, version: None, epoch: None }, Vec::new())?;
    let keys = |(name, value): (&SecretName, &Material)| {
        let repository = Repository::parse(value).map_err(|error| {
            Failure::new(Exit::Failed, format!("which keys `{name}` has cannot be told"))
                .because(&error)
                .state("no file was changed")
                .hint(format!(
                    "`donjon history {name}` shows its versions; `donjon put {name}` stores a whole repository"
                ))
        })?;
        Ok((name.clone(), repository.ring().0.into_keys().collect()))
    };
    repositories.into_iter().zip(&reply.materials).map(keys).collect()
}
