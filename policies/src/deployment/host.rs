//! A host as the deployment file describes it: how it is reached, and from where its sessions come.

use super::driven::Setting;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A host: where commands run and consumers log in from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Host {
    /// The driver.
    pub driver: String,
    /// Where sessions of this host come from, as a target sees them. Empty: what [`Host::seen_from`] makes of it.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The driver's options, as they stand.
    #[serde(flatten)]
    pub options: BTreeMap<String, Setting>,
}

impl Host {
    /// Where sessions of this host come from: the `addresses` given, or else the `address` by which it is reached, or
    /// else, for the deployment host, its loopback addresses.
    pub fn seen_from(&self) -> Vec<&str> {
        match self.options.get("address") {
            _ if !self.addresses.is_empty() => self.addresses.iter().map(String::as_str).collect(),
            Some(Setting::Text(address)) => vec![address],
            Some(_) | None => LOOPBACK.to_vec(),
        }
    }
}

/// What a target calls a session from its own machine.
pub const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
