//! Keystone: users with one password each, changed over the identity API v3 by an administrator.
//!
//! A user has **one** value, and setting it ends every token that the user was given before, and those that it is given
//! in the same second, since Keystone counts in whole ones: a rotation by `cutover` shows as one 401 to whoever holds
//! such a token, and as refused logins to whoever still has the old value. A rotation by `dual-user` has neither: the
//! twin is a second user with the same assignments, and the old user's tokens live until it is removed. What belongs to
//! a user by its id has no twin (trusts, application credentials, EC2 credentials), so a user that has such is refused one.
//!
//! The API tells whether a user is enabled and whether its value has expired, but neither the rules for values
//! (`[security_compliance]`) nor that too many wrong ones have locked a user: a locked user is refused like any other.
//! [`tries`] therefore keeps this driver below the server's limit, once it is told, and does not take a refusal of the
//! value that was the right one a moment ago for proof.
//!
//! One file per question: [`request`] what is sent, [`api`] how it is asked and answered, [`session`] as whom, [`user`]
//! what a user is and how it changes, [`rights`] what it may do; [`survey`], [`twin`] and [`login`] for what is asked of a
//! target.

mod api;
mod login;
mod options;
mod request;
mod rights;
mod server;
mod session;
mod survey;
mod tries;
mod twin;
mod user;

pub(super) use options::DRIVER;
pub use server::{Administration, Keystone, Limits, Lockout, Member, Scope};
