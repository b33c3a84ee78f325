//! The restart planner: in which order, and how many at once, the instances of services restart.
//!
//! A plan is a list of [`Step`]s. What stands in one step may restart at the same time; a step begins once every
//! instance of the one before is proven. For each plan that [`plan`] makes:
//!
//! - each instance (a service on a host) stands in it exactly once, however many secrets the service reads;
//! - a service begins once all services of a lower `order`, and all it is `after`, through others too, are done;
//! - where the operator left two services equal, those whose secrets the catalogue puts into an earlier wave go first;
//! - the first host of a service goes alone as its canary (`canary: false` turns that off), then at most `batch`;
//! - never two members of one quorum group: two Galera nodes, whatever the services are called.
//!
//! Independent services share steps. [`back`] is the way back: the instances that were touched, dependants first, under
//! the same batches and quorum groups, and without canaries, since the previous value is known to work. It answers for
//! any deployment file, also one that has changed since: who goes back must not be stopped by a mistake elsewhere.
//!
//! The algorithm is list scheduling (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969) over Kahn's
//! topological order (A. B. Kahn, "Topological sorting of large networks", 1962), a quorum group being a resource of
//! which there is one: in each step, every service that waits for nothing takes as many hosts as it may, by name. Equal
//! input gives an equal plan. Its time is linear in instances plus steps times the services of one order.

mod mistake;
mod plan;
mod schedule;
mod step;
mod waves;

pub use mistake::{Mistake, mistakes};
pub use plan::{back, plan, plan_in_waves};
pub use step::{Instance, Step};
pub use waves::waves;

#[cfg(test)]
mod tests;
