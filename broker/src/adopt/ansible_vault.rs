//! Ansible's vault format, versions 1.1 and 1.2, opened with a password. Nothing is ever written in it.
//!
//! The body is hex of three lines of hex: salt, HMAC-SHA-256, ciphertext. PBKDF2-HMAC-SHA-256 over the password makes two keys and
//! the first counter; AES-256 in counter mode over a text that was padded as PKCS #7 says. The crates that read it have not been
//! kept up; these are the primitives of the provider that is here anyway.

use aws_lc_rs::{
    cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
    pbkdf2,
};
use donjon_drivers::material::Material;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Why a vault was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It is of a version or cipher that is not read.
    #[error("it is no ansible-vault of version 1.1 or 1.2 with AES256")]
    Unknown,
    /// It is cut off or changed.
    #[error("the ansible-vault is damaged")]
    Damaged,
    /// No password that was given opens it.
    #[error("none of the passwords opens the ansible-vault")]
    Password,
}

/// Whether a text is a vault.
pub fn is_sealed(text: &[u8]) -> bool {
    text.starts_with(MARK)
}

/// The content, opened with the first password that fits.
pub fn open(text: &[u8], passwords: &[Material]) -> Result<Material, VaultError> {
    let text = std::str::from_utf8(text).map_err(|_| VaultError::Damaged)?;
    let (header, body) = text.split_once('\n').ok_or(VaultError::Damaged)?;
    let words: Vec<&str> = header.trim_end().split(';').collect();
    if !matches!(words[..], [_, "1.1", "AES256"] | [_, "1.2", "AES256", _]) {
        return Err(VaultError::Unknown);
    }
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let inner = hex::decode(digits).map_err(|_| VaultError::Damaged)?;
    let parts: Vec<Vec<u8>> = inner
        .splitn(3, |byte| *byte == b'\n')
        .map(hex::decode)
        .collect::<Result<_, _>>()
        .map_err(|_| VaultError::Damaged)?;
    let [salt, mac, sealed] = &parts[..] else { return Err(VaultError::Damaged) };
    let opened = passwords.iter().find_map(|password| attempt(password, salt, mac, sealed).transpose());
    opened.unwrap_or(Err(VaultError::Password))
}

/// `None` where the password is another.
fn attempt(password: &Material, salt: &[u8], mac: &[u8], sealed: &[u8]) -> Result<Option<Material>, VaultError> {
    let mut keys = Zeroizing::new([0; 80]);
    let rounds = NonZeroU32::new(ROUNDS).ok_or(VaultError::Unknown)?;
    // EXPOSE: keys are made of it
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.expose(), &mut *keys);
    let (cipher, rest) = keys.split_at(32);
    let (signing, counter) = rest.split_at(32);
    if hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, signing), sealed, mac).is_err() {
        return Ok(None);
    }
    let damaged = |_| VaultError::Damaged;
    let counter: [u8; 16] = counter.try_into().map_err(|_| VaultError::Damaged)?;
    let key = UnboundCipherKey::new(&AES_256, cipher).and_then(DecryptingKey::ctr).map_err(damaged)?;
    let mut text = Zeroizing::new(sealed.to_vec());
    key.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(counter))).map_err(damaged)?;
    let padding = usize::from(*text.last().ok_or(VaultError::Damaged)?);
    let length = text.len().checked_sub(padding).filter(|_| (1..=16).contains(&padding)).ok_or(VaultError::Damaged)?;
    Ok(Some(Material::new(text[..length].to_vec())))
}

const MARK: &[u8] = b"$ANSIBLE_VAULT;";
/// Ansible's own.
const ROUNDS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by `ansible-vault encrypt` with the password `correct horse`.
    const SEALED: &str = "$ANSIBLE_VAULT;1.1;AES256\n\
        64313831323938316366363534326634393962666339396336623931663730343134663538396631\n\
        6131363466303962383366653761636333633466383961300a623333616634383761326134306236\n\
        37643666386630623663376139363265393934376138313237383165653763653036326530656434\n\
        3161346263343863330a323934356361626639636561653037313332333139396136373632636164\n\
        32643138353035636537383931303134633938623738303238313531613233656265653230323532\n\
        6661333834363266386137643966616164333866363130363963\n";

    fn password(text: &str) -> Material {
        Material::from(text.to_owned())
    }

    #[test]
    fn one_that_ansible_made_opens_with_its_password_alone() {
        let opened = open(SEALED.as_bytes(), &[password("wrong"), password("correct horse")]).unwrap();
        assert_eq!(opened.expose(), b"database_password: a $#'\" value\n"); // EXPOSE: a test value
        assert_eq!(open(SEALED.as_bytes(), &[password("wrong")]).unwrap_err(), VaultError::Password);
        let labelled = SEALED.replacen("1.1;AES256", "1.2;AES256;prod", 1);
        assert!(open(labelled.as_bytes(), &[password("correct horse")]).is_ok());
        let other = SEALED.replacen("1.1", "1.0", 1);
        assert_eq!(open(other.as_bytes(), &[password("correct horse")]).unwrap_err(), VaultError::Unknown);
    }

    #[test]
    fn a_changed_digit_anywhere_opens_nothing() {
        let start = SEALED.find('\n').unwrap() + 1;
        for at in (start..SEALED.len()).step_by(37).filter(|at| SEALED.as_bytes()[*at] != b'\n') {
            let mut text = SEALED.as_bytes().to_vec();
            text[at] = if text[at] == b'3' { b'4' } else { b'3' };
            assert!(open(&text, &[password("correct horse")]).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(&bytes, &[password("x")]);
            let _ = open(&[b"$ANSIBLE_VAULT;1.1;AES256\n", hex::encode(&bytes).as_bytes()].concat(), &[password("x")]);
        }
    }
}
