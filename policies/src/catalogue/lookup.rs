//! The whole catalogue: the three that are built in, any other from text, and finding entries in it.

use super::{
    entry::{Entry, Standing},
    fault::{CatalogueError, Fault},
    fields::nearest,
    read,
};
use crate::{document::Mistakes, name::SecretName};
use std::collections::BTreeMap;

/// All secrets of a deployer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    pub(super) deployer: String,
    pub(super) entries: BTreeMap<SecretName, Entry>,
    pub(super) aliases: BTreeMap<SecretName, SecretName>,
}

impl Catalogue {
    /// One that is built in: `kolla-ansible`, `tripleo` or `openstack-ansible`.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`] with the nearest name.
    pub fn named(name: &str) -> Result<Catalogue, CatalogueError> {
        let Some((file, text)) = EMBEDDED.iter().find(|(built_in, _)| *built_in == name) else {
            let built_in: Vec<&'static str> = EMBEDDED.iter().map(|(built_in, _)| *built_in).collect();
            let nearest = nearest(name, built_in.iter().copied());
            return Err(CatalogueError::Unknown { name: name.to_owned(), nearest, built_in });
        };
        Catalogue::parse(&format!("{file}.yaml"), text).map_err(CatalogueError::Broken)
    }

    /// Reads a catalogue. `file` is what the mistakes call it.
    ///
    /// # Errors
    /// Every mistake in it, each with its line.
    pub fn parse(file: &str, text: &str) -> Result<Catalogue, Mistakes<Fault>> {
        read::catalogue(file, text)
    }

    /// The deployer it is for.
    pub fn deployer(&self) -> &str {
        &self.deployer
    }

    /// The entry of a secret, by its name or an alias.
    pub fn entry(&self, name: &SecretName) -> Option<&Entry> {
        self.entries.get(self.aliases.get(name).unwrap_or(name))
    }

    /// Every entry, older ones included, in the order of names.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entries that the deployer knows today.
    pub fn current(&self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| entry.standing == Standing::Current)
    }

    /// The names that are accepted on import only: older entries and aliases.
    pub fn older_names(&self) -> impl Iterator<Item = &SecretName> {
        let entries = self.entries().filter(|entry| entry.standing == Standing::Older).map(|entry| &entry.name);
        entries.chain(self.aliases.keys())
    }

    /// The name, or alias, that reads most like this one.
    pub fn nearest(&self, name: &str) -> Option<&SecretName> {
        let known = || self.entries.keys().chain(self.aliases.keys());
        let found = nearest(name, known().map(SecretName::as_str))?;
        known().find(|known| known.as_str() == found)
    }
}

/// The built-in catalogues: name and text.
pub const EMBEDDED: [(&str, &str); 3] = [
    ("kolla-ansible", include_str!("../../catalogues/kolla-ansible.yaml")),
    ("tripleo", include_str!("../../catalogues/tripleo.yaml")),
    ("openstack-ansible", include_str!("../../catalogues/openstack-ansible.yaml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(name: &str) -> Catalogue {
        Catalogue::named(name).unwrap_or_else(|error| panic!("{error}"))
    }

    fn secret(name: &str) -> SecretName {
        name.parse().unwrap()
    }

    #[test]
    fn kolla_ansible_is_complete() {
        let kolla = built_in("kolla-ansible");
        assert_eq!(kolla.deployer(), "kolla-ansible");
        assert_eq!((kolla.current().count(), kolla.older_names().count()), (106, 1));
    }

    #[test]
    fn tripleo_is_complete() {
        let tripleo = built_in("tripleo");
        assert_eq!((tripleo.current().count(), tripleo.older_names().count()), (52, 16));
    }
}
