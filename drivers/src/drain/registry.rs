//! The table of drain drivers.

use super::{Drain, haproxy};
use crate::{host::Host, registry::Table};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What a drain is opened with beside its options.
#[derive(Clone)]
pub struct Place {
    /// The host of the instance, by its name in the deployment file.
    pub host_name: String,
    /// Every host of the deployment, `local` too: a proxy may run on another than the instance.
    pub hosts: Arc<BTreeMap<String, Arc<dyn Host>>>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_name)
    }
}

/// Every drain driver.
pub static DRAINS: Table<Place, Arc<dyn Drain>> = Table { family: "drain", drivers: &[haproxy::DRIVER] };
