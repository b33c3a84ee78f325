//! Runs `ansible-inventory` and sorts what it found.

use super::variables::{Variables, host};
use crate::{
    host::{HostError, local},
    material::Material,
};
use donjon_policies::{
    deployment::{Host, Inventory},
    name::HostName,
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// What an inventory has.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// The hosts that can be reached as it says.
    pub hosts: BTreeMap<HostName, Host>,
    /// The others, by the name in the inventory, with every reason.
    pub refused: BTreeMap<String, Vec<String>>,
}

/// Why an inventory was not read.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The program did not run to its end.
    #[error("cannot read the inventory {file}")]
    Host {
        /// The inventory.
        file: String,
        /// Why.
        source: HostError,
    },
    /// The program says that the inventory is no good.
    #[error("cannot read the inventory {file}: {what}")]
    Refused {
        /// The inventory.
        file: String,
        /// What it said, or how it ended.
        what: String,
    },
    /// What the program printed is not understood.
    #[error("cannot read the inventory {file}: what {program} printed does not read")]
    Unreadable {
        /// The inventory.
        file: String,
        /// The program.
        program: String,
    },
}

/// Reads an inventory.
pub async fn read(inventory: &Inventory) -> Result<Found, InventoryError> {
    let Inventory { file, program, dynamic } = inventory;
    // Not where the daemon happens to be: Ansible would read a configuration there.
    let mut words = vec!["env", "--chdir=/"];
    words.extend(CLOSED);
    if !dynamic {
        words.push(STATIC);
    }
    words.extend([program, "--list", "--inventory", file]);
    let ended = local::run("the deployment host", &words, &[], None, WITHIN, MOST).await;
    let output = ended.map_err(|source| InventoryError::Host { file: file.clone(), source })?;
    let refused = |what: String| InventoryError::Refused { file: file.clone(), what };
    match output.code {
        Some(0) => found(&output.out)
            .ok_or_else(|| InventoryError::Unreadable { file: file.clone(), program: program.clone() }),
        Some(127) => Err(refused(format!("there is no program {program}"))),
        Some(code) => Err(refused(said(&output.err).unwrap_or_else(|| format!("{program} ended with {code}")))),
        None => Err(refused(format!("{program} was ended by a signal"))),
    }
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(flatten)]
    groups: BTreeMap<String, Group>,
}

#[derive(Deserialize)]
struct Meta {
    hostvars: BTreeMap<String, Variables>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    hosts: Vec<String>,
}

fn found(out: &Material) -> Option<Found> {
    // EXPOSE: an inventory, whose variables may hold secrets; those about the connection alone are kept
    let Listed { meta, groups } = serde_json::from_slice(out.expose()).ok()?;
    // A host without variables stands in its groups alone.
    let mut all: BTreeMap<String, Variables> =
        groups.into_values().flat_map(|group| group.hosts).map(|name| (name, Variables::default())).collect();
    all.extend(meta.hostvars);
    let mut found = Found::default();
    for (name, variables) in all {
        let described = host(&name, variables);
        match (name.parse(), described) {
            (Ok(name), Ok(host)) => drop(found.hosts.insert(name, host)),
            (Ok(_), Err(reasons)) => drop(found.refused.insert(name, reasons)),
            (Err(error), _) => drop(found.refused.insert(name, vec![error.to_string()])),
        }
    }
    Some(found)
}

/// The last that Ansible says of an error. It quotes no values of variables there.
fn said(err: &str) -> Option<String> {
    let line = err.lines().map(str::trim).rfind(|line| line.contains("ERROR"))?;
    let what = line.trim_start_matches("[ERROR]:").trim_start_matches("ERROR!").trim();
    Some(what.chars().take(200).collect())
}

/// An inventory that cannot be read, or only in part, is an error; nothing is printed in colour.
const CLOSED: [&str; 3] =
    ["ANSIBLE_INVENTORY_UNPARSED_FAILED=True", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=True", "ANSIBLE_NOCOLOR=1"];

/// No program is run, whatever a configuration of Ansible's says.
const STATIC: &str = "ANSIBLE_INVENTORY_ENABLED=ini,yaml";

const WITHIN: Duration = Duration::from_secs(120);

/// Thousands of hosts with all the variables of their groups.
const MOST: u64 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Option<Found> {
        found(&Material::from(text.to_owned()))
    }

    #[test]
    fn hosts_without_variables_count_and_bad_names_are_refused() {
        let found =
            of(r#"{"_meta": {"hostvars": {"fe80::1": {}}}, "all": {"children": ["a"]}, "a": {"hosts": ["h1"]}}"#);
        let found = found.unwrap();
        assert_eq!(found.hosts.keys().map(ToString::to_string).collect::<Vec<_>>(), ["h1"]);
        assert!(found.refused["fe80::1"][0].contains("may hold letters"), "{found:?}");
    }

    #[test]
    fn only_the_error_is_said() {
        assert_eq!(
            said("[WARNING]: x\n[ERROR]: No inventory was parsed.\n").as_deref(),
            Some("No inventory was parsed.")
        );
        assert_eq!(said("secret=canary\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text in "\\PC{0,100}") {
            let _ = of(&text);
        }
    }
}
