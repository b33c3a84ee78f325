//! The secrets of the store: which have a value that moves, and what is added to them.

use crate::{
    cli::Context,
    config,
    failure::{Exit, Failure},
    socket::{
        client::Client,
        message::{Asked, Request},
    },
    wire::{assembled::Assembled, oslo::Moved},
};
use donjon_drivers::{material::Material, store::secret::Part};
use donjon_policies::{deployment::Deployment, name::SecretName};
use std::collections::{BTreeMap, BTreeSet};

/// The options that are assembled from secrets of the store, by the names that they get.
pub(super) type Views = BTreeMap<SecretName, Assembled>;

pub(super) fn templates(views: &Views) -> BTreeMap<&str, &str> {
    views.iter().map(|(name, view)| (name.as_str(), view.template.as_str())).collect()
}

/// The secrets of the store. Without a broker none is known.
#[derive(Default)]
pub(super) struct Stored(Vec<(SecretName, Material)>);

impl Stored {
    /// All but those that the catalogue says are none, as names of users are.
    pub(super) fn of(context: &Context, deployment: &Deployment) -> Result<Self, Failure> {
        let mut client = match context.client() {
            Ok(client) => client,
            Err(failure) if failure.code == Exit::Unavailable => return Ok(Self::default()),
            Err(failure) => return Err(failure),
        };
        let catalogue = config::catalogue(&deployment.catalogue)?;
        let mut names = names(&mut client)?;
        names.retain(|name| catalogue.entry(name).is_none_or(|entry| entry.class.is_secret()));
        let mut known = Vec::new();
        for some in names.chunks(AT_ONCE) {
            let asked = some.iter().map(|name| Asked { name: name.to_string(), part: Part::Whole }).collect();
            let read = client.ask_quietly(&Request::Read { names: asked, version: None, epoch: None }, Vec::new())?;
            known.extend(some.iter().cloned().zip(read.materials));
        }
        Ok(Self(known))
    }

    /// Those that have this value, where it is long enough not to be theirs by chance.
    pub(super) fn with(&self, value: &str) -> Vec<SecretName> {
        if value.len() < SHORTEST {
            return Vec::new();
        }
        let value = Material::from(value.to_owned());
        self.0.iter().filter(|(_, held)| held.matches(&value)).map(|(name, _)| name.clone()).collect()
    }
}

/// Refuses where a view is not in the deployment file: it would stay behind when its secret rotates.
pub(super) fn declared(deployment: &Deployment, views: &Views) -> Result<(), Failure> {
    let missing: Vec<String> = views
        .iter()
        .filter(|(name, view)| deployment.views.get(*name) != Some(&view.template))
        .map(|(name, view)| format!("  {name}: \"{}\"", view.template))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "what would move is assembled from secrets that rotate")
        .cause("the deployment file has no such view, so it would keep the old value")
        .state("nothing was done")
        .hint(format!("in donjon.yaml:\nviews:\n{}", missing.join("\n"))))
}

/// The names of all secrets there are.
fn names(client: &mut Client) -> Result<Vec<SecretName>, Failure> {
    let listed = client.ask_quietly(&Request::Names, Vec::new())?;
    Ok(serde_json::from_value(listed.value["names"].clone()).unwrap_or_default())
}

/// Stores what moves. A secret of the same name must have the same value.
pub(super) fn store(context: &Context, moved: &[Moved]) -> Result<(), Failure> {
    let mut client = context.client()?;
    let there: BTreeSet<SecretName> = names(&mut client)?.into_iter().collect();
    let (known, new): (Vec<&Moved>, Vec<&Moved>) = moved.iter().partition(|m| there.contains(&m.name));
    if !known.is_empty() {
        let names = known.iter().map(|m| Asked { name: m.name.to_string(), part: Part::Whole }).collect();
        let stored = client.ask_quietly(&Request::Read { names, version: None, epoch: None }, Vec::new())?;
        let other: Vec<String> = known
            .iter()
            .zip(&stored.materials)
            .filter(|(moved, stored)| !moved.value.duplicate().into_material().matches(stored))
            .map(|(moved, _)| format!("`{}` has another value than {} in the file", moved.name, moved.option))
            .collect();
        if !other.is_empty() {
            let mut failure = Failure::new(Exit::Conflict, "the store and the file do not agree");
            failure.causes = other;
            return Err(failure
                .state("nothing was done")
                .hint("put the right value in one of them; `--leave GROUP.OPTION` leaves an option in this file"));
        }
    }
    for Moved { name, value, .. } in new.into_iter().filter(|moved| !moved.linked) {
        let material: Material = value.duplicate().into_material();
        client.ask_quietly(&Request::Put { name: name.to_string(), new_deployment: false }, vec![material])?;
    }
    Ok(())
}

/// Names in one request.
const AT_ONCE: usize = 500;
/// What is shorter may be in a URL by chance.
const SHORTEST: usize = 8;
