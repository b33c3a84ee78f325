//! RSA keys, exponent 65537: a search for primes of our own over AWS-LC's arithmetic.
//!
//! ```text
//! key ──▶ prime ──▶ division   residues modulo all odd primes below 2^16
//!  │        └─────▶ power      two powers at once, by AWS-LC, which keeps time and memory access free of the numbers
//!  └─────▶ number              the few sums that make a key of two primes
//! ```
//!
//! AWS-LC's own generator takes four times as long where the processor has AVX-512 IFMA, and 1.7 times elsewhere: it tests
//! one number at a time, after fewer divisions, and each of its rounds on a prime costs twice the power that it is about, to
//! hide how often 2 divides p-1.
//!
//! What may be seen from outside (time, branches, addresses) never depends on a prime that is kept:
//!
//! - Every candidate is fresh from [`Chance`](super::Chance), so what a refused one has shown tells nothing of the next.
//! - A candidate that is kept has passed every division and every test, so each of them ran to its end.
//! - Nothing divides by a secret or branches on one: words are multiplied, added and shifted, and the powers are the
//!   library's constant-time ones.

mod division;
mod key;
mod number;
mod power;
mod prime;

pub use key::{Key, Size, generate};
