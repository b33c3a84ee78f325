//! The table of target drivers.

use super::{Target, command, keystone, mariadb, proxysql, rabbitmq, redis, sshkeys};
use crate::{host::registry::ByName, registry::Table};
use std::sync::Arc;

/// What a target is opened with beside its options.
pub struct Place {
    /// Its name in the deployment file.
    pub name: String,
    /// The hosts of the deployment. One that nothing asks for is not opened.
    pub hosts: ByName,
}

/// Every target driver.
pub static TARGETS: Table<Place, Arc<dyn Target>> = Table {
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
