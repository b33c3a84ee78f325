//! Any bytes for the receipt parser.
#![no_main]
#![expect(dead_code, reason = "the other targets drive the others")]

#[path = "../drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::receipt(data));
