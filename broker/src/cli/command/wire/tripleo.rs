//! `donjon wire tripleo`: placeholders for heat, and lookups in what config-download writes.

use super::{
    files_below, numbers,
    over::{Over, Place},
};
use crate::{
    adopt::Format,
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    wire::{
        Placeholders, environment,
        tree::{self, Change, Given},
    },
};
use clap::Args;
use donjon_drivers::fs;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Write a heat environment of placeholders, or turn those of a config-download tree into lookups.
///
/// Heat gets placeholders because it percent-encodes what it puts into URLs. What it makes of them is downloaded, and its tree
/// is rewritten here before Ansible runs. A placeholder that cannot be turned is an error, and nothing is changed. Each rotation of
/// Keystone's keys numbers them on, so the environment is written again after it: one for earlier numbers is refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire tripleo --environment passwords.yaml\n  donjon wire tripleo ~/overcloud-deploy/overcloud/config-download/overcloud"
)]
#[group(required = true, multiple = true)]
pub(super) struct Tripleo {
    /// A config-download tree.
    folder: Option<PathBuf>,
    /// The heat environment to write.
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
}

impl Tripleo {
    /// Writes, and turns.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let catalogue = config::of_deployer(&context.home, "tripleo")?;
        let numbers = numbers(context, &catalogue)?;
        let placeholders = Placeholders::of(&catalogue, &numbers);
        // First what can be refused.
        let planned = self.folder.as_deref().map(|folder| planned(folder, &placeholders)).transpose()?;
        let environment = environment::environment(&catalogue, &numbers);
        let refers = |names: &[&str], text: &str| placeholders.is_one(names, text);
        let over =
            Over { format: Format::Tripleo, catalogue: &catalogue, written: &environment, is_reference: &refers };
        if let Some(place) = self.environment.as_deref().map(|file| over.found(file)).transpose()? {
            place.replace(environment.as_bytes())?;
        }
        let changes = planned.unwrap_or_default();
        if let Some(folder) = &self.folder {
            for change in &changes {
                let (place, _) = Place::of(&folder.join(&change.path))?;
                place.replace(change.text.as_bytes())?;
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
    tree::plan(&read(folder)?, placeholders).map_err(|faults| {
        let mut failure = Failure::new(Exit::Failed, format!("{} cannot be wired", folder.display()));
        failure.causes = faults.iter().map(ToString::to_string).collect();
        failure.state("no file was changed").hint(match faults.iter().any(|fault| fault.reason.is_of_an_earlier_repository()) {
            true => "write the environment again (`donjon wire tripleo --environment FILE`), give it to `openstack overcloud deploy --stack-only`, and wire what config-download writes then",
            false => "let a task read such a file with lookup('file', …), or take the secret out of it; then run this again",
        })
    })
}

/// What is in every file below a folder.
fn read(folder: &Path) -> Result<Vec<Given>, Failure> {
    let found = files_below(folder).map_err(|error| {
        let failure = Failure::new(Exit::NotThere, format!("cannot read {}", folder.display())).because(&error);
        failure.state("no file was changed")
    })?;
    let given = |path: PathBuf| {
        let content = fs::read(&path).map_err(|error| {
            Failure::new(Exit::Failed, "cannot read the tree").because(&error).state("no file was changed")
        })?;
        let path = path.strip_prefix(folder).map(Path::to_path_buf).unwrap_or(path);
        Ok(Given { path, content })
    };
    found.into_iter().map(given).collect()
}
