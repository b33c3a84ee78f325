//! What a driver opens, as it stands in the deployment file: the driver's name and its options.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Something that a driver opens: the driver's name and its options.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Driven {
    /// The driver.
    pub driver: String,
    /// Its options, as they stand.
    #[serde(flatten)]
    pub options: BTreeMap<String, Setting>,
}

/// An option's value as it stands in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected text, a whole number, a truth value, a list or a map")]
pub enum Setting {
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Setting>),
    /// A map.
    Map(BTreeMap<String, Setting>),
}
