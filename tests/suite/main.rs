//! The suite: one binary for every test that needs real parts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics where it stands")]

mod bad_input;
mod catalogues;
mod existing;
mod exposure;
mod formats;
mod lifecycle;
mod rotation;
mod services;
mod reader;
mod stores;
mod targets;
mod transfer;
mod vault_policies;
