//! Any bytes for the INI parser.
#![no_main]
#![expect(dead_code, reason = "the other targets drive the others")]

#[path = "../drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::ini(data));
