//! The table of service drivers.

use super::{Service, command, container, place::Place, systemd};
use crate::registry::Table;
use std::sync::Arc;

/// Every service driver.
pub static SERVICES: Table<Place, Arc<dyn Service>> =
    Table { family: "service", drivers: &[systemd::DRIVER, container::DRIVER, command::DRIVER] };
