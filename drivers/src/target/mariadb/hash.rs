//! What MariaDB stores of a value, made here so that the value itself never stands in a statement.

use crate::material::Material;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use curve25519_dalek::EdwardsPoint;
use sha1::{Digest, Sha1};
use sha2::Sha512;
use zeroize::Zeroizing;

/// A plugin that authenticates by a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::target) enum Plugin {
    /// `mysql_native_password`: SHA-1 of SHA-1, in hex after an asterisk.
    Native,
    /// `ed25519`: the public key of which the value is the seed, in base64.
    Ed25519,
}

impl Plugin {
    /// The plugin of this name, where it authenticates by a value and this driver knows how.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "mysql_native_password" => Some(Self::Native),
            "ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// Its name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::Ed25519 => "ed25519",
        }
    }

    /// What the server stores of a value.
    pub(in crate::target) fn hash(self, value: &Material) -> Hash {
        let bytes = value.expose(); // EXPOSE: hashed; what leaves is what the server would make of it
        Hash(match self {
            Self::Native => native(bytes),
            Self::Ed25519 => ed25519(bytes),
        })
    }

    /// Whether a stored text can be met by any value at all; MariaDB writes `invalid` for "by no value".
    pub(super) fn is_hash(self, stored: &str) -> bool {
        match self {
            Self::Native => stored
                .strip_prefix('*')
                .is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit())),
            Self::Ed25519 => BASE64_STANDARD_NO_PAD.decode(stored).is_ok_and(|key| key.len() == 32),
        }
    }
}

/// What the server stores of a value.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::target) struct Hash(pub(in crate::target) String);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash(redacted)")
    }
}

fn native(value: &[u8]) -> String {
    // The inner digest is all that a client needs to log in, so it is wiped.
    let inner: Zeroizing<[u8; 20]> = Zeroizing::new(Sha1::digest(value).into());
    format!("*{}", hex::encode_upper(Sha1::digest(*inner)))
}

fn ed25519(value: &[u8]) -> String {
    let expanded: Zeroizing<[u8; 64]> = Zeroizing::new(Sha512::digest(value).into());
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(&expanded[..32]);
    BASE64_STANDARD_NO_PAD.encode(EdwardsPoint::mul_base_clamped(*seed).compress().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_server() {
        // What MariaDB 10.11 stored for `password('x')` and for ed25519 `password('secret')`.
        let of = |plugin: Plugin, value: &str| plugin.hash(&Material::from(value.to_owned())).0;
        assert_eq!(of(Plugin::Native, "x"), "*B69027D44F6E5EDC07F1AEAD1477967B16F28227");
        assert_eq!(of(Plugin::Ed25519, "secret"), "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY");
    }

    #[test]
    fn what_no_value_meets_is_no_hash() {
        assert!(Plugin::Native.is_hash("*B69027D44F6E5EDC07F1AEAD1477967B16F28227"));
        assert!(Plugin::Ed25519.is_hash("ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"));
        for text in ["", "invalid", "*short", "446a12100c856ce9"] {
            assert!(!Plugin::Native.is_hash(text) && !Plugin::Ed25519.is_hash(text), "{text}");
        }
    }
}
