//! `donjon wire`: files of references for a deployer.

mod nova;
mod oslo;
mod proof;
mod runtime;
mod tripleo;

use crate::{
    adopt::{
        self, Format,
        yaml::{self, Kind, Node},
    },
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    socket::{
        client::Client,
        message::{Asked, Request},
    },
    wire::{LOOKUP, Numbers, kolla},
};
use clap::{Args, Subcommand};
use donjon_drivers::{fs, keyring::document::Repository, material::Material, store::secret::Part};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::Shape,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Give a deployer references instead of values.
#[derive(Debug, Args)]
pub struct Wire {
    #[command(subcommand)]
    deployer: Deployer,
}

#[derive(Debug, Subcommand)]
enum Deployer {
    Kolla(Kolla),
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
    /// The file to write. It is replaced whole, unless it holds values: these are adopted first.
    #[arg(long = "file", short = 'o', value_name = "FILE", required_unless_present_any = ["runtime", "undo"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    reading: runtime::Reading,
}

impl Wire {
    /// Writes.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.deployer {
            Deployer::Kolla(kolla) => kolla.run(context),
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
            passwords(context, &catalogue, path)?;
        }
        match self.reading.runtime {
            Some(runtime) => self.reading.run(context, &catalogue, runtime),
            None if self.reading.undo => self.reading.take_back(context),
            None => Ok(()),
        }
    }
}

fn passwords(context: &Context, catalogue: &Catalogue, path: &Path) -> Result<(), Failure> {
    let file = kolla::passwords(catalogue, &stored(context)?, &numbers(context, catalogue)?);
    let lookup = format!("lookup('{LOOKUP}'");
    let mode = nothing_else_in(path, (Format::Kolla, catalogue), &|text| text.contains(&lookup))?;
    replace(path, file.as_bytes(), mode)?;
    let path = path.display();
    show::answer(context.output, &json!({"file": path.to_string()}), || {
        format!("{path} holds references to {} secrets and no value\n", catalogue.current().count())
    })
}

/// The mode of a file that is to be replaced. One with values, or with anything but references of Donjon's in it, is not: what
/// is in it may be nowhere else.
fn nothing_else_in(
    path: &Path,
    (format, catalogue): (Format, &Catalogue),
    is_reference: &dyn Fn(&str) -> bool,
) -> Result<u32, Failure> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(READABLE),
        Err(error) => return Err(unseen(path).because(&error)),
    };
    let bytes = Zeroizing::new(fs::read(path).map_err(|error| unseen(path).because(&error))?);
    let text = std::str::from_utf8(&bytes).map_err(|error| unseen(path).because(&error))?;
    let adopted = format!("`donjon adopt {} --replace` stores them first; or write to another file", path.display());
    if adopt::is_sealed(&bytes) {
        return Err(unseen(path).cause("it is an ansible-vault, whose values may be nowhere else").hint(adopted));
    }
    let document = yaml::read(text).map_err(|error| unseen(path).because(&error))?;
    let Some(document) = document else { return Ok(found.permissions().mode() & 0o777) };
    let Some(top) = document.pairs() else {
        return Err(unseen(path).cause("it is no mapping of names").hint("write to another file"));
    };
    let given = match format {
        Format::Kolla | Format::Osa => adopt::take(&document, format, catalogue, &[]).map(|taken| taken.given.len()),
        // What is no placeholder is told by its name, below.
        Format::Tripleo => Ok(0),
    };
    let given = given.map_err(|mistakes| {
        let mut failure = unseen(path).hint(adopted.clone());
        failure.causes = mistakes.iter().map(ToString::to_string).collect();
        failure
    })?;
    if given > 0 {
        return Err(unseen(path).cause(format!("it holds {given} values")).hint(adopted));
    }
    let known = |name: &str| name.parse::<SecretName>().is_ok_and(|name| catalogue.entry(&name).is_some());
    let (parameters, beside): (Vec<_>, Vec<_>) =
        top.iter().partition(|(name, _)| format == Format::Tripleo && name == PARAMETERS);
    let parameters = parameters.iter().flat_map(|(_, node)| node.pairs().unwrap_or_default());
    let own = |(name, node): &&(String, Node)| known(name) && refers(node, is_reference) || is_empty(node);
    let others: Vec<&str> =
        beside.into_iter().chain(parameters).filter(|pair| !own(pair)).map(|(name, _)| name.as_str()).collect();
    if others.is_empty() {
        return Ok(found.permissions().mode() & 0o777);
    }
    let refers_already = |name: &&str| {
        let all = top.iter().chain(top.iter().flat_map(|(_, node)| node.pairs().unwrap_or_default()));
        all.into_iter().any(|(known, node)| known == name && refers(node, is_reference))
    };
    if others.iter().all(refers_already) {
        let names = others[..others.len().min(MOST_NAMED)].join(", ");
        return Err(unseen(path)
            .cause(format!(
                "it holds references of Donjon's already, to {} secrets that the catalogue does not know, and these would be gone: {names}",
                others.len()
            ))
            .hint("it is wired: `donjon run --deploy` uses it as it is; or write to another file"));
    }
    let many = others[..others.len().min(MOST_NAMED)].join(", ");
    Err(unseen(path)
        .cause(format!("{} names in it are no references of Donjon's, and would be gone: {many}", others.len()))
        .hint(adopted))
}

/// Whether each text in it is a reference of Donjon's: a pair, or a repository of keys, has several.
fn refers(node: &Node, is_reference: &dyn Fn(&str) -> bool) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => is_reference(&scalar.text),
        Kind::Mapping(pairs) => pairs.iter().all(|(_, node)| refers(node, is_reference) || is_empty(node)),
        Kind::Sequence => false,
    }
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if matches!(scalar.text.as_str(), "" | "null" | "~"))
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

fn unseen(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} is not replaced", path.display())).state("the file is as it was")
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

fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    fs::replace_with_mode(path, content, mode).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display()))
            .because(&error)
            .state("the file is as it was")
    })
}

const PARAMETERS: &str = "parameter_defaults";
const MOST_NAMED: usize = 8;
/// References are no secrets; kolla warns about a file that others may write.
const READABLE: u32 = 0o644;
