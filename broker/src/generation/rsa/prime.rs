//! One prime: candidates drawn independently until one of them is.

use super::{
    number::{Number, Power, Refused, powers},
    sieve::Sieve,
};
use crate::generation::{chance::Chance, value::GenerationError};
use zeroize::Zeroizing;

/// A prime of `bytes` bytes (a multiple of 8) with both top bits set, so that the product of two has twice as many
/// bits, and that is not 1 modulo the public exponent.
pub(super) fn prime(bytes: usize, sieve: &Sieve, chance: &dyn Chance) -> Result<Number, GenerationError> {
    let mut two = Zeroizing::new(vec![0; bytes]);
    two[bytes - 1] = 2;
    let two = number(&two)?;
    let mut one = Zeroizing::new(vec![0; bytes]);
    one[bytes - 1] = 1;
    loop {
        let pair = [number(&candidate(bytes, sieve, chance)?)?, number(&candidate(bytes, sieve, chance)?)?];
        // Fermat: 2 to the power of one less than a prime is 1 modulo the prime. Nearly every composite fails.
        let less = [pair[0].less_one().map_err(refused)?, pair[1].less_one().map_err(refused)?];
        let raised = |i: usize| Power { base: &two, exponent: &less[i], modulus: &pair[i] };
        let raised = powers([raised(0), raised(1)]).map_err(refused)?;
        for (candidate, raised) in pair.into_iter().zip(raised) {
            if raised.to_bytes(bytes).map_err(refused)? == one && candidate.is_prime().map_err(refused)? {
                return Ok(candidate);
            }
        }
    }
}

/// An odd number that no small prime divides. What is rejected here is forgotten, and drawn anew from nothing.
fn candidate(bytes: usize, sieve: &Sieve, chance: &dyn Chance) -> Result<Zeroizing<Vec<u8>>, GenerationError> {
    let mut drawn = Zeroizing::new(vec![0; bytes]);
    let mut words = Zeroizing::new(vec![0; bytes / 8]);
    loop {
        chance.fill(&mut drawn)?;
        drawn[0] |= 0b1100_0000;
        drawn[bytes - 1] |= 1;
        for (word, bytes) in words.iter_mut().zip(drawn.rchunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        if sieve.passes(&words) {
            return Ok(drawn);
        }
    }
}

fn number(bytes: &[u8]) -> Result<Number, GenerationError> {
    Number::from_bytes(bytes).map_err(refused)
}

pub(super) fn refused(_: Refused) -> GenerationError {
    GenerationError::Key("RSA key")
}
