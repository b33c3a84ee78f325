//! Placeholders: stand-ins for values that heat takes, carries through its templates and gives back unchanged.
//!
//! Letters, digits and `_` alone, so that neither `make_url` nor a shell nor YAML touches them, and with an end of their own, so
//! that what follows can be anything. Where heat's parameter has a constraint, the placeholder keeps it: `CephClientKey` must match
//! `^[a-zA-Z0-9+/]{38}==$`, `OctaviaServerCertsKeyPassphrase` must have 32 characters, a cluster id must be a UUID. Those are drawn
//! from a digest of the name and told apart by the catalogue alone.

use super::reference::{Numbers, Reference};
use aho_corasick::{AhoCorasick, MatchKind};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::{Recipe, Shape},
};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Every placeholder of a catalogue, and how to find them in text.
#[derive(Debug)]
pub struct Placeholders {
    known: Vec<(Reference, String)>,
    /// Whose keys are told apart by numbers.
    repositories: Vec<SecretName>,
    search: AhoCorasick,
}

/// A placeholder in a text.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where, in bytes.
    pub place: Range<usize>,
    /// What it stands for; `None` for one that this catalogue does not know.
    pub reference: Option<&'a Reference>,
    /// Of one that is not known: of which repository it is a key, of a number that this one does not have.
    pub key_of: Option<&'a SecretName>,
}

impl Placeholders {
    /// Those of every secret that the deployer knows and Donjon makes; of older ones too, which heat carries where its
    /// templates have such a parameter, and else ignores.
    pub fn of(catalogue: &Catalogue, numbers: &Numbers) -> Self {
        let generated = catalogue.entries().filter(|entry| entry.recipe.shape() != Shape::Operator);
        let repositories: Vec<SecretName> = catalogue
            .entries()
            .filter(|entry| matches!(entry.recipe.shape(), Shape::FernetRepository { .. }))
            .map(|entry| entry.name.clone())
            .collect();
        let known: Vec<(Reference, String)> = generated
            .flat_map(|entry| {
                Reference::of(entry, numbers).into_iter().map(move |reference| {
                    let text = placeholder(entry, &reference);
                    (reference, text)
                })
            })
            .collect();
        let keys: Vec<String> = repositories.iter().map(|name| format!("{BEGINNING}{name}_")).collect();
        let words = known.iter().map(|(_, text)| text.as_str());
        let words = words.chain(keys.iter().map(String::as_str)).chain(BEGINNINGS);
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(words)
            .expect("a few hundred short words are within the limits of an automaton");
        Self { known, repositories, search }
    }

    /// The placeholder of a reference, if it has one.
    pub fn text(&self, reference: &Reference) -> Option<&str> {
        self.known.iter().find(|(known, _)| known == reference).map(|(_, text)| text.as_str())
    }

    /// Every reference with its placeholder, in the order of the catalogue.
    pub fn iter(&self) -> impl Iterator<Item = (&Reference, &str)> {
        self.known.iter().map(|(reference, text)| (reference, text.as_str()))
    }

    /// Those in a text or in any bytes, in their order.
    pub fn find<'a>(&'a self, text: &'a (impl AsRef<[u8]> + ?Sized)) -> impl Iterator<Item = Found<'a>> {
        self.search.find_iter(text.as_ref()).map(|found| Found {
            place: found.range(),
            reference: self.known.get(found.pattern().as_usize()).map(|(reference, _)| reference),
            key_of: found.pattern().as_usize().checked_sub(self.known.len()).and_then(|at| self.repositories.get(at)),
        })
    }

    /// Whether there is one, known or not.
    pub fn any(&self, text: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        self.search.is_match(text.as_ref())
    }

    /// Whether a text is one and nothing else, of a secret that is called one of these; of one that is not known, its name is not, either.
    pub fn is_one(&self, names: &[&str], text: &str) -> bool {
        let Some(found) = self.find(text).next().filter(|found| found.place.start == 0) else { return false };
        let named = |name: &SecretName| names.contains(&name.as_str());
        let is_word = || text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '='));
        match (found.reference, found.key_of) {
            (Some(reference), _) => found.place.end == text.len() && named(&reference.name),
            (None, Some(repository)) => is_word() && named(repository),
            (None, None) => is_word(),
        }
    }
}

fn placeholder(entry: &Entry, reference: &Reference) -> String {
    let readable = format!("{BEGINNING}{reference}{END}");
    match entry.recipe {
        Recipe::Exactly { length } if usize::from(length) != readable.len() => drawn(reference, length.into()),
        Recipe::Cephx => format!("{}==", drawn(reference, 38)),
        Recipe::Uuid4 => {
            let digits = digest(reference);
            let [a, b, c, d, e] = [&digits[..8], &digits[8..12], &digits[12..15], &digits[15..18], &digits[18..30]];
            format!("{a}-{b}-4{c}-8{d}-{e}")
        }
        Recipe::Exactly { .. }
        | Recipe::Alphanumeric { .. }
        | Recipe::Hex { .. }
        | Recipe::Fernet
        | Recipe::FernetRepository { .. }
        | Recipe::Hmac { .. }
        | Recipe::Ssh(_)
        | Recipe::BcryptSalt
        | Recipe::ErlangCookie { .. }
        | Recipe::PacemakerAuthkey
        | Recipe::Operator => readable,
    }
}

/// Letters and digits of this many characters, the same each time. Short ones would be mere prefixes of the mark.
fn drawn(reference: &Reference, length: usize) -> String {
    let mut text = format!("{DRAWN}{}", digest(reference));
    text.truncate(length);
    text
}

fn digest(reference: &Reference) -> String {
    hex::encode(Sha256::digest(format!("donjon placeholder {reference}")))
}

/// What a readable one begins with.
pub const BEGINNING: &str = "DONJON_REF_";
const END: &str = "_END";
const DRAWN: &str = "DONJONREF";
/// What every placeholder but a UUID begins with: found alone, it is one that the catalogue does not know.
const BEGINNINGS: [&str; 2] = [BEGINNING, DRAWN];

#[cfg(test)]
mod tests {
    use super::{super::reference::Piece, *};
    use proptest::prelude::*;
    use std::{collections::BTreeSet, sync::LazyLock};

    fn tripleo() -> Placeholders {
        Placeholders::of(&Catalogue::named("tripleo").unwrap(), &Numbers::default())
    }

    fn of(name: &str) -> String {
        let placeholders = tripleo();
        let texts: Vec<String> =
            placeholders.iter().filter(|(r, _)| r.name.as_str() == name).map(|(_, t)| t.into()).collect();
        texts.join(" ")
    }

    #[test]
    fn they_keep_the_constraints_of_heats_parameters() {
        assert_eq!(of("MysqlRootPassword"), "DONJON_REF_MysqlRootPassword_END");
        assert_eq!(
            of("MigrationSshKey"),
            "DONJON_REF_MigrationSshKey_private_key_END DONJON_REF_MigrationSshKey_public_key_END"
        );
        for ceph in ["CephClientKey", "CephManilaClientKey", "CephRgwKey", "CephAdminKey"] {
            let text = of(ceph);
            assert!(text.len() == 40 && text.ends_with("==") && text[..38].chars().all(|c| c.is_ascii_alphanumeric()));
        }
        assert_eq!(of("OctaviaServerCertsKeyPassphrase").len(), 32);
        let uuid = uuid::Uuid::parse_str(&of("CephClusterFSID")).unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        for (_, text) in tripleo().iter() {
            let plain = text.trim_end_matches('=').replace('-', "");
            assert!(plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{text}");
        }
    }

    #[test]
    fn no_two_are_alike_or_parts_of_each_other() {
        let all: BTreeSet<String> = tripleo().iter().map(|(_, text)| text.to_owned()).collect();
        assert_eq!(all.len(), tripleo().iter().count());
        for one in &all {
            assert!(!all.iter().any(|other| other != one && other.contains(one.as_str())), "{one}");
        }
    }

    #[test]
    fn one_of_another_catalogue_is_found_as_unknown() {
        let placeholders = tripleo();
        let found: Vec<_> =
            placeholders.find("x DONJON_REF_NoSuchThing_END DONJONREF00").map(|f| f.reference).collect();
        assert_eq!(found, [None, None]);
    }

    #[test]
    fn a_repository_that_has_rotated_has_those_of_its_keys_as_they_are_now() {
        let name: SecretName = "KeystoneFernetKeys".parse().unwrap();
        let numbers = [(name.clone(), [0, 2, 300].into())].into_iter().collect();
        let placeholders = Placeholders::of(&Catalogue::named("tripleo").unwrap(), &numbers);
        let text = [0, 2, 300, 1, 30].map(|key| format!("DONJON_REF_KeystoneFernetKeys_{key}_END")).join(" ");
        let found: Vec<_> = placeholders.find(&text).map(|f| (f.reference.map(|r| r.piece), f.key_of)).collect();
        let key = |number| (Some(Piece::Key(number)), None);
        assert_eq!(found, [key(0), key(2), key(300), (None, Some(&name)), (None, Some(&name))]);
    }

    proptest! {
        #[test]
        fn each_is_found_whatever_stands_around_it(before in "[ -~]{0,20}", after in "[ -~]{0,20}", pick in 0usize..100) {
            static TRIPLEO: LazyLock<Placeholders> = LazyLock::new(tripleo);
            let placeholders = &*TRIPLEO;
            let all: Vec<_> = placeholders.iter().collect();
            let (reference, text) = all[pick % all.len()];
            let line = format!("{before}{text}{text}{after}");
            let found: Vec<_> = placeholders.find(&line).filter_map(|f| f.reference).collect();
            prop_assert_eq!(found, vec![reference, reference]);
        }
    }
}
