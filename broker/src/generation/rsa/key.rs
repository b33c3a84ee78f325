//! A key of two primes: the exponents, the encoding, and the library's check of the whole.

use super::{
    number::{Number, Power, powers},
    prime::{prime, refused},
    sieve::Sieve,
};
use crate::generation::{chance::Chance, value::GenerationError};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use pkcs1::{RsaPrivateKey, UintRef};
use pkcs8::{PrivateKeyInfo, SecretDocument};
use std::cmp::Ordering;
use zeroize::Zeroizing;

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
}

/// Makes a key. This keeps one core busy for some tenths of a second.
pub fn generate(size: Size, chance: &dyn Chance) -> Result<Key, GenerationError> {
    let half = match size {
        Size::Bits2048 => 128,
        Size::Bits4096 => 256,
    };
    let sieve = Sieve::new(half / 8);
    loop {
        let (one, other) = (prime(half, &sieve, chance)?, prime(half, &sieve, chance)?);
        if let Some(key) = assemble(&one, &other, half)? {
            return Ok(key);
        }
    }
}

/// The key of two primes of `half` bytes, or `None` where FIPS 186-5 wants others: they are too close together, or the
/// private exponent is too small. Neither ever happens by chance.
fn assemble(one: &Number, other: &Number, half: usize) -> Result<Option<Key>, GenerationError> {
    let (one_bytes, other_bytes) = (one.to_bytes(half).map_err(refused)?, other.to_bytes(half).map_err(refused)?);
    let (p, q, p_bytes, q_bytes) = match one_bytes.cmp(&other_bytes) {
        Ordering::Greater => (one, other, one_bytes, other_bytes),
        Ordering::Less | Ordering::Equal => (other, one, other_bytes, one_bytes),
    };
    if top(&p_bytes) - top(&q_bytes) <= LEAST_APART {
        return Ok(None);
    }
    let n = p.times(q).and_then(|n| n.to_bytes(2 * half)).map_err(refused)?;
    let (p_less, q_less) = (p.less_one().map_err(refused)?, q.less_one().map_err(refused)?);
    let Some(lambda) = least_common_multiple(&p_less, &q_less)? else { return Ok(None) };
    let d = inverse_of_exponent(&lambda)?.to_bytes(2 * half).map_err(refused)?;
    if d[..half].iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let d_p = inverse_of_exponent(&p_less)?.to_bytes(half).map_err(refused)?;
    let d_q = inverse_of_exponent(&q_less)?.to_bytes(half).map_err(refused)?;
    let q_inverse = inverse_modulo_prime(q, p, &p_less)?.to_bytes(half).map_err(refused)?;
    encode([&n, &EXPONENT_BYTES, &d, &p_bytes, &q_bytes, &d_p, &d_q, &q_inverse]).map(Some)
}

/// Of two even numbers. `None` where their common divisor is longer than a word, which no two primes that were drawn
/// independently ever show.
fn least_common_multiple(a: &Number, b: &Number) -> Result<Option<Number>, GenerationError> {
    let common = a.gcd(b).map_err(refused)?;
    let Ok(common) = common.to_bytes(8) else { return Ok(None) };
    let word = common.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let (quotient, _) = a.divided_by(word).map_err(refused)?;
    quotient.times(b).map(Some).map_err(refused)
}

/// The inverse of the public exponent: the one multiple of the modulus that, with one added, the exponent divides, is
/// found by words alone.
fn inverse_of_exponent(modulus: &Number) -> Result<Number, GenerationError> {
    let (_, remainder) = modulus.divided_by(EXPONENT).map_err(refused)?;
    // The exponent is prime, so a power by two less is the inverse.
    let (mut inverse, mut square, mut power) = (1, remainder, EXPONENT - 2);
    while power > 0 {
        if power & 1 == 1 {
            inverse = inverse * square % EXPONENT;
        }
        square = square * square % EXPONENT;
        power >>= 1;
    }
    let (quotient, rest) = modulus
        .times_word_plus_one((EXPONENT - inverse) % EXPONENT)
        .and_then(|multiple| multiple.divided_by(EXPONENT))
        .map_err(refused)?;
    if rest == 0 { Ok(quotient) } else { Err(GenerationError::Key("RSA key")) }
}

/// The inverse of a smaller number modulo a prime: its power by two less.
fn inverse_modulo_prime(of: &Number, prime: &Number, prime_less: &Number) -> Result<Number, GenerationError> {
    let exponent = prime_less.less_one().map_err(refused)?;
    let power = || Power { base: of, exponent: &exponent, modulus: prime };
    let [inverse, _] = powers([power(), power()]).map_err(refused)?;
    Ok(inverse)
}

/// Writes the parts down, has the library read and check them, and tries the key.
fn encode(parts: [&[u8]; 8]) -> Result<Key, GenerationError> {
    let encoding = |_| GenerationError::Encoding;
    let [modulus, public_exponent, private_exponent, prime1, prime2, exponent1, exponent2, coefficient] =
        parts.map(UintRef::new);
    let key = RsaPrivateKey {
        modulus: modulus.map_err(encoding)?,
        public_exponent: public_exponent.map_err(encoding)?,
        private_exponent: private_exponent.map_err(encoding)?,
        prime1: prime1.map_err(encoding)?,
        prime2: prime2.map_err(encoding)?,
        exponent1: exponent1.map_err(encoding)?,
        exponent2: exponent2.map_err(encoding)?,
        coefficient: coefficient.map_err(encoding)?,
        other_prime_infos: None,
    };
    let inner = SecretDocument::encode_msg(&key).map_err(encoding)?;
    let outer = PrivateKeyInfo::new(pkcs1::ALGORITHM_ID, inner.as_bytes());
    let private = SecretDocument::encode_msg(&outer).map_err(encoding)?;
    check(private.as_bytes(), parts[0].len())?;
    Ok(Key { private, modulus: parts[0].to_vec() })
}

/// The library accepts the key, and a signature by both primes is one to its public half: with a composite it is not.
fn check(pkcs8: &[u8], length: usize) -> Result<(), GenerationError> {
    let refused = || GenerationError::Key("RSA key");
    let pair = KeyPair::from_pkcs8(pkcs8).map_err(|_| refused())?;
    let mut signature = Zeroizing::new(vec![0; length]);
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), TRIAL, &mut signature).map_err(|_| refused())?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    public.verify(TRIAL, &signature).map_err(|_| refused())
}

/// The 128 most significant bits.
fn top(bytes: &[u8]) -> u128 {
    bytes[..16].iter().fold(0, |top, byte| top << 8 | u128::from(*byte))
}

/// The public exponent.
pub(super) const EXPONENT: u64 = 65537;
/// The public exponent, most significant byte first.
pub const EXPONENT_BYTES: [u8; 3] = [1, 0, 1];
/// Primes are further apart than 2 to the power of half the modulus' bits less 100: in their top 128 bits, than 2^28.
const LEAST_APART: u128 = 1 << 28;
const TRIAL: &[u8] = b"a key that was just made";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::chance::ChanceError;
    use sha2::{Digest, Sha256};
    use std::sync::atomic::{AtomicU64, Ordering as Order};

    /// Bytes that look random and are always the same.
    struct Fixed(u8, AtomicU64);

    impl Chance for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError> {
            for part in bytes.chunks_mut(32) {
                let count = self.1.fetch_add(1, Order::Relaxed);
                let digest = Sha256::new().chain_update([self.0]).chain_update(count.to_be_bytes()).finalize();
                part.copy_from_slice(&digest[..part.len()]);
            }
            Ok(())
        }
    }

    fn fixed(seed: u8) -> Fixed {
        Fixed(seed, AtomicU64::new(0))
    }

    #[test]
    fn a_key_is_made_of_chance_alone() {
        let key = |seed| generate(Size::Bits2048, &fixed(seed)).unwrap();
        let (one, again, other) = (key(1), key(1), key(2));
        assert_eq!(one.private.as_bytes(), again.private.as_bytes());
        assert_ne!(one.modulus, other.modulus);
        assert_eq!((one.modulus.len(), one.modulus[0] >> 7), (256, 1), "2048 bits, the top one set");
    }

    #[test]
    fn primes_that_are_too_close_are_not_taken() {
        let sieve = Sieve::new(16);
        let one = prime(128, &sieve, &fixed(3)).unwrap();
        let other = prime(128, &sieve, &fixed(4)).unwrap();
        assert!(assemble(&one, &one, 128).unwrap().is_none());
        let (ab, ba) = (assemble(&one, &other, 128).unwrap().unwrap(), assemble(&other, &one, 128).unwrap().unwrap());
        assert_eq!(ab.private.as_bytes(), ba.private.as_bytes(), "the order in which they were drawn is not kept");
    }

    #[test]
    fn a_composite_is_never_a_key() {
        let sieve = Sieve::new(16);
        let (one, other) = (prime(128, &sieve, &fixed(5)).unwrap(), prime(128, &sieve, &fixed(6)).unwrap());
        // Two more than a prime: odd, as long, and composite for these seeds.
        let composite = |prime: &Number| {
            let more = prime.times_word_plus_one(1).unwrap().times_word_plus_one(1).unwrap();
            assert!(!more.is_prime().unwrap());
            more
        };
        assert!(assemble(&one, &other, 128).is_ok());
        assert!(assemble(&composite(&one), &other, 128).is_err());
        assert!(assemble(&one, &composite(&other), 128).is_err());
    }

    #[test]
    fn every_prime_is_one_and_suits_the_exponent() {
        let sieve = Sieve::new(16);
        for seed in 10..20 {
            let prime = prime(128, &sieve, &fixed(seed)).unwrap();
            assert!(prime.is_prime().unwrap());
            assert_eq!(prime.to_bytes(128).unwrap()[0] >> 6, 0b11);
            assert_ne!(prime.divided_by(EXPONENT).unwrap().1, 1);
        }
    }
}
