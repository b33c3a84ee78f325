//! Sources: what oslo.config and castellan themselves make of a configuration, and what Donjon does.
//!
//! ```text
//! generate ─ Case ─┬─ oracle.py ─ the real oslo.config and castellan ─┐
//!        (seed)    └─ ours ────── donjon_drivers::source ─────────────┴─ differential: equal, or an allowed difference
//! ```

mod beside;
mod case;
mod differences;
mod differential;
mod generate;
mod oracle;
mod ours;
mod package;
mod reasons;
mod scene;
mod secret_options;
mod words;
