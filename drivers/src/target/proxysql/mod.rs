//! ProxySQL in front of MariaDB: a path that knows its own password of each user.
//!
//! A proxy authenticates clients by its table `mysql_users` before it asks any server, and by that row it logs in to the
//! servers. So what it does not know no client can use, and where it holds one password for each user, a second one of the
//! server is never shown to it: there a rotation takes a twin, which the server gets first and the proxy then. ProxySQL 3 can
//! hold an additional password in a row's `attributes`; it is used where the deployment file says `additional_password: true`.
//!
//! What its administrators change is in three layers: the table in memory, what runs, and what lies on its disk. Each change
//! here is made in memory by hashes alone (`*…`, `mysql_native_password`), loaded (`LOAD MYSQL USERS TO RUNTIME`), saved
//! (`SAVE MYSQL USERS TO DISK`), and read back from what runs. LOAD takes the whole table, so a row of somebody else that is
//! in memory and does not run yet stops a rotation before it begins. A proxy that its deployer starts with `--initial` or
//! `--reload` reads its users from its file again: that file must have the new ones by then.
//!
//! One file per question: [`users`] what the proxy knows of a user and how that changes, [`session`] who is connected to it,
//! [`server`] the target.

mod options;
mod server;
mod session;
mod survey;
mod users;

pub(super) use options::DRIVER;
pub use server::{Member, ProxySql};
