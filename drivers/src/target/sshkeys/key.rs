//! The public half of a key, which is all that a node is told.

use crate::material::Material;
use ssh_key::PrivateKey;

/// A public key as `authorized_keys` holds it: its kind and its bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Public {
    /// Such as `ssh-ed25519`.
    pub(super) kind: String,
    /// In base64.
    pub(super) bytes: String,
}

impl Public {
    /// The public half of a private key; `None` where the value is no such key, or is locked by a passphrase.
    pub(super) fn of(value: &Material) -> Option<Self> {
        // EXPOSE: parsed; what leaves is the public half
        let key = PrivateKey::from_openssh(value.expose()).ok().filter(|key| !key.is_encrypted())?;
        let line = key.public_key().to_openssh().ok()?;
        let mut words = line.split(' ');
        Some(Self { kind: words.next()?.to_owned(), bytes: words.next()?.to_owned() })
    }
}
