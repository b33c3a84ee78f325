//! Big numbers of AWS-LC, wiped when dropped. `unsafe` is here because they are C's.
#![expect(unsafe_code, reason = "big numbers are the C library's; the proof stands beside each block")]

use aws_lc_sys as c;
use std::{ffi::c_int, ptr::NonNull};
use zeroize::Zeroizing;

/// A whole number that is not negative.
pub(super) struct Number(NonNull<c::BIGNUM>);

/// The library had no memory, or was asked for what is not defined.
#[derive(Debug)]
pub(super) struct Refused;

impl Number {
    /// From bytes, the most significant first. Leading zeros count for how wide it is held.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        // SAFETY: the pointer and the length are those of a slice that outlives the call, which only reads it; a null
        // third argument asks for a new number, of which we become the only owner.
        owned(unsafe { c::BN_bin2bn(bytes.as_ptr(), bytes.len(), std::ptr::null_mut()) })
    }

    /// As so many bytes, the most significant first. Refused where it is longer.
    pub(super) fn to_bytes(&self, length: usize) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let mut bytes = Zeroizing::new(vec![0; length]);
        // SAFETY: the pointer and the length are those of a vector that outlives the call and is borrowed by nobody else.
        done(unsafe { c::BN_bn2bin_padded(bytes.as_mut_ptr(), length, self.get()) })?;
        Ok(bytes)
    }

    /// Itself times another.
    pub(super) fn times(&self, other: &Self) -> Result<Self, Refused> {
        let (product, scratch) = (Self::zero()?, Scratch::new()?);
        // SAFETY: all four are alive, and the result is none of the operands.
        done(unsafe { c::BN_mul(product.get(), self.get(), other.get(), scratch.get()) })?;
        Ok(product)
    }

    /// The greatest number that divides both, in constant time.
    pub(super) fn gcd(&self, other: &Self) -> Result<Self, Refused> {
        let (common, scratch) = (Self::zero()?, Scratch::new()?);
        // SAFETY: all four are alive, and the result is none of the operands.
        done(unsafe { c::BN_gcd(common.get(), self.get(), other.get(), scratch.get()) })?;
        Ok(common)
    }

    /// One less.
    pub(super) fn less_one(&self) -> Result<Self, Refused> {
        let less = self.duplicate()?;
        // SAFETY: it is alive, and this is the only reference to it.
        done(unsafe { c::BN_sub_word(less.get(), 1) })?;
        Ok(less)
    }

    /// Itself times a word, and one more.
    pub(super) fn times_word_plus_one(&self, word: u64) -> Result<Self, Refused> {
        let more = self.duplicate()?;
        // SAFETY: it is alive, and this is the only reference to it.
        done(unsafe { c::BN_mul_word(more.get(), word) })?;
        // SAFETY: as above.
        done(unsafe { c::BN_add_word(more.get(), 1) })?;
        Ok(more)
    }

    /// The quotient by a word other than 0, and the remainder.
    pub(super) fn divided_by(&self, word: u64) -> Result<(Self, u64), Refused> {
        let quotient = self.duplicate()?;
        // SAFETY: it is alive, and this is the only reference to it.
        let remainder = unsafe { c::BN_div_word(quotient.get(), word) };
        // All ones stand for an error; a remainder is smaller than what it was divided by.
        if remainder < word { Ok((quotient, remainder)) } else { Err(Refused) }
    }

    /// Whether it is prime, by as many rounds of Miller–Rabin as the library asks of a candidate drawn at random.
    pub(super) fn is_prime(&self) -> Result<bool, Refused> {
        let scratch = Scratch::new()?;
        let mut prime: c_int = 0;
        // SAFETY: the number and the scratch space are alive; the answer is written to a local; no callback is given.
        done(unsafe {
            c::BN_primality_test(
                &raw mut prime,
                self.get(),
                ROUNDS_FOR_GENERATION,
                scratch.get(),
                0,
                std::ptr::null_mut(),
            )
        })?;
        Ok(prime == 1)
    }

    fn zero() -> Result<Self, Refused> {
        // SAFETY: takes nothing and returns a new number, of which we become the only owner.
        owned(unsafe { c::BN_new() })
    }

    fn duplicate(&self) -> Result<Self, Refused> {
        // SAFETY: it is alive; the result is a new number, of which we become the only owner.
        owned(unsafe { c::BN_dup(self.get()) })
    }

    fn get(&self) -> *mut c::BIGNUM {
        self.0.as_ptr()
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: it came from the library, was owned by us alone, and is used no more.
        unsafe { c::BN_clear_free(self.get()) }
    }
}

/// One power: the base to the exponent, modulo an odd modulus greater than the base.
pub(super) struct Power<'a> {
    pub base: &'a Number,
    pub exponent: &'a Number,
    pub modulus: &'a Number,
}

/// Two powers at once, in constant time. They are fastest where all six numbers are held in the same width.
pub(super) fn powers([one, two]: [Power<'_>; 2]) -> Result<[Number; 2], Refused> {
    let scratch = Scratch::new()?;
    let results = [Number::zero()?, Number::zero()?];
    let forms = [Montgomery::new(one.modulus, &scratch)?, Montgomery::new(two.modulus, &scratch)?];
    // SAFETY: all numbers, both forms and the scratch space are alive; the results are new and none of the operands;
    // each form was made for the modulus beside it.
    done(unsafe {
        c::BN_mod_exp_mont_consttime_x2(
            results[0].get(),
            one.base.get(),
            one.exponent.get(),
            one.modulus.get(),
            forms[0].0.as_ptr(),
            results[1].get(),
            two.base.get(),
            two.exponent.get(),
            two.modulus.get(),
            forms[1].0.as_ptr(),
            scratch.get(),
        )
    })?;
    Ok(results)
}

/// Memory that the library works in.
struct Scratch(NonNull<c::BN_CTX>);

impl Scratch {
    fn new() -> Result<Self, Refused> {
        // SAFETY: takes nothing and returns new memory, of which we become the only owner.
        NonNull::new(unsafe { c::BN_CTX_new() }).map(Self).ok_or(Refused)
    }

    fn get(&self) -> *mut c::BN_CTX {
        self.0.as_ptr()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: it came from the library, was owned by us alone, and is used no more.
        unsafe { c::BN_CTX_free(self.get()) }
    }
}

/// What the library precomputes for a modulus.
struct Montgomery(NonNull<c::BN_MONT_CTX>);

impl Montgomery {
    fn new(modulus: &Number, scratch: &Scratch) -> Result<Self, Refused> {
        // SAFETY: both are alive; the result is new, copies the modulus, and we become its only owner. An even modulus
        // is refused by the library.
        NonNull::new(unsafe { c::BN_MONT_CTX_new_consttime(modulus.get(), scratch.get()) }).map(Self).ok_or(Refused)
    }
}

impl Drop for Montgomery {
    fn drop(&mut self) {
        // SAFETY: it came from the library, was owned by us alone, and is used no more.
        unsafe { c::BN_MONT_CTX_free(self.0.as_ptr()) }
    }
}

fn owned(number: *mut c::BIGNUM) -> Result<Number, Refused> {
    NonNull::new(number).map(Number).ok_or(Refused)
}

fn done(status: c_int) -> Result<(), Refused> {
    if status == 1 { Ok(()) } else { Err(Refused) }
}

/// `BN_prime_checks_for_generation`: the library chooses by the size, and never fewer than 16.
const ROUNDS_FOR_GENERATION: c_int = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(value: u128) -> Number {
        Number::from_bytes(&value.to_be_bytes()).unwrap()
    }

    fn value(number: &Number) -> u128 {
        u128::from_be_bytes(number.to_bytes(16).unwrap()[..].try_into().unwrap())
    }

    fn gcd(a: u128, b: u128) -> u128 {
        if b == 0 { a } else { gcd(b, a % b) }
    }

    proptest! {
        #[test]
        fn it_counts_as_others_do(a: u64, b: u64, word in 1_u64..) {
            let (wide_a, wide_b) = (u128::from(a), u128::from(b));
            prop_assert_eq!(value(&number(wide_a).times(&number(wide_b)).unwrap()), wide_a * wide_b);
            prop_assert_eq!(value(&number(wide_a).gcd(&number(wide_b)).unwrap()), gcd(wide_a, wide_b));
            prop_assert_eq!(value(&number(wide_a).times_word_plus_one(b).unwrap()), wide_a * wide_b + 1);
            let (quotient, remainder) = number(wide_a * wide_b).divided_by(word).unwrap();
            prop_assert_eq!((value(&quotient), u128::from(remainder)), (wide_a * wide_b / u128::from(word), wide_a * wide_b % u128::from(word)));
            prop_assert_eq!(value(&number(wide_a + 1).less_one().unwrap()), wide_a);
        }

        #[test]
        fn powers_come_in_their_places(bases: [u64; 2], exponents: [u16; 2], moduli: [u64; 2]) {
            let wide = |number: u64| u128::from(number);
            let moduli = moduli.map(|modulus| modulus | 1 << 63 | 1);
            let held: Vec<[Number; 3]> = (0..2).map(|i| [bases[i] % moduli[i], exponents[i].into(), moduli[i]].map(|n| number(wide(n)))).collect();
            let power = |i: usize| Power { base: &held[i][0], exponent: &held[i][1], modulus: &held[i][2] };
            let raised = powers([power(0), power(1)]).unwrap();
            for i in 0..2 {
                let expected = (0..exponents[i]).fold(1, |product, _| product * wide(bases[i]) % wide(moduli[i]));
                prop_assert_eq!(value(&raised[i]), expected);
            }
        }
    }

    #[test]
    fn primes_are_told_from_what_only_looks_like_one() {
        let mersenne = |bits: u32| number((1 << bits) - 1);
        for bits in [61, 89, 107, 127] {
            assert!(mersenne(bits).is_prime().unwrap(), "2^{bits} - 1");
        }
        // Carmichael numbers pass Fermat's test to every base without a common divisor; 3215031751 fools the bases 2, 3, 5 and 7.
        for composite in [561, 1105, 3_215_031_751, 9_746_347_772_161] {
            assert!(!number(composite).is_prime().unwrap(), "{composite}");
        }
        assert!(!mersenne(61).times(&mersenne(61)).unwrap().is_prime().unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(number(256).to_bytes(1).is_err());
        let [even, one] = [number(10), number(1)];
        let power = || Power { base: &one, exponent: &one, modulus: &even };
        assert!(powers([power(), power()]).is_err(), "an even modulus");
    }
}
