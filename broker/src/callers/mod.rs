//! Who else may read: services of other users, known by the kernel alone, with no credential on disk.
//!
//! ```text
//! lookup socket ──▶ Peer (uid, groups by the kernel; cgroup) ──▶ Limits ──▶ Callers::decide ──▶ the role that reads
//! ```
//!
//! A role of the deployment file names its users and groups. Its units narrow it: a caller of the right user outside of them
//! is nobody. What no role grants is refused, also the question whether it is there.

mod accounts;
mod grants;
mod limits;
mod peer;

pub use accounts::{Accounts, GROUPS, USERS, User};
pub use grants::{Callers, Denied};
pub use limits::{Limits, Standing, Within};
pub use peer::Peer;
