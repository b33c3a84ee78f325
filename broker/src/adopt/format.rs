//! Whose file it is: what is at its top, and which catalogue's names it has.

use super::yaml::{Kind, Node};
use donjon_policies::catalogue::Catalogue;

/// A deployer's file of passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// kolla-ansible's `passwords.yml`.
    Kolla,
    /// openstack-ansible's `user_secrets.yml`.
    Osa,
    /// A heat environment of TripleO's, or a plan's own file.
    Tripleo,
}

impl Format {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Kolla, Self::Osa, Self::Tripleo];

    /// The catalogue of its deployer.
    pub fn catalogue(self) -> &'static str {
        match self {
            Self::Kolla => "kolla-ansible",
            Self::Osa => "openstack-ansible",
            Self::Tripleo => "tripleo",
        }
    }

    /// The one that a document is in; `None` where its names are of no deployer or of two alike.
    pub fn of(document: &Node) -> Option<Self> {
        let Kind::Mapping(pairs) = &document.kind else { return None };
        if pairs.iter().any(|(key, _)| TRIPLEO_TOPS.contains(&key.as_str())) {
            return Some(Self::Tripleo);
        }
        let known = |format: Self| {
            let catalogue = Catalogue::named(format.catalogue()).ok()?;
            let known = |key: &str| key.parse().is_ok_and(|name| catalogue.entry(&name).is_some());
            Some(pairs.iter().filter(|(key, _)| known(key)).count())
        };
        let (kolla, osa) = (known(Self::Kolla)?, known(Self::Osa)?);
        match kolla.cmp(&osa) {
            std::cmp::Ordering::Greater => Some(Self::Kolla),
            std::cmp::Ordering::Less => Some(Self::Osa),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// A plan's generated passwords, and a heat environment's parameters.
pub const TRIPLEO_TOPS: [&str; 2] = ["passwords", "parameter_defaults"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::yaml;

    #[test]
    fn a_file_is_known_by_its_names() {
        let of = |text: &str| Format::of(&yaml::read(text).unwrap().unwrap());
        assert_eq!(of("database_password:\nnova_keystone_password: x\n"), Some(Format::Kolla));
        assert_eq!(of("galera_root_password: x\nnova_container_mysql_password: y\n"), Some(Format::Osa));
        assert_eq!(of("parameter_defaults:\n  AdminPassword: x\n"), Some(Format::Tripleo));
        assert_eq!(of("version: 1.0\npasswords: {AdminPassword: x}\n"), Some(Format::Tripleo));
        assert_eq!(of("something: else\n"), None);
        assert_eq!(of("- a\n"), None);
    }
}
