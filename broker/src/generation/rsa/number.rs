//! Natural numbers of a fixed count of words: what is done with them takes a time that depends on that count alone.

use zeroize::Zeroizing;

/// A number, least significant word first, wiped when it is let go.
#[derive(Clone)]
pub(super) struct Number(Zeroizing<Vec<u64>>);

impl Number {
    /// Of whole words, least significant byte first.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        Self(Zeroizing::new(words.collect()))
    }

    /// A small number among those of `words` words.
    pub(super) fn small(value: u64, words: usize) -> Self {
        let mut number = Self::zero(words);
        number.0[0] = value;
        number
    }

    fn zero(words: usize) -> Self {
        Self(Zeroizing::new(vec![0; words]))
    }

    /// Its words, least significant first.
    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    /// Its words, to be changed in place.
    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// Its bytes, least significant first.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len() * 8));
        self.0.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes
    }

    /// Its bytes, most significant first.
    pub(super) fn bytes_reversed(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = self.bytes();
        bytes.reverse();
        bytes
    }

    /// Half of it, rounded down.
    pub(super) fn half(&self) -> Self {
        let mut half = self.clone();
        for (index, word) in half.0.iter_mut().enumerate() {
            let above = self.0.get(index + 1).copied().unwrap_or(0);
            *word = *word >> 1 | above << 63;
        }
        half
    }

    /// The difference to one of as many words, and whether that was the larger: then 2^(64·words) has been added.
    pub(super) fn minus(&self, other: &Self) -> (Self, bool) {
        let mut difference = self.clone();
        let mut borrow = false;
        for (word, less) in difference.0.iter_mut().zip(other.words()) {
            (*word, borrow) = word.borrowing_sub(*less, borrow);
        }
        (difference, borrow)
    }

    /// One or two less than it: never more than it is.
    pub(super) fn less(&self, word: u64) -> Self {
        self.minus(&Self::small(word, self.0.len())).0
    }

    /// The product, as long as both together.
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = Self::zero(self.0.len() + other.0.len());
        for (shift, factor) in other.words().iter().enumerate() {
            let mut carry = 0;
            for (index, word) in self.words().iter().enumerate() {
                let sum = &mut product.0[shift + index];
                (*sum, carry) = word.carrying_mul_add(*factor, *sum, carry);
            }
            product.0[shift + self.0.len()] = carry;
        }
        product
    }

    /// `1 + factor · self`, a word longer.
    pub(super) fn times_and_one(&self, factor: u64) -> Self {
        let mut sum = self.times(&Self::small(factor, 1));
        let mut carry = true;
        for word in sum.0.iter_mut() {
            (*word, carry) = word.overflowing_add(u64::from(carry));
        }
        sum
    }

    /// The quotient by an odd word that divides it, a word shorter: from the least significant word up, by multiplying with
    /// the inverse modulo 2^64.
    pub(super) fn over(&self, divisor: u64) -> Self {
        let inverse = inverse(divisor);
        let mut quotient = self.clone();
        let mut carry = 0;
        for word in quotient.0.iter_mut() {
            let (rest, borrow) = word.overflowing_sub(carry);
            *word = rest.wrapping_mul(inverse);
            carry = word.carrying_mul(divisor, 0).1 + u64::from(borrow);
        }
        quotient.0.pop();
        quotient
    }
}

/// The inverse of an odd word modulo 2^64: an odd number is its own to three bits, and each step doubles how many are right.
pub(super) const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide(value: u128) -> Number {
        Number::from_bytes(&value.to_le_bytes())
    }

    fn value(number: &Number) -> u128 {
        number.words().iter().rev().fold(0, |value, word| value << 64 | u128::from(*word))
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_processor(a: u128, b: u128, odd: u64) {
            let odd = odd | 1;
            prop_assert_eq!(value(&wide(a)), a);
            prop_assert_eq!(value(&wide(a).half()), a >> 1);
            let (difference, borrow) = wide(a).minus(&wide(b));
            prop_assert_eq!((value(&difference), borrow), (a.wrapping_sub(b), a < b));
            prop_assert_eq!(value(&wide(a | 2).less(2)), (a | 2) - 2);
            let (a, b) = (a as u64, b as u64);
            prop_assert_eq!(value(&Number::small(a, 1).times(&Number::small(b, 1))), u128::from(a) * u128::from(b));
            prop_assert_eq!(value(&Number::small(a, 1).times_and_one(b)), u128::from(a) * u128::from(b) + 1);
            let multiple = u128::from(a) * u128::from(odd);
            prop_assert_eq!(value(&wide(multiple).over(odd)), u128::from(a));
            prop_assert_eq!(odd.wrapping_mul(inverse(odd)), 1);
        }

        /// (a·x + b)·y = a·x·y + b·y where the numbers are long, and a division undoes a product.
        #[test]
        fn long_products_keep_the_laws(x in any::<[u64; 5]>(), y in any::<[u64; 7]>(), odd: u64) {
            let odd = odd | 1;
            let number = |words: &[u64]| Number::from_bytes(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
            let (x, y) = (number(&x), number(&y));
            let (one, other) = (x.times(&y), y.times(&x));
            prop_assert_eq!(one.words(), other.words());
            let multiple = one.times(&Number::small(odd, 1));
            let back = multiple.over(odd);
            prop_assert_eq!(back.words(), one.words());
            let more = x.times_and_one(odd);
            let (rest, borrow) = more.minus(&x.times(&Number::small(odd, 1)));
            prop_assert!(!borrow && value(&rest) == 1 && rest.words()[1..].iter().all(|word| *word == 0));
            prop_assert_eq!(x.bytes().iter().rev().copied().collect::<Vec<_>>(), x.bytes_reversed().to_vec());
        }
    }
}
