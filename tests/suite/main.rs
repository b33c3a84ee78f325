//! The suite: one binary for every test that needs real parts.

mod catalogues;
mod existing;
mod exposure;
mod formats;
mod lifecycle;
mod services;
mod stores;
mod targets;
mod transfer;
mod vault_policies;
