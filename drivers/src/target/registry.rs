//! The table of target drivers.

use super::{Target, command, keystone, mariadb, proxysql, rabbitmq, redis, sshkeys};
use crate::registry::Table;
use std::sync::Arc;

/// Every target driver. Beside its options, each gets its name in the deployment file.
pub static TARGETS: Table<String, Arc<dyn Target>> = Table {
    family: "target",
    drivers: &[
        command::DRIVER,
        keystone::DRIVER,
        mariadb::DRIVER, // in the order of their names
        proxysql::DRIVER,
        rabbitmq::DRIVER,
        redis::DRIVER,
        sshkeys::DRIVER,
    ],
};
