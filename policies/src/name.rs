//! Names of things, parsed once: secrets, deployments, sites, services, targets and consumers.

use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt, str::FromStr};

/// Why a name was refused. Holds the name, which is not secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name has at least one character.
    #[error("a {kind} name is empty")]
    Empty {
        /// What was being named.
        kind: &'static str,
    },
    /// A name has at most [`LONGEST`] characters.
    #[error("the {kind} name `{name}…` is longer than {LONGEST} characters")]
    TooLong {
        /// What was being named.
        kind: &'static str,
        /// Its first characters.
        name: String,
    },
    /// A name has letters, digits, `_`, `-` and `.` only, and starts with a letter, a digit or `_`.
    #[error("the {kind} name {name:?} may hold letters, digits, `_`, `-` and `.` only, and not start with `.` or `-`")]
    Character {
        /// What was being named.
        kind: &'static str,
        /// The whole name.
        name: String,
    },
}

fn check(kind: &'static str, name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty { kind })?;
    if name.len() > LONGEST {
        return Err(NameError::TooLong { kind, name: name.chars().take(24).collect() });
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if matches!(first, '.' | '-') || !name.chars().all(fits) {
        return Err(NameError::Character { kind, name: name.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                check($kind, name)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A secret: a named thing that has versions.
    SecretName, "secret");
name!(
    /// A deployment: one site's hosts, targets and services.
    DeploymentName, "deployment");
name!(
    /// A site to which bundles are exported.
    SiteName, "site");
name!(
    /// A target: a server that must accept a credential.
    TargetName, "target");
name!(
    /// A service: something that restarts.
    ServiceName, "service");
name!(
    /// A host: where a command runs.
    HostName, "host");
name!(
    /// An access role: who may read what.
    RoleName, "role");

/// The longest name, in bytes.
pub const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_path_is_refused() {
        for bad in ["", "a/b", "..", ".a", "-a", "a b", "a\0", "ä", "%2e"] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(LONGEST + 1).parse::<SecretName>().is_err());
        for good in ["database_password", "_x", "A-b.c", "keystone.database.connection"] {
            assert_eq!(good.parse::<SecretName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
    }
}
