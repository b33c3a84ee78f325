//! The process's memory: what is freed is wiped, a few pages that nobody else can read, and the program's own files.
//!
//! One of two places with `unsafe`; the other calls the cryptographic library (`broker/src/generation/rsa/power.rs`).

#![expect(
    unsafe_code,
    reason = "an allocator and mapped pages are unsafe by nature; the proofs stand beside each block"
)]

mod files;
mod pages;
mod slots;
mod wiping;

pub use files::Linked;
pub use pages::Kind;
pub use slots::{SLOT, Slot, Slots};
pub use wiping::{Wiping, harden};
