//! The suite: one binary for every test that needs real parts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics where it stands")]

mod ansible;
mod authority;
mod bad_input;
mod catalogues;
mod checks;
mod deployer;
mod doctor;
mod drains;
mod drivers;
mod edges;
mod existing;
mod exposure;
mod folder;
mod formats;
mod full;
mod generation;
mod identity;
mod inventory;
mod keyring;
mod kills;
mod lifecycle;
mod paths;
mod reader;
mod restarts;
mod rotation;
mod scan;
mod schedules;
mod services;
mod settings;
mod site;
mod sources;
mod stores;
mod targets;
mod transfer;
mod vault_policies;
