//! A key of two primes, and its proof by the library.

use super::{
    division::{EXPONENT, modulo_exponent},
    number::Number,
    power::{self, Power},
    prime,
};
use crate::generation::{Chance, GenerationError};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use pkcs1::{ALGORITHM_ID, RsaPrivateKey, UintRef};
use pkcs8::{PrivateKeyInfo, SecretDocument};

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

/// Makes a key. One of 4096 bits takes a good quarter of a second.
pub fn generate(size: Size, chance: &dyn Chance) -> Result<Key, GenerationError> {
    let words = match size {
        Size::Bits2048 => 16,
        Size::Bits4096 => 32,
    };
    let primes = prime::two(words, chance)?;
    proven(Parts::of(&primes)?.document()?)
}

/// What a private key consists of, all in words of a fixed count.
struct Parts<'a> {
    p: &'a Number,
    q: &'a Number,
    n: Number,
    d: Number,
    d_p: Number,
    d_q: Number,
    q_inverse: Number,
}

impl<'a> Parts<'a> {
    /// Of two primes, the larger first.
    ///
    /// The private exponent is the inverse modulo (p-1)(q-1), as RFC 8017 allows: modulo the least common multiple it would be
    /// shorter by a few bits, and finding that takes a greatest common divisor of two secrets. It is above 2^(bits/2) always,
    /// since the exponent times it is above (p-1)(q-1).
    fn of([p, q]: &'a [Number; 2]) -> Result<Self, GenerationError> {
        let (p_less, q_less) = (p.less(1), q.less(1));
        // By Fermat: q^(p-2) is 1/q modulo p. As base it is less than p. The second power is the first again.
        let power = Power { base: q, exponent: &p.less(2), modulus: p };
        let [q_inverse, _] = power::two([power, power])?;
        Ok(Self {
            p,
            q,
            n: p.times(q),
            d: exponent_inverse(&p_less.times(&q_less)),
            d_p: exponent_inverse(&p_less),
            d_q: exponent_inverse(&q_less),
            q_inverse,
        })
    }

    fn document(&self) -> Result<SecretDocument, GenerationError> {
        let parts =
            [&self.n, &self.d, self.p, self.q, &self.d_p, &self.d_q, &self.q_inverse].map(Number::bytes_reversed);
        let [modulus, private_exponent, prime1, prime2, exponent1, exponent2, coefficient] =
            parts.each_ref().map(|bytes| UintRef::new(bytes));
        let exponent = EXPONENT.to_be_bytes();
        let encoded = |_| GenerationError::Encoding;
        let key = RsaPrivateKey {
            modulus: modulus.map_err(encoded)?,
            public_exponent: UintRef::new(&exponent).map_err(encoded)?,
            private_exponent: private_exponent.map_err(encoded)?,
            prime1: prime1.map_err(encoded)?,
            prime2: prime2.map_err(encoded)?,
            exponent1: exponent1.map_err(encoded)?,
            exponent2: exponent2.map_err(encoded)?,
            coefficient: coefficient.map_err(encoded)?,
            other_prime_infos: None,
        };
        let key = SecretDocument::try_from(key).map_err(|_| GenerationError::Encoding)?;
        SecretDocument::try_from(PrivateKeyInfo::new(ALGORITHM_ID, key.as_bytes()))
            .map_err(|_| GenerationError::Encoding)
    }
}

/// The inverse of the public exponent e modulo m, which e does not divide: `(1 + k·m) / e` with the `k` below e that makes it
/// whole, which is -1/m modulo e.
fn exponent_inverse(modulus: &Number) -> Number {
    // By Fermat again: m^(e-2) is 1/m modulo e, and the bits of e-2 = 65535 are sixteen ones.
    let residue = modulo_exponent(modulus.words());
    let times = |a: u64, b: u64| modulo_exponent(&[a * b]);
    let inverse = (1..16).fold(residue, |power, _| times(times(power, power), residue));
    modulus.times_and_one(EXPONENT - inverse).over(EXPONENT)
}

/// The library reads the key, for which it checks that all parts belong together, and a signature of it is verified: a key
/// that is wrong in any part, or a slip of the processor's, ends here.
fn proven(private: SecretDocument) -> Result<Key, GenerationError> {
    let refused = |_| GenerationError::Key("RSA key");
    let pair = KeyPair::from_pkcs8(private.as_bytes()).map_err(|_| GenerationError::Key("RSA key"))?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), PROOF, &mut signature).map_err(refused)?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())
        .verify(PROOF, &signature)
        .map_err(refused)?;
    Ok(Key {
        modulus: pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
        exponent: pair.public_key().exponent().big_endian_without_leading_zero().to_vec(),
        private,
    })
}

const PROOF: &[u8] = b"a signature that only this key makes";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::System;

    fn of(size: Size) -> (Vec<Vec<u8>>, Key) {
        let key = generate(size, &System).unwrap();
        let document = PrivateKeyInfo::try_from(key.private.as_bytes()).unwrap();
        let parts = RsaPrivateKey::try_from(document.private_key).unwrap();
        let parts =
            [parts.modulus, parts.private_exponent, parts.prime1, parts.prime2, parts.exponent1, parts.exponent2];
        (parts.map(|part| part.as_bytes().to_vec()).to_vec(), key)
    }

    #[test]
    fn a_key_has_all_its_bits_and_none_is_made_twice() {
        for (size, bytes, count) in [(Size::Bits2048, 256, 6), (Size::Bits4096, 512, 2)] {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..count {
                let (parts, key) = of(size);
                assert_eq!(
                    (key.modulus.len(), key.modulus[0] >> 7, key.exponent.as_slice()),
                    (bytes, 1, &[1, 0, 1][..])
                );
                assert_eq!(parts[0], key.modulus);
                assert!(parts[1].len() > bytes / 2, "d is above 2^(bits/2)");
                assert!(parts[2] > parts[3] && parts[2].len() == bytes / 2 && parts[3].len() == bytes / 2);
                assert!(parts[2..4].iter().all(|prime| seen.insert(prime.clone())), "a prime came twice");
            }
        }
    }

    /// The formulas on numbers small enough for the processor's own.
    #[test]
    fn the_parts_of_small_keys_are_what_they_should_be() {
        let word = |number: &Number| number.words()[0];
        let wide = |number: &Number| u128::from(number.words()[0]) | u128::from(number.words()[1]) << 64;
        for _ in 0..200 {
            let primes = prime::two(1, &System).unwrap();
            let parts = Parts::of(&primes).unwrap();
            let (p, q) = (u128::from(word(parts.p)), u128::from(word(parts.q)));
            let e = u128::from(EXPONENT);
            assert_eq!(wide(&parts.n), p * q);
            assert_eq!(u128::from(word(&parts.d_p)) * e % (p - 1), 1);
            assert_eq!(u128::from(word(&parts.d_q)) * e % (q - 1), 1);
            assert_eq!(u128::from(word(&parts.q_inverse)) * q % p, 1);
            let d = wide(&parts.d);
            assert!(d < (p - 1) * (q - 1) && d >> 64 != 0);
            assert_eq!((d % (p - 1) * e % (p - 1), d % (q - 1) * e % (q - 1)), (1, 1));
        }
    }

    /// What `proven` relies on: a key with one part wrong is refused by the library.
    #[test]
    fn a_key_with_one_part_wrong_is_no_key() {
        let primes = prime::two(16, &System).unwrap();
        let whole = || Parts::of(&primes).unwrap();
        assert!(proven(whole().document().unwrap()).is_ok());
        let others = prime::two(16, &System).unwrap();
        let wrong = [
            Parts { p: &others[0], ..whole() },
            Parts { q: &others[1], ..whole() },
            Parts { n: whole().n.less(2), ..whole() },
            Parts { d: whole().d.less(1), ..whole() },
            Parts { d_p: whole().d_p.less(1), ..whole() },
            Parts { d_q: whole().d_q.less(1), ..whole() },
            Parts { q_inverse: whole().q_inverse.less(1), ..whole() },
        ];
        for (index, parts) in wrong.into_iter().enumerate() {
            let refused = proven(parts.document().unwrap()).err();
            assert!(matches!(refused, Some(GenerationError::Key(_))), "part {index}");
        }
    }
}
