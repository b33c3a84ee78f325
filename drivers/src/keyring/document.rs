//! The value of a key repository: a JSON object of index to key, as the recipe `fernet-repository` makes it.

use crate::material::Material;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use donjon_policies::keyring::{self, Fingerprint, Ring};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// A key repository: a staged key, a primary, and secondary ones between.
#[derive(Debug)]
pub struct Repository {
    keys: BTreeMap<u32, Material>,
}

/// The value is no key repository. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotARepository {
    /// It is no JSON object of numbers to texts.
    #[error("it is no JSON object of indices and keys")]
    NoObject,
    /// A key is none.
    #[error("the key at index {0} is not 32 bytes in URL-safe base64")]
    NoKey(u32),
    /// Nothing is staged, or nothing signs.
    #[error("it has no key 0, or no other")]
    Incomplete,
}

impl Repository {
    /// Reads a value.
    pub fn parse(value: &Material) -> Result<Self, NotARepository> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Object(BTreeMap<String, Material>);
        // EXPOSE: parsed into keys that are Material again
        let Object(object) = serde_json::from_slice(value.expose()).map_err(|_| NotARepository::NoObject)?;
        let mut keys = BTreeMap::new();
        for (name, key) in object {
            let index: u32 = name.parse().map_err(|_| NotARepository::NoObject)?;
            if index.to_string() != name {
                return Err(NotARepository::NoObject);
            }
            if !is_key(&key) {
                return Err(NotARepository::NoKey(index));
            }
            keys.insert(index, key);
        }
        Self::of(keys)
    }

    fn of(keys: BTreeMap<u32, Material>) -> Result<Self, NotARepository> {
        match keys.contains_key(&0) && keys.len() > 1 {
            true => Ok(Self { keys }),
            false => Err(NotARepository::Incomplete),
        }
    }

    /// The value.
    pub fn material(&self) -> Material {
        // Room for all of it, so that the buffer never moves.
        let mut json = Vec::with_capacity(2 + self.keys.len() * 64);
        for (index, key) in &self.keys {
            json.extend_from_slice(if json.is_empty() { b"{" } else { b"," });
            json.extend_from_slice(format!("\"{index}\":\"").as_bytes());
            json.extend_from_slice(key.expose()); // EXPOSE: copied into the value, which becomes Material
            json.push(b'"');
        }
        json.push(b'}');
        Material::new(json)
    }

    /// The next repository: the staged key becomes the primary, a new one is staged, and no more than `most` keys stay.
    pub fn rotated(&self, staged: &Material, most: usize) -> Result<Self, NotARepository> {
        if !is_key(staged) {
            return Err(NotARepository::NoKey(0));
        }
        let indices: BTreeSet<u32> = self.keys.keys().copied().collect();
        let promoted = keyring::promoted(&indices);
        let kept = keyring::kept(&indices.iter().copied().chain([promoted]).collect(), most);
        let key = |index: u32| match index {
            0 => Some(staged),
            _ if index == promoted => self.keys.get(&0),
            _ => self.keys.get(&index),
        };
        Self::of(kept.into_iter().filter_map(|index| Some((index, key(index)?.duplicate()))).collect())
    }

    /// The next repository where someone else may have these keys: two new ones, and none of the old.
    pub fn replaced(&self, staged: &Material, primary: &Material) -> Result<Self, NotARepository> {
        let promoted = keyring::promoted(&self.keys.keys().copied().collect());
        match (is_key(staged), is_key(primary)) {
            (true, true) => Self::of([(0, staged.duplicate()), (promoted, primary.duplicate())].into()),
            (false, _) => Err(NotARepository::NoKey(0)),
            (true, false) => Err(NotARepository::NoKey(promoted)),
        }
    }

    /// Its keys by their fingerprints.
    pub fn ring(&self) -> Ring {
        // EXPOSE: digested: 256 random bits cannot be guessed from their digest
        Ring(self.keys.iter().map(|(index, key)| (*index, fingerprint(key.expose()))).collect())
    }

    /// The key at an index.
    pub fn key(&self, index: u32) -> Option<&Material> {
        self.keys.get(&index)
    }
}

/// The fingerprint of a key as it lies in its file, without a line's end.
fn fingerprint(key: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(key).into())
}

fn is_key(key: &Material) -> bool {
    // EXPOSE: decoded to see whether it is a key; the bytes are wiped
    let decoded = URL_SAFE.decode(key.expose()).map(Zeroizing::new);
    key.len() == KEY_LENGTH && decoded.is_ok_and(|bytes| bytes.len() == 32)
}

/// 32 bytes in padded base64.
const KEY_LENGTH: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Material {
        Material::from(URL_SAFE.encode([number; 32]))
    }

    fn text(value: &Material) -> String {
        value.expose_text().unwrap().to_owned() // EXPOSE: a test value
    }

    fn repository(keys: &[(u32, u8)]) -> Repository {
        Repository::of(keys.iter().map(|(index, number)| (*index, key(*number))).collect()).unwrap()
    }

    #[test]
    fn a_value_survives_being_read_and_written() {
        let made = repository(&[(0, 1), (9, 2), (10, 3)]);
        let read = Repository::parse(&made.material()).unwrap();
        assert_eq!(read.ring(), made.ring());
        assert!(text(&made.material()).starts_with("{\"0\":\"AQEB"));
    }

    #[test]
    fn a_rotation_promotes_the_staged_key() {
        let made = repository(&[(0, 1), (1, 2), (2, 3)]);
        let next = made.rotated(&key(4), 3).unwrap();
        assert_eq!(next.ring(), repository(&[(0, 4), (2, 3), (3, 1)]).ring());
        let next = next.rotated(&key(5), 4).unwrap();
        assert_eq!(next.ring(), repository(&[(0, 5), (2, 3), (3, 1), (4, 4)]).ring());
        let next = next.replaced(&key(6), &key(7)).unwrap();
        assert_eq!(next.ring(), repository(&[(0, 6), (5, 7)]).ring());
    }

    #[test]
    fn what_is_no_repository_is_refused_without_a_word_of_it() {
        let good = text(&key(1));
        for (value, wanted) in [
            ("[]".to_owned(), NotARepository::NoObject),
            (format!("{{\"00\":\"{good}\",\"1\":\"{good}\"}}"), NotARepository::NoObject),
            (format!("{{\"-1\":\"{good}\",\"1\":\"{good}\"}}"), NotARepository::NoObject),
            (format!("{{\"0\":\"{good}\"}}"), NotARepository::Incomplete),
            (format!("{{\"1\":\"{good}\",\"2\":\"{good}\"}}"), NotARepository::Incomplete),
            (format!("{{\"0\":\"{good}\",\"1\":\"canary\"}}"), NotARepository::NoKey(1)),
        ] {
            let error = Repository::parse(&Material::from(value)).unwrap_err();
            assert_eq!(error, wanted);
            assert!(!error.to_string().contains("canary"));
        }
    }
}
