//! `donjon wire`: files of references for a deployer.

mod nova;
mod oslo;
mod proof;
mod runtime;

use crate::{
    adopt::{
        self, Format,
        yaml::{self, Kind, Node},
    },
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    socket::message::Request,
    wire::{
        LOOKUP, Placeholders, environment, kolla,
        tree::{self, Change, Given},
    },
};
use clap::{Args, Subcommand};
use donjon_drivers::fs;
use donjon_policies::{catalogue::Catalogue, name::SecretName};
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
    Tripleo(Tripleo),
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

/// Write a heat environment of placeholders, or turn those of a config-download tree into lookups.
///
/// Heat gets placeholders because it percent-encodes what it puts into URLs. What it makes of them is downloaded, and its tree
/// is rewritten here before Ansible runs. A placeholder that cannot be turned is an error, and nothing is changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire tripleo --environment passwords.yaml\n  donjon wire tripleo ~/overcloud-deploy/overcloud/config-download/overcloud"
)]
#[group(required = true, multiple = true)]
struct Tripleo {
    /// A config-download tree.
    folder: Option<PathBuf>,
    /// The heat environment to write.
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
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
    let file = kolla::passwords(catalogue, &stored(context)?);
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

fn unseen(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} is not replaced", path.display())).state("the file is as it was")
}

impl Tripleo {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let catalogue = config::of_deployer(&context.home, "tripleo")?;
        let placeholders = Placeholders::of(&catalogue);
        // First what can be refused.
        let planned = self.folder.as_deref().map(|folder| planned(folder, &placeholders)).transpose()?;
        let environment = environment::environment(&catalogue, &placeholders);
        let environment_mode = self
            .environment
            .as_deref()
            .map(|file| nothing_else_in(file, (Format::Tripleo, &catalogue), &|text| placeholders.any(text)))
            .transpose()?;
        if let (Some(file), Some(mode)) = (&self.environment, environment_mode) {
            replace(file, environment.as_bytes(), mode)?;
        }
        let changes = planned.unwrap_or_default();
        if let Some(folder) = &self.folder {
            for change in &changes {
                let path = folder.join(&change.path);
                let mode = std::fs::metadata(&path).map_or(PRIVATE, |found| found.permissions().mode() & 0o777);
                replace(&path, change.text.as_bytes(), mode)?;
            }
        }
        let all = json!({
            "environment": self.environment.as_ref().map(|file| file.display().to_string()),
            "changed": changes.iter().map(described).collect::<Vec<_>>(),
        });
        show::answer(context.output, &all, || told(&self, &changes, placeholders.find(&environment).count()))
    }
}

fn told(asked: &Tripleo, changes: &[Change], placeholders: usize) -> String {
    let mut text = String::new();
    if let Some(file) = &asked.environment {
        text += &format!("{} holds {placeholders} placeholders and no value\n", file.display());
    }
    if asked.folder.is_some() {
        let rows: Vec<Vec<String>> = changes
            .iter()
            .map(|c| vec![c.path.display().to_string(), c.references.to_string(), c.lookups.to_string()])
            .collect();
        text += &match rows.is_empty() {
            true => "nothing to change: no placeholder is there\n".to_owned(),
            false => show::table(&["FILE", "REFERENCES", "LOOKUPS OF FILES"], &rows),
        };
    }
    text
}

fn described(change: &Change) -> serde_json::Value {
    json!({"file": change.path.display().to_string(), "references": change.references, "lookups": change.lookups})
}

fn planned(folder: &Path, placeholders: &Placeholders) -> Result<Vec<Change>, Failure> {
    let mut files = Vec::new();
    gather(folder, Path::new(""), &mut files)?;
    tree::plan(&files, placeholders).map_err(|faults| {
        let mut failure = Failure::new(Exit::Failed, format!("{} cannot be wired", folder.display()));
        failure.causes = faults.iter().map(ToString::to_string).collect();
        failure.state("no file was changed").hint(
            "let a task read such a file with lookup('file', …), or take the secret out of it; then run this again",
        )
    })
}

/// Every file below a folder but git's own; links are not followed.
fn gather(root: &Path, below: &Path, files: &mut Vec<Given>) -> Result<(), Failure> {
    let folder = root.join(below);
    let failed = |error: &std::io::Error| {
        let failure = Failure::new(Exit::NotThere, format!("cannot read {}", folder.display())).because(error);
        failure.state("no file was changed")
    };
    let mut entries: Vec<_> = std::fs::read_dir(&folder).and_then(Iterator::collect).map_err(|error| failed(&error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let kind = entry.file_type().map_err(|error| failed(&error))?;
        if kind.is_dir() && entry.file_name() != ".git" {
            gather(root, &path, files)?;
        } else if kind.is_file() {
            let content = fs::read(&root.join(&path)).map_err(|error| {
                Failure::new(Exit::Failed, "cannot read the tree").because(&error).state("no file was changed")
            })?;
            files.push(Given { path, content });
        }
    }
    Ok(())
}

/// What is in the store, so that what an operator has put is referred to. Without a daemon nothing has been put.
fn stored(context: &Context) -> Result<BTreeSet<SecretName>, Failure> {
    let mut client = match context.client() {
        Ok(client) => client,
        Err(failure) if failure.code == Exit::Unavailable => return Ok(BTreeSet::new()),
        Err(failure) => return Err(failure),
    };
    let reply = client.ask_quietly(&Request::List, Vec::new())?;
    let secrets = reply.value["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(secrets.iter().filter_map(|secret| secret["name"].as_str()?.parse().ok()).collect())
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
const PRIVATE: u32 = 0o600;
