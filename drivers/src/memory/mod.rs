//! The process's memory: what is freed is wiped, and a few pages that nobody else can read. The one place with `unsafe`.

#![expect(
    unsafe_code,
    reason = "an allocator and mapped pages are unsafe by nature; the proofs stand beside each block"
)]

mod pages;
mod slots;
mod wiping;

pub use pages::Kind;
pub use slots::{SLOT, Slot, Slots};
pub use wiping::{Wiping, harden};
