//! All secrets of a deployer: what each one is, who reads it, and how it can change.
//!
//! ```text
//! catalogues/*.yaml ──document::read──▶ tree with lines ──read──▶ Catalogue ──▶ Entry
//!                                            │                      │            ├ Recipe, Class
//!                                            └──── every Fault ─────┘            ├ Credential (target, strategy, accounts)
//!                                                                                ├ consumers, restart set
//!                                                                                └ Sink, aliases, notes
//! ```
//!
//! A file has six parts:
//!
//! ```yaml
//! deployer: kolla-ansible            # its name
//! recipe: alphanumeric 40            # for every secret that names none
//! services:                          # consumers, and what restarts for each
//!   aodh: [aodh_api, aodh_listener]
//! sinks:                             # files that hold a value in clear, by name
//!   galera: { path: /etc/kolla/mariadb/galera.cnf, mode: 660, medium: disk, writer: deployer, option: wsrep_sst_auth }
//! classes:                           # what the secrets of a class have in common: recipe, credentials, sinks
//!   database-user: { credentials: [{ target: mariadb, strategy: dual-password, phase: 2 }] }
//! secrets:                           # one entry each; `restart` is that of its consumers unless given
//!   aodh_database_password: { class: database-user, accounts: [aodh], consumers: [aodh] }
//! older:                             # accepted on import, never generated or rotated
//!   trove_password: { class: service-user }
//! ```

mod entry;
mod fault;
mod fields;
mod lookup;
mod read;
mod read_entry;
mod sink;

pub use entry::{Account, Class, Credential, Entry, Phase, Standing, TargetKind};
pub use fault::{CatalogueError, Fault};
pub use lookup::{Catalogue, EMBEDDED};
pub use sink::{Medium, Mode, Sink, Writer};
