//! The bundle: an exported store in one file, sealed to its readers and signed by its authority.
//!
//! # The file, version 3
//!
//! Numbers are unsigned and big-endian.
//!
//! | offset | length | what |
//! |--:|--:|---|
//! | 0 | 16 | `donjon-bundle/3` and a line feed; the digit is the version of the format |
//! | 16 | 4 | *E*, the length of the envelope, at most 32 MiB |
//! | 20 | *E* | the envelope: [DSSE](super::envelope), type `application/vnd.donjon.bundle+json`, over the [`Manifest`] |
//! | 20 + *E* | to the end | an age file (binary, `age-encryption.org/v1`, X25519 stanzas), named in the manifest by length and SHA-256 |
//!
//! Inside the age file:
//!
//! | offset | length | what |
//! |--:|--:|---|
//! | 0 | 14 | `donjon-body/1` and a line feed |
//! | 14 | 32 | the digest key |
//! | 46 | 32 | the receipt key |
//! | 78 | | for each entry of the manifest, in its order: 4 bytes *P*, *P* bytes of path, 8 bytes of version, 4 bytes *D*, *D* bytes of the record's JSON |
//!
//! Nothing follows the last record. An entry's `digest` in the manifest is the HMAC-SHA-256, in hexadecimal, under the
//! digest key, of: deployment, site, role, host (empty where there is none), path, each as 4 bytes of length and the
//! text; the version as 8 bytes; the record as 4 bytes of length and its JSON. So a value is bound to its name, site
//! and version, and whoever reads the manifest alone cannot try guesses against it. The receipt key proves in a
//! [receipt](super::receipt) that someone opened this very bundle.
//!
//! Who that was is proven, where there are several recipients, by a second key: the manifest holds, for each, 32 random
//! bytes in an age file sealed to that one alone, as base64 in `receipt_keys`. A recipient's own receipt key is the receipt
//! key and these bytes behind it. So one identity counts once, in however many folders it was imported, and none can answer
//! for another. A single recipient is the only one who has the receipt key, which is its own then: no bytes are behind it, and
//! `receipt_keys` is not there.
//!
//! Version 2 has `receipt_keys` of a single recipient, too. Version 1 has none at all, and its receipts show that some recipient
//! has opened it, and not which.
//!
//! What a bundle may hold is part of the format: one for a site what lies below `<deployment>/` and the epoch's record, the
//! custodians' any record of the deployment but those that [stay](super::private). Whoever signs a bundle says what values
//! are, and can put no key, mark or recipient beside them.
//!
//! Unknown fields in a manifest are refused: a change of format changes the first line. Every version that
//! was ever written stays readable, and a fixture of each is kept with the tests.
//!
//! # Reading
//!
//! ```text
//! bytes ──Sealed::parse──▶ Sealed ──verify──▶ Verified ──open──▶ Opened
//!         damaged           forged · damaged · foreign · stale     wrong identity · damaged
//! ```
//!
//! Each type can only be made by the check before it. Nothing is decrypted, and nothing is stored, before the
//! signature, the signer, the digest, the scope and the age of a bundle have been accepted.

mod body;
mod file;
mod manifest;
mod open;
mod recipients;
mod refusal;
mod seal;
#[cfg(test)]
mod tests;

pub use file::BundleFile;
pub(crate) use manifest::hexadecimal;
pub use manifest::{Entry, Epoch, Manifest, ManifestDigest, Scope};
pub(crate) use open::receipt_key_of;
pub use open::{Accepted, Checks, Expired, Opened, Record, Sealed, Verified};
pub use recipients::{Identities, IdentityError, RecipientError, Recipients, as_written};
pub use refusal::{Foreign, OpenError, Stale};
pub use seal::{Item, ReceiptKey, SealError, SealedBundle, Sealer, Signing};
