//! Ed25519 keys of authorities and of nodes: what signs, what verifies, and the name of a key.

use aws_lc_rs::{
    digest,
    encoding::AsBigEndian,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use donjon_drivers::material::Material;
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A private key. It never leaves the store or the node where it was made.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// A new key, from the randomness of the operating system.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Chance)?;
        Self::of_pair(pair)
    }

    /// The key that a seed of 32 bytes stands for.
    pub fn from_seed(seed: &Material) -> Result<Self, KeyError> {
        // EXPOSE: expanded into the key; the library keeps and wipes its own copy
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| KeyError::NoKey)?;
        Self::of_pair(pair)
    }

    fn of_pair(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = PublicKey(pair.public_key().as_ref().try_into().map_err(|_| KeyError::NoKey)?);
        Ok(Self { pair, public })
    }

    /// The seed, to be kept in a private record or file.
    pub fn seed(&self) -> Result<Material, KeyError> {
        let seed = self.pair.seed().map_err(|_| KeyError::NoKey)?;
        let bytes = seed.as_be_bytes().map_err(|_| KeyError::NoKey)?;
        Ok(Material::new(bytes.as_ref().to_vec()))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; SIGNATURE_LENGTH];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        Signature(signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// A public key. As text it is the base64 of its SubjectPublicKeyInfo (RFC 8410), 44 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let key = spki.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NoKey)?;
        Ok(Self(key.try_into().map_err(|_| KeyError::NoKey)?))
    }

    /// Reads the file by which a key is pinned: PEM, `BEGIN PUBLIC KEY`.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::NoKey)?;
        Self::from_spki(spki.as_ref())
    }

    /// The SubjectPublicKeyInfo.
    pub fn spki(&self) -> [u8; 44] {
        let mut spki = [0; 44];
        spki[..SPKI_PREFIX.len()].copy_from_slice(&SPKI_PREFIX);
        spki[SPKI_PREFIX.len()..].copy_from_slice(&self.0);
        spki
    }

    /// The PEM file by which the key is pinned.
    pub fn to_pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{self}\n-----END PUBLIC KEY-----\n")
    }

    /// The key's name: the SHA-256 of its SubjectPublicKeyInfo.
    pub fn id(&self) -> KeyId {
        KeyId(hex::encode(digest::digest(&digest::SHA256, &self.spki())))
    }

    /// Whether this key signed the message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<SignatureValid, SignatureInvalid> {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(message, &signature.0).map(|()| SignatureValid(())).map_err(|_| SignatureInvalid)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.spki()))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let refused = || de::Error::custom("no Ed25519 public key");
        let spki = BASE64_STANDARD.decode(text).map_err(|_| refused())?;
        Self::from_spki(&spki).map_err(|_| refused())
    }
}

/// The name of a key: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bytes of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub(super) [u8; SIGNATURE_LENGTH]);

/// Proof that a signature was checked and is good. Only [`PublicKey::verify`] makes it.
#[derive(Debug)]
pub struct SignatureValid(());

/// The signature was not made by this key over this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit")]
pub struct SignatureInvalid;

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no Ed25519 key.
    #[error("this is no Ed25519 key")]
    NoKey,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Chance,
}

pub(super) const SIGNATURE_LENGTH: usize = 64;
/// SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_seed_and_its_file() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_seed(&key.seed().unwrap()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(PublicKey::from_pem(key.public().to_pem().as_bytes()).unwrap(), *key.public());
        let signature = again.sign(b"message");
        assert!(key.public().verify(b"message", &signature).is_ok());
        assert!(key.public().verify(b"massage", &signature).is_err());
        assert!(!format!("{key:?}").contains(&hex::encode(key.seed().unwrap().expose()))); // EXPOSE: the control
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for bad in [&b""[..], b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &[0x30; 44]] {
            assert_eq!(PublicKey::from_pem(bad), Err(KeyError::NoKey));
            assert_eq!(PublicKey::from_spki(bad), Err(KeyError::NoKey));
        }
    }
}
