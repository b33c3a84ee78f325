//! Redis and Valkey: ACL users that accept several values at once, changed by hashes alone, on every node.
//!
//! A node keeps its users to itself: none of a change reaches its replicas, so each node is told. One command makes a user
//! accept exactly the wanted hashes; `requirepass` is never set, which would drop every other value. What replicas log in
//! with (`masterauth`) follows where this user is the one they log in as, once all nodes accept it and before any refuses the
//! one before; the server knows it in plaintext alone, so it is sent as it is, and stands in the file of a server that keeps
//! its settings there.
//!
//! The protocol is spoken here ([`resp`]): it is some forty lines, and a client library would keep values in buffers and
//! settings of its own.
//!
//! One file per question: [`connection`] how a node is spoken to, [`user`] what it stores of a user, [`declare`] how that
//! is changed, [`keep`] how it survives a restart, [`sentinel`] who watches, [`survey`] what is there, [`session`] who is
//! connected.

mod connection;
mod declare;
mod keep;
mod options;
mod resp;
mod sentinel;
mod server;
mod session;
mod survey;
mod user;

pub(super) use options::DRIVER;
pub use sentinel::Sentinel;
pub use server::{Limits, Member, Redis};
