//! What an operator should know of the values that move in: unknown, reused, weak and shared ones. Never a value.

use super::given::Given;
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::Shape,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What stands out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Survey {
    /// Names that the catalogue does not have; they are taken, and nothing rotates them.
    pub unknown: Vec<Unknown>,
    /// Secrets that have one value together.
    pub reused: Vec<Vec<SecretName>>,
    /// Values that can be guessed.
    pub weak: Vec<Weak>,
    /// Values that feed more than one credential.
    pub shared: Vec<Shared>,
}

/// A name that the catalogue does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The name.
    pub name: SecretName,
    /// One that reads like it.
    pub nearest: Option<SecretName>,
}

/// A value that can be guessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weak {
    /// Whose.
    pub name: SecretName,
    /// How many characters it has.
    pub characters: usize,
    /// How hard it is to guess at best, in bits.
    pub bits: u32,
}

/// A value that feeds more than one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// Whose.
    pub name: SecretName,
    /// The kinds of servers that accept it.
    pub targets: Vec<&'static str>,
}

/// Looks at all values together.
pub fn survey(given: &[Given], catalogue: &Catalogue) -> Survey {
    let mut found = Survey::default();
    let mut holders: BTreeMap<&[u8], Vec<SecretName>> = BTreeMap::new();
    for given in given {
        let entry = catalogue.entry(&given.name);
        let material = given.value.material();
        if entry.is_none() {
            let nearest = catalogue.nearest(given.name.as_str()).cloned();
            found.unknown.push(Unknown { name: given.name.clone(), nearest });
        }
        if entry.is_none_or(|entry| entry.class.is_secret()) {
            let bytes = material.expose(); // EXPOSE: compared and counted; nothing of it is kept
            if !bytes.is_empty() {
                holders.entry(bytes).or_default().push(given.name.clone());
            }
            if entry.is_none_or(is_drawn) && matches!(bits(bytes), 0..ENOUGH) {
                let characters = String::from_utf8_lossy(bytes).chars().count();
                found.weak.push(Weak { name: given.name.clone(), characters, bits: bits(bytes) });
            }
        }
        let targets: Vec<&str> =
            entry.map(|entry| entry.credentials.iter().map(|c| c.target.word()).collect()).unwrap_or_default();
        if targets.len() > 1 {
            found.shared.push(Shared { name: given.name.clone(), targets });
        }
    }
    found.reused = holders.into_values().filter(|names| names.len() > 1).collect();
    found.reused.sort_unstable();
    found
}

/// Whether values of this entry are drawn from characters, so that they can be counted.
fn is_drawn(entry: &Entry) -> bool {
    match entry.recipe.shape() {
        Shape::Symbols { .. } | Shape::Bytes { .. } | Shape::Operator => true,
        Shape::Uuid4 | Shape::Cephx | Shape::FernetRepository { .. } | Shape::SshPair(_) => false,
    }
}

/// How hard a value is to guess at best: as if each character had been drawn from all of its sort.
///
/// A value with few different characters is counted by these alone.
fn bits(value: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(value);
    let length = text.chars().count();
    let has = |of: fn(char) -> bool| text.chars().any(of);
    let hexadecimal = text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    let mut alphabet = match hexadecimal {
        true => 16,
        false => {
            26 * usize::from(has(|c| c.is_ascii_lowercase()))
                + 26 * usize::from(has(|c| c.is_ascii_uppercase()))
                + 10 * usize::from(has(|c| c.is_ascii_digit()))
                + 33 * usize::from(has(|c| c.is_ascii() && !c.is_ascii_alphanumeric()))
                + 128 * usize::from(has(|c| !c.is_ascii()))
        }
    };
    let different: std::collections::BTreeSet<char> = text.chars().collect();
    if different.len() * 4 <= length {
        alphabet = alphabet.min(different.len());
    }
    (length as f64 * (alphabet.max(1) as f64).log2()).floor() as u32
}

/// As the catalogues ask of every recipe.
const ENOUGH: u32 = 112;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::{material::Material, store::secret::SecretValue};

    fn given(name: &str, value: &str) -> Given {
        Given {
            name: name.parse().unwrap(),
            written: name.to_owned(),
            line: 1,
            value: SecretValue::Whole(Material::from(value.to_owned())),
            places: Vec::new(),
        }
    }

    fn names(weak: &[Weak]) -> Vec<(&str, usize, u32)> {
        weak.iter().map(|weak| (weak.name.as_str(), weak.characters, weak.bits)).collect()
    }

    const LONG: &str = "R7mAq2LwZxT9kVbN4cYpH8sJ";

    #[test]
    fn the_root_password_of_ten_characters_is_told() {
        let tripleo = Catalogue::named("tripleo").unwrap();
        let all = [
            given("MysqlRootPassword", "aB3dE6gH9k"),
            given("NovaPassword", LONG),
            given("HeatPassword", LONG),
            given("MyOwnThing", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            given("NeutronPasword", "0123456789abcdef0123456789abcdeffedcba9876543210"),
        ];
        let found = survey(&all, &tripleo);
        assert_eq!(names(&found.weak), [("MysqlRootPassword", 10, 59), ("MyOwnThing", 40, 0)]);
        let unknown: Vec<_> =
            found.unknown.iter().map(|u| (u.name.as_str(), u.nearest.as_ref().map(SecretName::as_str))).collect();
        assert_eq!(unknown, [("MyOwnThing", None), ("NeutronPasword", Some("NeutronPassword"))]);
        assert_eq!(found.reused.len(), 1);
        assert_eq!(
            found.reused[0].iter().map(SecretName::as_str).collect::<Vec<_>>(),
            ["NovaPassword", "HeatPassword"]
        );
        let shared: Vec<_> = found.shared.iter().map(|shared| (shared.name.as_str(), &shared.targets[..])).collect();
        assert_eq!(
            shared,
            [("NovaPassword", &["mariadb", "keystone"][..]), ("HeatPassword", &["mariadb", "keystone"])]
        );
    }

    #[test]
    fn what_a_deployer_generates_is_not_weak() {
        for value in [
            LONG,
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "uS3Ek9TqYwFhVxJ7RzNcMbA2L",
            "N3l1Yx5mPz8Wb0KtQ4vHsD6jR2cFgE9aUiOoXyTn",
        ] {
            assert!(bits(value.as_bytes()) >= ENOUGH, "{value}");
        }
        assert_eq!(bits(b""), 0);
        assert!(bits("password".as_bytes()) < 40);
    }

    #[test]
    fn identifiers_and_keys_are_not_counted() {
        let kolla = Catalogue::named("kolla-ansible").unwrap();
        let uuid = "6f1b2c3d-0000-4000-8000-000000000000";
        let found = survey(&[given("rbd_secret_uuid", uuid), given("cinder_rbd_secret_uuid", uuid)], &kolla);
        assert_eq!(found, Survey::default());
    }
}
