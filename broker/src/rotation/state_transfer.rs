//! The account by which Galera nodes fetch a full copy from each other: best one that a node's own socket lets in.
//!
//! Its password would stand in each node's configuration (`wsrep_sst_auth`), and each rotation would have to change all of
//! them. The donor runs `mariadb-backup` as the system's user of the server, so that `unix_socket` is enough. What is
//! configured no server tells, asterisks stand there; so the account is looked for, not its use.

use donjon_drivers::target::Account;
use donjon_policies::name::{SecretName, TargetName};

/// The system's user of the server, and the account of that name.
pub const USER: &str = "mysql";

/// What makes that account, once for the cluster: what `mariadb-backup` needs of a donor.
pub const ACCOUNT: [&str; 2] = [
    "CREATE USER IF NOT EXISTS mysql@localhost IDENTIFIED VIA unix_socket",
    "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO mysql@localhost",
];

/// What makes a node use it from now on; its configuration file makes it do so later.
pub const USE: &str = "SET GLOBAL wsrep_sst_auth = 'mysql:'";

/// The line of a node's configuration, in place of that with the value.
pub const LINE: &str = "wsrep_sst_auth=mysql:";

/// What a plan says beside a secret that nodes fetch a full copy with.
pub fn advice(secret: &SecretName) -> String {
    format!(
        "it stands in each node's configuration (wsrep_sst_auth); an account that the node's socket lets in (unix_socket) \
         needs no value there: `donjon doctor {secret}` says what to type"
    )
}

/// What the doctor says where such a secret has a value.
pub fn found(target: &TargetName) -> String {
    format!(
        "the nodes of `{target}` fetch full copies from each other with this value, which so stands in the configuration of \
         each (wsrep_sst_auth); an account that the node's own socket lets in needs none, and nothing there has to be \
         rotated or rendered"
    )
}

/// What is said of accounts that have no value.
pub fn nothing_to_rotate(target: &TargetName, accounts: &[Account]) -> String {
    let accounts = accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "`{target}` lets {accounts} in by the node's own socket (unix_socket): there is no value, so nothing is rotated and \
         nothing rendered"
    )
}
