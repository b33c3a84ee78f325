//! RabbitMQ: one value per user, so a second user with the same rights takes its place (`dual-user`).
//!
//! Users are changed through the management API by `password_hash`, so that no value stands in a request, a log or a
//! file of the server. Who administers shows a value to the API as every client of HTTP Basic does; give `tls_ca` where
//! the network is not trusted.
//!
//! A login is proven by AMQP itself, the protocol of the consumers: the API lets in only users with a management tag, and
//! `rabbitmqctl authenticate_user` takes the value as an argument or asks a person. The handshake is four frames long
//! ([`amqp`]), too short for a client library whose buffers would keep the value.
//!
//! One file per question: [`hash`] what the server stores of a value, [`api`] how it is asked, [`amqp`] how a client logs
//! in, [`survey`] what is there, [`user`] how a user is made to accept a value, [`twin`] how it gets the rights of
//! another, [`session`] who is connected since when.

mod amqp;
mod api;
mod hash;
mod options;
mod server;
mod session;
mod survey;
mod twin;
mod user;

pub(super) use options::DRIVER;
pub use server::{Limits, Member, RabbitMq};
