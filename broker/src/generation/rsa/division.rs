//! Trial division of secret numbers: by multiplication alone, and by many primes in one pass.
//!
//! Primes whose product is below 2^64 are one group. A pass over a number's words leaves its residue modulo that product,
//! times a power of 2 that no odd prime minds (Montgomery's reduction, word by word); one multiplication then tells whether a
//! prime divides the residue. Passes of [`LANES`] groups run side by side, since each step of one waits for the step before.

use super::number::inverse;
use std::sync::LazyLock;

/// Whether an odd prime below [`BOUND`] divides the number, which has to be larger than that. It ends as soon as one does:
/// such a number is thrown away.
pub(super) fn has_small_factor(words: &[u64]) -> bool {
    GROUPS.iter().any(|groups| {
        let residues = groups.moduli.reduced(words);
        groups.primes.iter().fold(false, |found, (lane, prime)| found | prime.divides(residues[*lane]))
    })
}

/// The residue modulo 65537, from 1 to 65536; 0 or 65537 where that divides the number. 2^64 is 1 modulo this prime, so there
/// is no power of 2 left in it.
pub(super) fn modulo_exponent(words: &[u64]) -> u64 {
    Moduli::of([EXPONENT]).reduced(words)[0]
}

/// The public exponent of every key.
pub(super) const EXPONENT: u64 = 65537;

/// So many odd moduli, and their inverses modulo 2^64, negated.
struct Moduli<const N: usize> {
    moduli: [u64; N],
    inverses: [u64; N],
}

impl<const N: usize> Moduli<N> {
    fn of(moduli: [u64; N]) -> Self {
        Self { moduli, inverses: moduli.map(|modulus| inverse(modulus).wrapping_neg()) }
    }

    /// What is the number over 2^(64·words) modulo each, below the modulus or equal to it.
    fn reduced(&self, words: &[u64]) -> [u64; N] {
        let mut residues = [0; N];
        for word in words {
            for (lane, residue) in residues.iter_mut().enumerate() {
                // As much of the modulus as makes the lower word zero. The sum stays below 2^64 · (modulus + 1).
                let sum = u128::from(*residue) + u128::from(*word);
                let times = (sum as u64).wrapping_mul(self.inverses[lane]);
                *residue = ((sum + u128::from(times) * u128::from(self.moduli[lane])) >> 64) as u64;
            }
        }
        residues
    }
}

/// A prime, as what tells its multiples: these and no others, times the inverse, are at most the largest quotient.
struct Prime {
    inverse: u64,
    largest: u64,
}

impl Prime {
    fn of(prime: u64) -> Self {
        Self { inverse: inverse(prime), largest: u64::MAX / prime }
    }

    fn divides(&self, word: u64) -> bool {
        word.wrapping_mul(self.inverse) <= self.largest
    }
}

/// Groups of primes whose residues are found in one pass.
struct Groups {
    moduli: Moduli<LANES>,
    /// Every prime with the lane of its group.
    primes: Vec<(usize, Prime)>,
}

static GROUPS: LazyLock<Vec<Groups>> = LazyLock::new(|| {
    let mut groups: Vec<Vec<u64>> = vec![Vec::new()];
    let mut product = 1_u64;
    for prime in odd_primes() {
        // The residue may be one more than the modulus while it is made.
        product = product.checked_mul(prime).filter(|product| *product < u64::MAX - 1).unwrap_or_else(|| {
            groups.push(Vec::new());
            prime
        });
        groups.iter_mut().last().into_iter().for_each(|group| group.push(prime));
    }
    groups.chunks(LANES).map(side_by_side).collect()
});

fn side_by_side(groups: &[Vec<u64>]) -> Groups {
    let product = |lane| groups.get(lane).map_or(1, |group: &Vec<u64>| group.iter().product());
    let primes =
        groups.iter().enumerate().flat_map(|(lane, group)| group.iter().map(move |prime| (lane, Prime::of(*prime))));
    Groups { moduli: Moduli::of(std::array::from_fn(product)), primes: primes.collect() }
}

/// All odd primes below [`BOUND`], by the oldest of sieves.
fn odd_primes() -> impl Iterator<Item = u64> {
    let mut composite = vec![false; BOUND];
    for factor in (3..).take_while(|factor| factor * factor < BOUND) {
        (factor * factor..BOUND).step_by(2 * factor).for_each(|multiple| composite[multiple] = true);
    }
    (3..BOUND).step_by(2).filter(move |number| !composite[*number]).map(|prime| prime as u64)
}

/// Up to here a prime is worth its part of a pass: beyond, more time goes by than the tests take that it saves.
const BOUND: usize = 1 << 16;
/// So many passes at once keep a core's multiplier busy.
const LANES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// By the processor's own division.
    fn remainder(words: &[u64], by: u64) -> u64 {
        let step = |rest: u64, word: &u64| ((u128::from(rest) << 64 | u128::from(*word)) % u128::from(by)) as u64;
        words.iter().rev().fold(0, step)
    }

    /// One that differs much from a random one: all bits of a word may be equal.
    fn words() -> impl Strategy<Value = Vec<u64>> {
        vec(prop_oneof![3 => any::<u64>(), 1 => Just(0), 1 => Just(u64::MAX)], 1..=32)
    }

    proptest! {
        #[test]
        fn residues_are_those_of_a_division(words in words(), moduli: [u64; 3]) {
            let moduli = moduli.map(|modulus| modulus.min(u64::MAX - 2) | 1);
            let residues = Moduli::of(moduli).reduced(&words);
            for (modulus, residue) in moduli.into_iter().zip(residues) {
                prop_assert!(residue <= modulus);
                // Times 2^64 for each word again.
                let back = (0..words.len()).fold(residue % modulus, |rest, _| remainder(&[0, rest], modulus));
                prop_assert_eq!(back, remainder(&words, modulus));
            }
            prop_assert_eq!(modulo_exponent(&words) % EXPONENT, remainder(&words, EXPONENT));
        }

        #[test]
        fn a_small_factor_is_found_where_there_is_one(mut words in words(), any in 0..6541_usize) {
            words[0] |= 1;
            words.push(1);
            let divides = |prime: &u64| remainder(&words, *prime) == 0;
            prop_assert_eq!(has_small_factor(&words), odd_primes().any(|prime| divides(&prime)));
            let prime = odd_primes().nth(any).unwrap();
            let multiple = super::super::number::Number::from_bytes(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
                .times_and_one(prime).less(1);
            prop_assert!(has_small_factor(multiple.words()));
        }
    }

    #[test]
    fn every_odd_prime_below_the_bound_divides_and_no_power_of_two_is_divided() {
        assert_eq!(odd_primes().count(), 6541);
        assert_eq!(GROUPS.iter().map(|groups| groups.primes.len()).sum::<usize>(), 6541);
        for prime in odd_primes() {
            assert!(has_small_factor(&[prime, 0]), "{prime}");
        }
        // The two primes next to the bound on its other side, and their product.
        for rest in [65537, 65539, 65537 * 65539] {
            assert!(!has_small_factor(&[rest, 0]), "{rest}");
        }
        assert!(!has_small_factor(&[0, 1]));
    }
}
