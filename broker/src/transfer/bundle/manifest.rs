//! The manifest: what a bundle says of itself, in clear and signed. It holds names, and no value.

use crate::transfer::{key::PublicKey, succession::Link};
use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use donjon_drivers::store::{RecordPath, Version};
use donjon_policies::name::{DeploymentName, HostName, RoleName, SiteName};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format, once more: the first line of the file is not signed, this is.
    pub format: u32,
    /// Whose secrets these are.
    pub deployment: DeploymentName,
    /// For whom.
    pub scope: Scope,
    /// The count of bundles made for this scope; a reader accepts none older than the last.
    pub epoch: Epoch,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// After this it is stale, in seconds since 1970.
    pub not_after: i64,
    /// The key that signed it; its id is the envelope's `keyid`.
    pub authority: PublicKey,
    /// How the authority's earlier keys lead to this one, oldest first.
    pub chain: Vec<Link>,
    /// How many recipients can open it.
    pub recipients: u32,
    /// The records, in the order of the body.
    pub entries: Vec<Entry>,
    /// For each recipient, what its receipt proves to know, sealed to it alone. None where there is one recipient, nor in
    /// version 1; version 2 has one for a single recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipt_keys: Vec<SealedKey>,
    /// The age file.
    pub payload: Payload,
}

impl Manifest {
    /// How long its JSON may be, to make room once.
    pub(super) fn about(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.path.as_str().len() + 128).sum();
        let keys: usize = self.receipt_keys.iter().map(|SealedKey(file)| file.len() * 4 / 3 + 8).sum();
        1024 + entries + keys + self.chain.len() * 1024
    }
}

/// A small age file, as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey(pub(super) Vec<u8>);

impl Serialize for SealedKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SealedKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map(Self).map_err(|_| de::Error::custom("not base64"))
    }
}

/// For whom a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// A site: the secrets that one role needs there.
    Site {
        /// The site.
        site: SiteName,
        /// The role.
        role: RoleName,
        /// The one host, where the bundle is for one host only.
        host: Option<HostName>,
    },
    /// The custodians: everything that is needed to become the authority again.
    Custodians {},
}

impl Scope {
    /// Whether its names together are short enough to be a path in a store.
    pub(crate) fn fits(&self) -> bool {
        self.parts().iter().map(|part| part.len()).sum::<usize>() <= LONGEST_SCOPE
    }

    /// Site, role and host as the digests bind them; empty where there is none.
    pub(super) fn parts(&self) -> [&str; 3] {
        match self {
            Self::Site { site, role, host } => {
                [site.as_str(), role.as_str(), host.as_ref().map_or("", HostName::as_str)]
            }
            Self::Custodians {} => [""; 3],
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site { site, role, host: None } => write!(f, "site `{site}`, role `{role}`"),
            Self::Site { site, role, host: Some(host) } => write!(f, "site `{site}`, role `{role}`, host `{host}`"),
            Self::Custodians {} => f.write_str("the custodians"),
        }
    }
}

/// The count of bundles made for one scope; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its path, which is its name.
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    pub path: RecordPath,
    /// Its version.
    pub version: Version,
    /// The keyed digest that binds path, site, version and value; see the [format](super).
    #[serde(with = "hexadecimal")]
    pub digest: [u8; 32],
}

/// The age file that follows the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    #[serde(with = "hexadecimal")]
    pub sha256: [u8; 32],
}

/// The SHA-256 of a manifest's signed bytes: the name of one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManifestDigest(#[serde(with = "hexadecimal")] [u8; 32]);

impl ManifestDigest {
    pub(in crate::transfer) fn of(manifest: &[u8]) -> Self {
        Self(sha256(manifest))
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn write_path<S: Serializer>(path: &RecordPath, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(path.as_str())
}

fn read_path<'de, D: Deserializer<'de>>(from: D) -> Result<RecordPath, D::Error> {
    String::deserialize(from)?.parse().map_err(|_| de::Error::custom("no path of a record"))
}

const LONGEST_SCOPE: usize = 256;

/// 32 bytes as 64 lower-case hexadecimal digits.
pub(crate) mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(bytes, &mut text).map_err(ser::Error::custom)?;
        to.serialize_str(std::str::from_utf8(&text).map_err(ser::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| de::Error::custom("not 64 hexadecimal digits"))?;
        Ok(bytes)
    }
}
