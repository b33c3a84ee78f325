//! Push: everything into a Vault cluster that is there, and the authority with it.
//!
//! ```text
//! compare ──▶ mount, policies, AppRoles ──▶ copy ──▶ fence here ──▶ copy what changed ──▶ read all back
//!                                                                        │
//!                 moved here ◀── here there ◀── new key there, signed by the old one
//! ```
//!
//! Each write is compare-and-set and each step can be done again: a push that was interrupted anywhere is begun anew
//! with the same command, finds what is done, and does the rest. Two at once, or one that is taken back meanwhile, are told
//! apart by the mark there, which has to be the one that this push has claimed the place with. Records keep their version numbers, so labels,
//! journals and receipts mean the same there. Signing keys stay: the new store makes its own.

mod cancel;
mod carry;
mod compare;
mod destination;
mod error;
mod fill;
mod grants;
mod logins;
mod revoke;
mod sides;

pub use cancel::{OtherEnd, cancel, cancel_own, release};
pub use carry::{POINTS, Pushed, Pushing, Stand, WithCredentials, push, stand};
pub use compare::{Change, Compared};
pub use destination::{Destination, Named};
pub use error::{PushError, Side};
pub use grants::{Credential, Grant, GrantChange};
pub use revoke::Revoked;

#[cfg(test)]
mod tests;
