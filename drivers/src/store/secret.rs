//! The one record of a secret that every client reads as it is.
//!
//! The JSON object holds, side by side, castellan's fields (`type`, `value` in hex, `algorithm`, `bit_length`, `name`,
//! `created` as a number: castellan's `vault_key_manager`) and kolla's: `password`, or `private_key` and `public_key`
//! for a pair (`kolla_writepwd`). `donjon.origin` says how the version came to be.

use super::{Document, document::NoObject};
use crate::material::Material;
use donjon_policies::name::SecretName;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The value of one version.
#[derive(Debug)]
pub enum SecretValue {
    /// One piece of bytes.
    Whole(Material),
    /// A key pair: the private half is the value; the public half is no secret.
    Pair {
        /// The private key, in the format its consumers read.
        private: Material,
        /// The public key, as in `authorized_keys`.
        public: String,
    },
}

impl SecretValue {
    /// The bytes that castellan and `donjon get` answer: the whole, or the private half.
    pub fn material(&self) -> &Material {
        match self {
            Self::Whole(material) => material,
            Self::Pair { private, .. } => private,
        }
    }

    /// One part; `None` where the value has no such part.
    pub fn part(&self, part: Part) -> Option<Material> {
        match (self, part) {
            (value, Part::Whole) => Some(value.material().duplicate()),
            (Self::Pair { private, .. }, Part::PrivateKey) => Some(private.duplicate()),
            (Self::Pair { public, .. }, Part::PublicKey) => Some(Material::from(public.clone())),
            (Self::Whole(_), Part::PrivateKey | Part::PublicKey) | (_, Part::Record) => None,
        }
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Whole(material) => Self::Whole(material.duplicate()),
            Self::Pair { private, public } => Self::Pair { private: private.duplicate(), public: public.clone() },
        }
    }

    /// Whether both hold the same bytes.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.matches(b),
            (Self::Pair { private: a, public: p }, Self::Pair { private: b, public: q }) => a.matches(b) && p == q,
            (Self::Whole(_), Self::Pair { .. }) | (Self::Pair { .. }, Self::Whole(_)) => false,
        }
    }
}

/// Which part of a value is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The value itself; of a pair, the private key.
    #[default]
    Whole,
    /// The private key of a pair.
    PrivateKey,
    /// The public key of a pair.
    PublicKey,
    /// The record itself, as it is stored: what clients of a Vault read.
    Record,
}

/// How a version came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Made by a recipe.
    Generated,
    /// Given by an operator.
    Put,
    /// Taken over from a deployer's file.
    Adopted,
    /// Made by a rotation.
    Rotated,
    /// Put back by a rotation that was undone.
    Restored,
    /// Assembled from other secrets: a view.
    Assembled,
    /// Read from a bundle.
    Imported,
}

/// One version of a secret.
#[derive(Debug)]
pub struct SecretRecord {
    /// Its name.
    pub name: SecretName,
    /// Its value.
    pub value: SecretValue,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// How it came to be.
    pub origin: Origin,
    /// The account that goes with this value, where rotations change that too: of two twins, the one in use.
    pub user: Option<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    r#type: &'static str,
    value: &'a str,
    algorithm: Option<&'a str>,
    bit_length: Option<u32>,
    name: &'a str,
    created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<&'a str>,
    donjon: Marks,
}

#[derive(Serialize, Deserialize)]
struct Marks {
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

#[derive(Deserialize)]
struct Read {
    value: Option<Material>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    password: Option<Material>,
    #[serde(default)]
    private_key: Option<Material>,
    #[serde(default)]
    public_key: Option<String>,
    #[serde(default)]
    donjon: Option<Marks>,
}

impl SecretRecord {
    /// The JSON object of this version.
    pub fn to_document(&self) -> Result<Document, NoObject> {
        let material = self.value.material();
        // EXPOSE: written into the record, which is held as Material again
        let bytes = material.expose();
        let hex = Zeroizing::new(hex::encode(bytes));
        let text = std::str::from_utf8(bytes).ok();
        let (password, private_key, public_key) = match &self.value {
            SecretValue::Whole(_) => (text, None, None),
            SecretValue::Pair { public, .. } => (None, text, Some(public.as_str())),
        };
        let written = Written {
            r#type: "passphrase",
            value: &hex,
            algorithm: None,
            bit_length: None,
            name: self.name.as_str(),
            created: self.created,
            password,
            private_key,
            public_key,
            donjon: Marks { origin: self.origin, user: self.user.clone() },
        };
        // Room for the worst case of escapes, so that the buffer never moves and leaves a copy behind.
        let mut json = Vec::with_capacity(512 + hex.len() + 6 * bytes.len() + public_key.map_or(0, str::len));
        serde_json::to_writer(&mut json, &written).map_err(|_| NoObject)?;
        Document::written(Material::new(json))
    }

    /// Reads a version, whoever wrote it: Donjon, castellan (`value`) or kolla (`password`, or a pair).
    pub fn from_document(name: &SecretName, document: &Document) -> Result<Self, NoObject> {
        let read: Read = document.parse()?;
        let unhex = |hex: Material| {
            // EXPOSE: decoded into another Material
            hex::decode(hex.expose()).map(Material::new).map_err(|_| NoObject)
        };
        let value = match read {
            Read { private_key: Some(private), public_key: Some(public), .. } => SecretValue::Pair { private, public },
            Read { value: Some(hex), .. } => SecretValue::Whole(unhex(hex)?),
            Read { password: Some(password), .. } => SecretValue::Whole(password),
            Read { .. } => return Err(NoObject),
        };
        let name = match read.name.as_deref().map(str::parse::<SecretName>) {
            Some(Ok(own)) if own != *name => return Err(NoObject),
            Some(Ok(_) | Err(_)) | None => name.clone(),
        };
        let (origin, user) = read.donjon.map_or((Origin::Put, None), |marks| (marks.origin, marks.user));
        Ok(Self { name, value, created: read.created.unwrap_or(0), origin, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> SecretName {
        "x".parse().unwrap()
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let record = SecretRecord { name: name(), value: SecretValue::Whole(Material::new(bytes.clone())), created: 7, origin: Origin::Put, user: None };
            let read = SecretRecord::from_document(&name(), &record.to_document().unwrap()).unwrap();
            prop_assert_eq!(read.value.material().expose(), &bytes[..]); // EXPOSE: a test value
            prop_assert_eq!(read.created, 7);
        }

        #[test]
        fn no_json_panics(text in ".{0,200}") {
            if let Ok(document) = Document::from_json(Material::from(text)) {
                let _ = SecretRecord::from_document(&name(), &document);
            }
        }
    }

    #[test]
    fn a_record_of_another_name_is_refused() {
        let record = SecretRecord {
            name: "y".parse().unwrap(),
            value: SecretValue::Whole(Material::from("v".to_owned())),
            created: 0,
            origin: Origin::Put,
            user: None,
        };
        assert!(SecretRecord::from_document(&name(), &record.to_document().unwrap()).is_err());
    }

    #[test]
    fn a_pair_has_the_fields_kolla_reads() {
        let value =
            SecretValue::Pair { private: Material::from("PRIV\n".to_owned()), public: "ssh-rsa AAAA".to_owned() };
        let record = SecretRecord { name: name(), value, created: 0, origin: Origin::Generated, user: None };
        let json: serde_json::Value = record.to_document().unwrap().parse().unwrap();
        assert_eq!(json["private_key"], "PRIV\n");
        assert_eq!(json["public_key"], "ssh-rsa AAAA");
        assert_eq!(json["value"], hex::encode("PRIV\n"));
        assert!(json.get("password").is_none());
    }
}
