//! Making secrets: from a recipe to bytes, from a catalogue to a store.
//!
//! ```text
//! Catalogue ──plan──▶ Plan ──run──▶ value::make ──▶ Store (Expected::Absent, read back)
//!                                      │
//!                                      ├─ text     letters, hex, UUIDs, Fernet, cephx, …
//!                                      └─ ssh      ed25519, RSA ◀─ rsa (a search for primes), or begun before: reserve
//! ```
//!
//! Every bit of chance comes from the operating system by way of [`Chance`], so that tests can fix it.

pub mod chance;
pub mod plan;
pub mod reserve;
pub mod rsa;
pub mod run;
pub mod ssh;
pub mod text;
pub mod value;

pub use chance::{Chance, ChanceError, System};
pub use plan::{Making, Plan, PlanError, plan};
pub use reserve::Reserve;
pub use run::{Progress, Report, RunError, Step, World, run};
pub use value::{GenerationError, make};
