//! The table of host drivers.

use super::{Host, local, ssh};
use crate::registry::Table;
use std::{path::PathBuf, sync::Arc};

/// What a host is opened with beside its options.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name in the deployment file.
    pub name: String,
    /// A folder of this user alone for the sockets of connections; its path at most 45 bytes long.
    pub control: PathBuf,
}

/// Opens a host of the deployment by its name; on error, what is wrong with what the deployment file says of it.
pub type ByName = Arc<dyn Fn(&str) -> Result<Arc<dyn Host>, String> + Send + Sync>;

/// Every host driver.
pub static HOSTS: Table<Place, Arc<dyn Host>> = Table { family: "host", drivers: &[local::DRIVER, ssh::DRIVER] };
