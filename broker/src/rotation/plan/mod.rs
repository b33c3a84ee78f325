//! The plan: what would change, in which order, what restarts where, and what it costs. Pure: it looks at nothing outside.

mod credential;
mod proof;
mod roles;
mod rotation;
#[cfg(test)]
mod tests;
mod warnings;

pub use credential::{PlannedCredential, Unplannable};
pub use proof::consumers_provable;
pub use roles::restarts_readable;
pub use rotation::{Left, Plan, Planned, PlannedRotation, cut_off, kept_back, outage_accepted, plan};
pub use warnings::warnings;
