//! The table of keyring drivers.

use super::{Keyring, repository};
use crate::{host::Host, registry::Table};
use std::{collections::BTreeMap, sync::Arc};

/// What a keyring is opened with beside its options.
#[derive(Clone)]
pub struct Place {
    /// The hosts of the deployment file, by name.
    pub hosts: Arc<BTreeMap<String, Arc<dyn Host>>>,
}

/// Every keyring driver.
pub static KEYRINGS: Table<Place, Arc<dyn Keyring>> = Table { family: "keyring", drivers: &[repository::DRIVER] };
