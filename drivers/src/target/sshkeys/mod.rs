//! SSH keys: `authorized_keys` of a user on every node, where a new key is appended, switched to, and the old one pruned.
//!
//! A value is a private key as OpenSSH writes it. Only public keys ever go to a node. Donjon's own lines bear the comment
//! `donjon:TARGET`; a line of someone else stays as it is, byte for byte, unless it holds one of the declared keys: then it
//! becomes one of these, and its options (`from=…`, `command=…`) are those of the keys that follow.
//!
//! The administrator is a user whom the nodes let in by key, as they let in the users themselves: the operator's own
//! connections and agents take no part, so that a login proves what it seems to. Another user's file is changed as that
//! user (`runuser`), so that no link in a home can point elsewhere.
//!
//! The system's OpenSSH is the client. It gets a key from an agent of its own, which hears it by a pipe, holds it for one
//! call and ends with it; no key is on disk.
//!
//! Who is connected is not told: consumers are proven by their own checks.

mod client;
mod file;
mod key;
mod options;
mod place;
mod server;

pub(super) use options::DRIVER;
pub use server::{Member, Settings, SshKeys};
