//! The sieve: rules out candidates that a small prime divides, and those that go badly with the public exponent.

use super::key::EXPONENT;

/// Trial division by the odd primes up to the public exponent, for numbers of so many words.
pub(super) struct Sieve {
    groups: Vec<Group>,
}

/// Primes whose product is one divisor.
struct Group {
    product: u64,
    primes: Vec<u64>,
    /// 2 to the power of 64 times the place, modulo the product: the number modulo the product is one sum of products.
    places: Vec<u64>,
}

impl Sieve {
    /// A sieve for numbers of `words` words of 64 bits, at most [`MOST_WORDS`].
    pub(super) fn new(words: usize) -> Self {
        assert!(words <= MOST_WORDS, "the sums below hold so many terms");
        let mut groups = Vec::new();
        let mut waiting = Vec::new();
        let mut product = 1_u64;
        for prime in odd_primes(EXPONENT) {
            if product > LARGEST_PRODUCT / prime {
                groups.push(Group::new(product, std::mem::take(&mut waiting), words));
                product = 1;
            }
            product *= prime;
            waiting.push(prime);
        }
        groups.push(Group::new(product, waiting, words));
        Self { groups }
    }

    /// Whether a number, its least significant word first, may be a prime that suits the exponent.
    pub(super) fn passes(&self, number: &[u64]) -> bool {
        self.groups.iter().all(|group| {
            let remainder = group.remainder(number);
            group.primes.iter().all(|prime| match remainder % prime {
                0 => false,
                // The exponent must not divide one less than the prime, or it would have no inverse.
                1 => *prime != EXPONENT,
                _ => true,
            })
        })
    }
}

impl Group {
    fn new(product: u64, primes: Vec<u64>, words: usize) -> Self {
        let next = |place: &u64| Some(((u128::from(*place) << 64) % u128::from(product)) as u64);
        Self { product, primes, places: std::iter::successors(Some(1), next).take(words).collect() }
    }

    fn remainder(&self, number: &[u64]) -> u64 {
        // Each product is below 2^(64 + 58), and there are at most 2^5 of them.
        let sum: u128 =
            number.iter().zip(&self.places).map(|(word, place)| u128::from(*word) * u128::from(*place)).sum();
        (sum % u128::from(self.product)) as u64
    }
}

fn odd_primes(last: u64) -> impl Iterator<Item = u64> {
    let mut composite = vec![false; last as usize + 1];
    (3..=last).step_by(2).filter(move |number| {
        if composite[*number as usize] {
            return false;
        }
        (number * number..=last).step_by(2 * *number as usize).for_each(|multiple| composite[multiple as usize] = true);
        true
    })
}

/// The most words of a number: 2048 bits.
const MOST_WORDS: usize = 32;
const LARGEST_PRODUCT: u64 = 1 << 58;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_primes_are_all_there() {
        let primes: Vec<u64> = odd_primes(EXPONENT).collect();
        assert_eq!((primes.len(), primes[0], primes.last()), (6542, 3, Some(&65537)));
        let sieve = Sieve::new(4);
        assert_eq!(sieve.groups.iter().map(|group| group.primes.len()).sum::<usize>(), 6542);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_remainder_is_that_of_long_division(number in proptest::collection::vec(any::<u64>(), 32)) {
            let sieve = Sieve::new(32);
            for group in &sieve.groups {
                let divided = number.iter().rev().fold(0_u128, |rest, word| ((rest << 64) | u128::from(*word)) % u128::from(group.product));
                prop_assert_eq!(u128::from(group.remainder(&number)), divided);
            }
        }

        #[test]
        fn a_multiple_of_a_small_prime_never_passes(other in any::<u64>(), prime in 0_usize..6542) {
            let prime = odd_primes(EXPONENT).nth(prime).unwrap();
            let product = u128::from(other | 1) * u128::from(prime);
            prop_assert!(!Sieve::new(2).passes(&[product as u64, (product >> 64) as u64]));
        }
    }

    #[test]
    fn primes_pass_unless_the_exponent_divides_one_less() {
        let sieve = Sieve::new(2);
        // 2^127 - 1, and 2^89 - 1.
        assert!(sieve.passes(&[u64::MAX, u64::MAX >> 1]));
        assert!(sieve.passes(&[u64::MAX, (1 << 25) - 1]));
        // 131101 * 65537 would not be prime; 65537 * 14 + 1 = 917519 is.
        assert!(!sieve.passes(&[65537 * 14 + 1, 0]));
    }
}
