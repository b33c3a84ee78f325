//! Two primes for a key, as FIPS 186-5 (A.1.3) makes them: random numbers, thrown away until two pass every test.
//!
//! A prime p here is 3 modulo 4 (that standard lets one choose p modulo 8). Then (p-1)/2 is odd, and a round of Miller and
//! Rabin is one power: `b^((p-1)/2)` is 1 or p-1. Where p-1 holds more twos, their count is a secret of its own, and hiding
//! it costs as much again as the power. The choice takes one of a prime's bits.
//!
//! Nearly all composites fall to the division or to the first round, whose base is 2. The two that are left are tested
//! together, [`ROUNDS`] more times, each with a base from [`Chance`].

use super::{
    division::{EXPONENT, has_small_factor, modulo_exponent},
    number::Number,
    power::{self, Power},
};
use crate::generation::{Chance, GenerationError};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Two different primes of so many words, the larger first, neither of which is 1 modulo 65537.
pub(super) fn two(words: usize, chance: &dyn Chance) -> Result<[Number; 2], GenerationError> {
    let mut search = Search { words, chance, left: CANDIDATES * words };
    loop {
        let primes = search.two_probable()?;
        if confirmed(&primes, chance)?
            && let Some(primes) = ordered(primes)
        {
            return Ok(primes);
        }
    }
}

struct Search<'a> {
    words: usize,
    chance: &'a dyn Chance,
    /// So many candidates may still be drawn.
    left: usize,
}

impl Search<'_> {
    /// Two that pass the first round. What a pair of candidates fails shows nothing of the next, and the two that are given
    /// took the same steps as any other two would.
    fn two_probable(&mut self) -> Result<[Number; 2], GenerationError> {
        let bases = [Number::small(2, self.words), Number::small(2, self.words)];
        let mut found: Option<Number> = None;
        loop {
            let pair = [self.candidate()?, self.candidate()?];
            let passed = round(&pair, &bases)?;
            for number in pair.into_iter().zip(passed).filter_map(|(number, passed)| passed.then_some(number)) {
                match found.take() {
                    Some(first) => return Ok([first, number]),
                    None => found = Some(number),
                }
            }
        }
    }

    /// A random number that could be a prime of a key. The two highest bits are set, so that the product of two has all of
    /// its bits, and the two lowest.
    fn candidate(&mut self) -> Result<Number, GenerationError> {
        loop {
            self.left = self.left.checked_sub(1).ok_or(GenerationError::NoPrimes)?;
            let mut number = random(self.words, self.chance)?;
            let words = number.words_mut();
            words[self.words - 1] |= 0b11 << 62;
            words[0] |= 0b11;
            let coprime = !matches!(modulo_exponent(number.less(1).words()), 0 | EXPONENT);
            if coprime && !has_small_factor(number.words()) {
                return Ok(number);
            }
        }
    }
}

/// Whether both pass every further round. A base is a random number without the highest bit, and so below the prime: of all
/// bases that is at least half, so that each round counts at least half of what one with any base does.
fn confirmed(pair: &[Number; 2], chance: &dyn Chance) -> Result<bool, GenerationError> {
    let base = || {
        let mut base = random(pair[0].words().len(), chance)?;
        base.words_mut().iter_mut().last().into_iter().for_each(|highest| *highest &= u64::MAX >> 1);
        Ok::<_, GenerationError>(base)
    };
    for _ in 0..ROUNDS {
        if round(pair, &[base()?, base()?])? != [true; 2] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One round of Miller and Rabin for two numbers that are 3 modulo 4, each to its base. Which of the two right answers came
/// stays unknown: to a known base it would tell three bits of the prime.
fn round([one, other]: &[Number; 2], bases: &[Number; 2]) -> Result<[bool; 2], GenerationError> {
    let halves = [one.half(), other.half()];
    let power = |index: usize, modulus| Power { base: &bases[index], exponent: &halves[index], modulus };
    let [a, b] = power::two([power(0, one), power(1, other)])?;
    let passes = |power: &Number, number: &Number| {
        let unit = Number::small(1, number.words().len());
        bool::from(power.words().ct_eq(unit.words()) | power.words().ct_eq(number.less(1).words()))
    };
    Ok([passes(&a, one), passes(&b, other)])
}

/// The larger first, which tells nothing: either came first by chance. None where they are closer than random ones ever are.
fn ordered([one, other]: [Number; 2]) -> Option<[Number; 2]> {
    let (difference, other_larger) = one.minus(&other);
    let [larger, smaller, difference] = if other_larger {
        let difference = other.minus(&one).0;
        [other, one, difference]
    } else {
        [one, other, difference]
    };
    // One of the highest 99 bits: more than 2^(bits-100).
    let mut highest = difference.words().iter().rev();
    let (first, second) = (highest.next().copied().unwrap_or(0), highest.next().copied().unwrap_or(0));
    (first | second >> 29 != 0).then_some([larger, smaller])
}

fn random(words: usize, chance: &dyn Chance) -> Result<Number, GenerationError> {
    let mut bytes = Zeroizing::new(vec![0; words * 8]);
    chance.fill(&mut bytes)?;
    Ok(Number::from_bytes(&bytes))
}

/// Rounds after the first, as many as AWS-LC makes at least; FIPS 186-5 asks for 5 with primes of 1024 bits and 4 with 2048.
/// What passes 8 of them with 1024 bits is composite with a chance below 2^-140, by the bound of Damgård, Landrock and
/// Pomerance, times 2 a round for the bases and 4 for the candidates that are left out; each round more makes that less.
const ROUNDS: usize = 16;
/// So many candidates for each word of a prime, for both primes together: 30 for a bit, of which they take 0.7. A source that
/// is random fails this less than once in 2^110 keys.
const CANDIDATES: usize = 30 * 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::{ChanceError, System, rsa::power::library_finds_prime};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Numbers that look random, and the same ones each time.
    struct Seeded(AtomicU64);
    impl Chance for Seeded {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError> {
            for byte in bytes {
                let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
                for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
                    mixed = (mixed ^ mixed >> 29).wrapping_mul(factor);
                }
                *byte = (mixed >> 56) as u8;
            }
            Ok(())
        }
    }

    /// So many bytes, and then none.
    struct Running(AtomicU64);
    impl Chance for Running {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError> {
            let left =
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes.len() as u64));
            left.map_err(|_| ChanceError { source: "none left".into() })?;
            System.fill(bytes)
        }
    }

    /// The same byte for ever.
    struct Stuck(u8);
    impl Chance for Stuck {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    /// Miller's test with bases that are known to suffice below 2^64, by the processor's own division.
    fn prime(number: u64) -> bool {
        let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(number)) as u64;
        let power = |base: u64, exponent: u64| {
            (0..64).rev().fold(1, |power, bit| {
                let square = times(power, power);
                if exponent >> bit & 1 == 1 { times(square, base) } else { square }
            })
        };
        let bases = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
        let twos = (number - 1).trailing_zeros();
        bases.into_iter().all(|base| {
            let root = power(base, (number - 1) >> twos);
            let squares = std::iter::successors(Some(root), |root| Some(times(*root, *root)));
            base == number || root == 1 || squares.take(twos as usize).any(|square| square == number - 1)
        })
    }

    fn number(value: u64) -> Number {
        Number::small(value, 1)
    }

    fn seeded() -> Seeded {
        Seeded(AtomicU64::new(7))
    }

    #[test]
    fn what_is_found_is_prime_by_others_judgement_and_fit_for_a_key() {
        for round in 0..400 {
            let [p, q] = two(1, &System).unwrap().map(|number| number.words()[0]);
            assert!(prime(p) && prime(q), "{round}: {p} {q}");
            assert!(p > q && q >> 62 == 3 && p & q & 3 == 3 && p % EXPONENT != 1 && q % EXPONENT != 1);
        }
        for words in [2, 3, 4, 5, 8, 16] {
            let primes = two(words, &System).unwrap();
            assert!(primes.iter().all(library_finds_prime), "{words} words");
            assert!(primes.iter().all(|prime| prime.words().len() == words && prime.words()[words - 1] >> 62 == 3));
        }
    }

    /// The control of both judges, and of the rounds: a prime passes, whatever the base.
    #[test]
    fn primes_pass_and_their_neighbours_do_not() {
        let from = u64::MAX - 2_000_000;
        let odd = (from..u64::MAX).filter(|number| number % 4 == 3).take(2000).collect::<Vec<_>>();
        let primes = odd.iter().filter(|number| prime(**number)).count();
        assert!((50..200).contains(&primes), "{primes}");
        for value in odd {
            let pair = [number(value), number(value)];
            assert_eq!(confirmed(&pair, &seeded()).unwrap(), prime(value), "{value}");
            assert_eq!(library_finds_prime(&pair[0]), prime(value), "{value}");
        }
    }

    /// Of the two kinds that deceive most: `r·(2r-1)`, which a quarter of all bases takes for prime, here 3 among them, and
    /// Carmichael numbers `(t+1)·(3t+1)·(11t+1)`, which pass Fermat's test to every base.
    #[test]
    fn strong_pseudoprimes_and_carmichael_numbers_are_refused() {
        let doubles =
            (2_500_000_000..).filter(|r| r % 4 == 3 && prime(*r) && prime(2 * r - 1)).map(|r| r * (2 * r - 1));
        let deceives = |value: &u64| round(&[number(*value), number(*value)], &[number(3), number(3)]).unwrap()[0];
        let carmichael = (5000..6200).map(|k| 6 + 132 * k).filter(|t| [1, 3, 11].iter().all(|a| prime(a * t + 1)));
        let carmichael = carmichael.map(|t| (t + 1) * (3 * t + 1) * (11 * t + 1));
        let values: Vec<u64> = doubles.filter(deceives).take(20).chain(carmichael).collect();
        assert!(values.len() > 30, "the control: {} numbers", values.len());
        let a_prime = number(u64::MAX - 188);
        for value in values {
            assert!(
                value >> 63 == 1 && value % 4 == 3 && !has_small_factor(&[value]),
                "{value} comes as far as the rounds"
            );
            for pair in [[number(value), a_prime.clone()], [a_prime.clone(), number(value)]] {
                assert!(!confirmed(&pair, &seeded()).unwrap(), "{value} is refused");
            }
        }
        assert!(confirmed(&[a_prime.clone(), a_prime.clone()], &seeded()).unwrap(), "the control: primes are not");
    }

    #[test]
    fn the_same_chance_finds_the_same_primes_and_another_others() {
        let words = |chance: &dyn Chance| two(4, chance).unwrap().map(|number| number.words().to_vec());
        assert_eq!(words(&seeded()), words(&seeded()));
        assert_ne!(words(&seeded()), words(&Seeded(AtomicU64::new(8))));
        let [p, q] = words(&System);
        assert_ne!(p, q);
    }

    #[test]
    fn chance_that_ends_or_repeats_itself_ends_the_search() {
        // With the first number or in the search; two candidates and all bases are one byte more.
        for bytes in [0, 15, 16, 100, 543] {
            let ended = two(2, &Running(AtomicU64::new(bytes)));
            assert!(matches!(ended, Err(GenerationError::Chance(_))), "after {bytes} bytes");
        }
        for byte in 0..=255 {
            assert!(matches!(two(1, &Stuck(byte)), Err(GenerationError::NoPrimes)), "{byte:02x} for ever");
        }
    }

    #[test]
    fn primes_that_are_too_close_are_no_pair() {
        let number = |words: [u64; 4]| Number::from_bytes(&words.map(u64::to_le_bytes).concat());
        let (one, near) = (number([1, 0, 0, 1 << 63]), number([1, 0, (1 << 29) - 1, 1 << 63]));
        let far = number([1, 0, 1 << 29, 1 << 63]);
        for (pair, taken) in [([&one, &one], false), ([&one, &near], false), ([&one, &far], true), ([&far, &one], true)]
        {
            let ordered = ordered(pair.map(Clone::clone));
            assert_eq!(ordered.is_some(), taken);
            assert!(
                ordered.is_none_or(|[larger, smaller]| larger.words() == far.words() && smaller.words() == one.words())
            );
        }
    }
}
