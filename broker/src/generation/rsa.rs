//! RSA keys, exponent 65537.

use super::value::GenerationError;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use pkcs8::SecretDocument;

/// How long the modulus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 2048 bits.
    Bits2048,
    /// 4096 bits.
    Bits4096,
}

/// A new key.
pub struct Key {
    /// PKCS#8, DER.
    pub private: SecretDocument,
    /// The modulus, most significant byte first.
    pub modulus: Vec<u8>,
    /// The public exponent, most significant byte first.
    pub exponent: Vec<u8>,
}

/// Makes a key, with random bytes that the library itself takes from the operating system. This takes a good part of a second.
pub fn generate(size: Size) -> Result<Key, GenerationError> {
    let refused = || GenerationError::Key("RSA key");
    let pair = KeyPair::generate(match size {
        Size::Bits2048 => KeySize::Rsa2048,
        Size::Bits4096 => KeySize::Rsa4096,
    })
    .map_err(|_| refused())?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| refused())?;
    Ok(Key {
        private: SecretDocument::try_from(der.as_ref()).map_err(|_| refused())?,
        modulus: pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
        exponent: pair.public_key().exponent().big_endian_without_leading_zero().to_vec(),
    })
}
