//! Powers by AWS-LC: the one place that calls the library past its safe face, which has no such function.

#![expect(unsafe_code, reason = "the library is C; what it asks of its callers is kept beside each call")]

use super::number::Number;
use crate::generation::GenerationError;
use aws_lc_sys::{
    BIGNUM, BN_CTX, BN_CTX_free, BN_CTX_new, BN_MONT_CTX, BN_MONT_CTX_free, BN_MONT_CTX_new_consttime, BN_bn2le_padded,
    BN_clear_free, BN_le2bn, BN_mod_exp_mont_consttime_x2, BN_new,
};
use std::ptr::NonNull;
use zeroize::Zeroizing;

/// A power to be found. All three of as many words, the modulus is odd and the base below it.
#[derive(Clone, Copy)]
pub(super) struct Power<'a> {
    pub(super) base: &'a Number,
    pub(super) exponent: &'a Number,
    pub(super) modulus: &'a Number,
}

/// Two powers whose moduli are equally long, which together take little longer than one where the processor has AVX-512 IFMA.
///
/// Neither time nor addresses depend on anything but the lengths: each number keeps its whole length, leading zeros too.
pub(super) fn two(powers: [Power<'_>; 2]) -> Result<[Number; 2], GenerationError> {
    let [one, other] = &powers;
    let context = Context::new()?;
    let mut ready = [Ready::new(one, &context)?, Ready::new(other, &context)?];
    let [a, b] = &mut ready;
    // SAFETY: all pointers are those of live owners, of the types that the function asks for; the results are numbers of
    // their own, borrowed for this call alone. Whatever it refuses, such as an even modulus, it refuses by its answer.
    let answer = unsafe {
        BN_mod_exp_mont_consttime_x2(
            a.result.at(),
            a.base.seen(),
            a.exponent.seen(),
            a.modulus.seen(),
            a.form.0.as_ptr(),
            b.result.at(),
            b.base.seen(),
            b.exponent.seen(),
            b.modulus.seen(),
            b.form.0.as_ptr(),
            context.0.as_ptr(),
        )
    };
    if answer != 1 {
        return Err(REFUSED);
    }
    Ok([a.result.number(one.modulus.words().len())?, b.result.number(other.modulus.words().len())?])
}

/// The library says no more than that something went wrong: for numbers as above, that there is no memory.
const REFUSED: GenerationError = GenerationError::Key("RSA key");

/// What a power is made of, and where it goes.
struct Ready {
    result: Owned,
    base: Owned,
    exponent: Owned,
    modulus: Owned,
    form: Form,
}

impl Ready {
    fn new(power: &Power<'_>, context: &Context) -> Result<Self, GenerationError> {
        let modulus = Owned::of(power.modulus)?;
        Ok(Self {
            result: Owned::new()?,
            base: Owned::of(power.base)?,
            exponent: Owned::of(power.exponent)?,
            form: Form::of(&modulus, context)?,
            modulus,
        })
    }
}

/// A number of the library's, cleared when it is freed.
struct Owned(NonNull<BIGNUM>);

impl Owned {
    fn new() -> Result<Self, GenerationError> {
        // SAFETY: it takes nothing, and gives a number of which nobody else knows, or null.
        NonNull::new(unsafe { BN_new() }).map(Self).ok_or(REFUSED)
    }

    fn of(number: &Number) -> Result<Self, GenerationError> {
        let (mut owned, bytes) = (Self::new()?, number.bytes());
        // SAFETY: the bytes are read during the call, as many as there are, and the number is this function's own.
        let same = unsafe { BN_le2bn(bytes.as_ptr(), bytes.len(), owned.at()) };
        if same.is_null() { Err(REFUSED) } else { Ok(owned) }
    }

    /// As one of so many words.
    fn number(&self, words: usize) -> Result<Number, GenerationError> {
        let mut bytes = Zeroizing::new(vec![0; words * 8]);
        // SAFETY: it writes as many bytes as it is told to, which are there, or refuses.
        let answer = unsafe { BN_bn2le_padded(bytes.as_mut_ptr(), bytes.len(), self.seen()) };
        if answer == 1 { Ok(Number::from_bytes(&bytes)) } else { Err(REFUSED) }
    }

    fn at(&mut self) -> *mut BIGNUM {
        self.0.as_ptr()
    }

    fn seen(&self) -> *const BIGNUM {
        self.0.as_ptr()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: this is its only owner, and it is used no more.
        unsafe { BN_clear_free(self.at()) }
    }
}

/// A modulus in Montgomery's form, found without showing the modulus.
struct Form(NonNull<BN_MONT_CTX>);

impl Form {
    fn of(modulus: &Owned, context: &Context) -> Result<Self, GenerationError> {
        // SAFETY: both are live; the form keeps a copy of the modulus. Zero or an even modulus gives null.
        NonNull::new(unsafe { BN_MONT_CTX_new_consttime(modulus.seen(), context.0.as_ptr()) }).map(Self).ok_or(REFUSED)
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        // SAFETY: as above. The library clears all memory that it frees.
        unsafe { BN_MONT_CTX_free(self.0.as_ptr()) }
    }
}

/// The library's room for numbers in between.
struct Context(NonNull<BN_CTX>);

impl Context {
    fn new() -> Result<Self, GenerationError> {
        // SAFETY: as for a new number.
        NonNull::new(unsafe { BN_CTX_new() }).map(Self).ok_or(REFUSED)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: as above; it clears its numbers too.
        unsafe { BN_CTX_free(self.0.as_ptr()) }
    }
}

/// What the library's own test says of a number, for tests of ours.
#[cfg(test)]
pub(super) fn library_finds_prime(number: &Number) -> bool {
    let owned = Owned::of(number).unwrap();
    // SAFETY: the number is live; without a context it makes one, and without a callback it calls none. 0: as many rounds as
    // the library itself makes for a new key.
    let answer =
        unsafe { aws_lc_sys::BN_is_prime_fasttest_ex(owned.seen(), 0, std::ptr::null_mut(), 1, std::ptr::null_mut()) };
    assert!(answer >= 0, "there is memory");
    answer == 1
}
