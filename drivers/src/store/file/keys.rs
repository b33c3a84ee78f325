//! What the identity is used for: encryption, and a key that authenticates the index.

use crate::material::Material;
use age::{secrecy::ExposeSecret, x25519};
use aws_lc_rs::hmac;

/// The keys of a store.
pub(super) struct Keys {
    identity: x25519::Identity,
    recipient: x25519::Recipient,
    authentication: hmac::Key,
}

/// The bytes cannot be opened with these keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unopened;

impl Keys {
    pub(super) fn new(identity: x25519::Identity) -> Self {
        let secret = identity.to_string();
        // EXPOSE: a second key is derived from it; age itself does not say who encrypted
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        let derived = hmac::sign(&root, b"donjon file store: the index");
        let authentication = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        Self { recipient: identity.to_public(), identity, authentication }
    }

    /// Encrypts.
    pub(super) fn seal(&self, plain: &Material) -> Result<Vec<u8>, age::EncryptError> {
        age::encrypt(&self.recipient, plain.expose()) // EXPOSE: encrypted
    }

    /// Decrypts.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Material, Unopened> {
        age::decrypt(&self.identity, sealed).map(Material::new).map_err(|_| Unopened)
    }

    /// Encrypts with a tag that only the identity's holder can make.
    pub(super) fn seal_authentic(&self, plain: &Material) -> Result<Vec<u8>, age::EncryptError> {
        // EXPOSE: tagged, and encrypted below
        let plain = plain.expose();
        let mut tagged = Vec::with_capacity(TAG + plain.len());
        tagged.extend_from_slice(hmac::sign(&self.authentication, plain).as_ref());
        tagged.extend_from_slice(plain);
        self.seal(&Material::new(tagged))
    }

    /// Decrypts, and refuses what another made.
    pub(super) fn open_authentic(&self, sealed: &[u8]) -> Result<Material, Unopened> {
        let tagged = self.open(sealed)?;
        // EXPOSE: verified, then copied into another Material without the tag
        let (tag, plain) = tagged.expose().split_at_checked(TAG).ok_or(Unopened)?;
        hmac::verify(&self.authentication, plain, tag).map_err(|_| Unopened)?;
        Ok(Material::new(plain.to_vec()))
    }
}

const TAG: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_encrypted_to_this_identity_is_not_authentic() {
        let identity = x25519::Identity::generate();
        let recipient = identity.to_public();
        let keys = Keys::new(identity);
        let plain = Material::from("{}".to_owned());
        assert!(keys.open_authentic(&keys.seal_authentic(&plain).unwrap()).unwrap().matches(&plain));
        let forged = age::encrypt(&recipient, &[&[0; TAG][..], b"{}"].concat()).unwrap();
        assert!(keys.open(&forged).is_ok(), "the control: it is encrypted to the right recipient");
        assert!(keys.open_authentic(&forged).is_err());
        assert!(Keys::new(x25519::Identity::generate()).open_authentic(&forged).is_err());
    }
}
