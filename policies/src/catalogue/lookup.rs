//! The whole catalogue: the three that are built in, any other from text, and finding entries in it.

use super::{
    entry::{Entry, Standing},
    fault::{CatalogueError, Fault},
    read,
};
use crate::{document::Mistakes, name::SecretName, nearest::nearest};
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
            let nearest = nearest(name, built_in.iter().copied()).map(str::to_owned);
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
    use crate::strategy::Outage;

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

    #[test]
    fn openstack_ansible_is_complete() {
        let osa = built_in("openstack-ansible");
        assert_eq!((osa.current().count(), osa.older_names().count()), (118, 29));
    }

    #[test]
    fn a_secret_answers_to_its_older_name() {
        let kolla = built_in("kolla-ansible");
        let found = kolla.entry(&secret("redis_master_password")).map(|entry| entry.name.as_str());
        assert_eq!(found, Some("valkey_master_password"));
        let tripleo = built_in("tripleo");
        assert_eq!(tripleo.entry(&secret("AdminToken")).map(|entry| entry.name.as_str()), Some("KeystonePassword"));
        assert_eq!(kolla.entry(&secret("AdminToken")), None);
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_secret() {
        let kolla = built_in("kolla-ansible");
        let nearest = |name: &str| kolla.nearest(name).map(SecretName::as_str);
        assert_eq!(nearest("databse_password"), Some("database_password"));
        assert_eq!(nearest("Keystone_Admin_Passwort"), Some("keystone_admin_password"));
        assert_eq!(nearest("redis_master_pasword"), Some("redis_master_password"));
        assert_eq!(nearest("something else entirely, at length"), None);
        assert_eq!(nearest(""), None);
    }

    #[test]
    fn an_unknown_catalogue_names_the_nearest() {
        let error = Catalogue::named("kola-ansible").unwrap_err().to_string();
        let expected = "no catalogue is called `kola-ansible`; did you mean `kolla-ansible`?; \
                        built in: kolla-ansible, tripleo, openstack-ansible";
        assert_eq!(error, expected);
    }

    #[test]
    fn the_worst_credential_is_what_a_change_costs() {
        let tripleo = built_in("tripleo");
        let outage = |name: &str| tripleo.entry(&secret(name)).and_then(Entry::outage);
        assert_eq!(outage("MysqlRootPassword"), Some(Outage::None));
        assert_eq!(
            outage("NovaPassword"),
            Some(Outage::OneService),
            "its database user overlaps, its Keystone user does not"
        );
        assert_eq!(outage("HorizonSecret"), Some(Outage::AllReaders));
        assert_eq!(outage("SwiftHashSuffix"), None);
    }

    #[test]
    fn a_rotation_of_everything_leaves_alone_what_it_must() {
        for (deployer, names) in [
            (
                "kolla-ansible",
                &["rabbitmq_cluster_cookie", "etcd_cluster_token", "barbican_crypto_key", "rbd_secret_uuid"][..],
            ),
            (
                "tripleo",
                &["SwiftHashSuffix", "RabbitCookie", "HeatAuthEncryptionKey", "CephClientKey", "KeystoneFernetKeys"],
            ),
            ("openstack-ansible", &["swift_hash_path_suffix", "rabbitmq_cookie_token", "heat_auth_encryption_key"]),
        ] {
            let catalogue = built_in(deployer);
            for name in names {
                assert_eq!(catalogue.entry(&secret(name)).map(Entry::in_bulk), Some(false), "{name}");
            }
            assert!(catalogue.current().filter(|entry| entry.in_bulk()).count() > 30, "and takes the rest along");
            assert!(catalogue.entries().all(|e| e.standing == Standing::Current || !e.in_bulk()), "older ones never");
        }
    }

    #[test]
    fn every_secret_of_a_built_in_catalogue_is_hard_to_guess() {
        for (deployer, _) in EMBEDDED {
            for entry in built_in(deployer).current().filter(|entry| entry.class.is_secret()) {
                let enough = entry.recipe.entropy_bits().is_none_or(|bits| bits >= 112);
                assert!(enough, "{}: {} is worth too little", entry.name, entry.recipe);
            }
        }
    }
}
