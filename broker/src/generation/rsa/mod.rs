//! RSA keys, exponent 65537: two primes as FIPS 186-5 A.1.3 draws them, put together and checked by the library.
//!
//! ```text
//! Chance ──▶ candidate ──sieve──▶ two at once ──Fermat──▶ Miller–Rabin ──▶ prime ─┐
//!            (independent)        (prime)                 (the library's)         ├─▶ key ──▶ PKCS#8, checked
//!                                                                          prime ─┘
//! ```
//!
//! `aws-lc-rs` makes a key of 4096 bits in about 0.6 s of one core, nearly all of it spent on candidates that are
//! composite: it tries them one by one, and divides by the first 1024 primes only. The same library raises two numbers
//! to their powers at once in wide registers, for RSA's two halves; here that rules out two candidates at once, and
//! the sieve is deeper, so that a key takes a quarter of the time. What remains is decided by the library's own
//! Miller–Rabin test with the number of rounds that it uses itself. Nothing is weaker: the sieve and Fermat's test
//! only ever reject, candidates are drawn independently of each other (so that what is rejected tells nothing of what
//! is kept), and all arithmetic on what is kept is the library's, in constant time.

mod key;
mod number;
mod prime;
mod sieve;

pub use key::{EXPONENT_BYTES, Key, Size, generate};
