//! What RabbitMQ stores of a value: a salt and a digest of both, made here so that the value itself is never sent.

use crate::material::Material;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The module of the server that understands what is made here.
pub(super) const ALGORITHM: &str = "rabbit_password_hashing_sha256";

/// The salted digest of a value, as `password_hash` wants it.
pub(super) fn of(value: &Material, salt: [u8; 4]) -> String {
    BASE64_STANDARD.encode(salted::<Sha256>(value, &salt))
}

/// Whether a value is the one behind a stored digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// It is.
    This,
    /// It is another.
    Another,
    /// None is: nobody can log in.
    Nobody,
    /// The digest is of a kind that cannot be compared here.
    Unknown,
}

/// Compares a value with what the server stores.
pub(super) fn behind(stored: &str, algorithm: &str, value: &Material) -> Behind {
    let Ok(bytes) = BASE64_STANDARD.decode(stored) else { return Behind::Unknown };
    let Some((salt, _)) = bytes.split_at_checked(4) else { return Behind::Nobody };
    let own = match algorithm {
        ALGORITHM => salted::<Sha256>(value, salt),
        "rabbit_password_hashing_sha512" => salted::<Sha512>(value, salt),
        _ => return Behind::Unknown,
    };
    if bool::from(own.ct_eq(&bytes)) { Behind::This } else { Behind::Another }
}

fn salted<D: Digest>(value: &Material, salt: &[u8]) -> Vec<u8> {
    // EXPOSE: hashed; what leaves is what the server would make of it
    let digest = D::new().chain_update(salt).chain_update(value.expose()).finalize();
    [salt, &digest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_server() {
        // What RabbitMQ 3.10 stored for the password `guest`.
        let stored = "I2y8Em2Lw/HJQP9sWxZezqSZaaXGYthidkut96Mu9nxlVQSf";
        let guest = Material::from("guest".to_owned());
        assert_eq!(of(&guest, [0x23, 0x6c, 0xbc, 0x12]), stored);
        assert_eq!(behind(stored, ALGORITHM, &guest), Behind::This);
        assert_eq!(behind(stored, ALGORITHM, &Material::from("gast".to_owned())), Behind::Another);
    }

    #[test]
    fn what_cannot_be_compared_is_not_guessed() {
        let value = Material::from("x".to_owned());
        assert_eq!(behind("", ALGORITHM, &value), Behind::Nobody);
        assert_eq!(behind("no base64!", ALGORITHM, &value), Behind::Unknown);
        assert_eq!(behind("AAAAAAAA", "rabbit_password_hashing_md5", &value), Behind::Unknown);
    }
}
