//! MariaDB and Galera: accounts that accept two values at once, changed by hashes alone.
//!
//! One file per question: [`hash`](hash) what the server stores of a value, [`privilege`] what it stores of an account,
//! [`statement`] how an account is changed, [`entry`] which account a login from an address meets, [`way`] how a node is
//! reached from such an address, [`connection`] what is said over it within its time; and [`survey`], [`declare`],
//! [`login`], [`session`] for the four things that a target is asked. Where a proxy in front holds one value per user, an
//! account gets a [`twin`], whose rights are those of the original as the server tells them ([`grant`]). Changes are made under
//! a lock, so that a broker that stalled cannot make one late ([`hold`]). Its [`own`] sessions prove nothing. Who was
//! refused is read in a node's [`log`] ([`knock`]).

pub(crate) mod connection;
mod declare;
mod entry;
mod grant;
pub(super) mod hash;
mod hold;
mod knock;
mod log;
mod login;
mod options;
mod own;
mod privilege;
pub(super) mod server;
mod session;
mod statement;
mod survey;
mod twin;
pub(crate) mod way;

pub use log::Log;
pub(super) use options::DRIVER;
pub use server::{Limits, MariaDb, Member};
