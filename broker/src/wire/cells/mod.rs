//! nova's cell mappings: URLs whose user and password become fields that nova fills from its own settings.
//!
//! nova formats each URL whenever it reads one: [`setting`] is what it takes from its settings for that, [`format`] how. Only the
//! credentials become fields ([`template`]): scheme, host, database and query of a row stay its own, `nova_cell0` for one. So a
//! row says the same before and after, and follows when a password or a user name changes.

pub mod format;
pub mod setting;
pub mod template;
