//! What a place gives for an option, before it is converted, and where it was found.

use super::Text;
use std::{fmt, path::PathBuf};

/// What stands for an option, and where.
#[derive(Debug)]
pub struct Given {
    /// What stands there.
    pub raw: Raw,
    /// Where it stands.
    pub origin: Origin,
}

/// What stands for an option.
#[derive(Debug)]
pub enum Raw {
    /// One text.
    One(Text),
    /// Several, for an option that takes several.
    Several(Vec<Text>),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// The command line.
    CommandLine,
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line on which the assignment begins; of several, the last.
        line: usize,
    },
    /// A line of a file that was fetched.
    Remote {
        /// Where from.
        url: String,
        /// The line on which the assignment begins.
        line: usize,
    },
    /// A secret.
    Secret {
        /// The driver of the source.
        driver: &'static str,
        /// Where that keeps it.
        place: String,
        /// Its name there.
        name: String,
    },
    /// The service's own default.
    Default,
    /// The default of one of the broker's drivers.
    Driver {
        /// Its name.
        driver: String,
    },
    /// The broker's own default.
    Broker,
    /// An Ansible inventory.
    Inventory {
        /// Its file or folder.
        path: PathBuf,
    },
    /// Nowhere: it is not set, and has no default.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("the command line"),
            Self::Environment { variable } => write!(f, "the environment variable {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Remote { url, line } => write!(f, "{url}, line {line}"),
            Self::Secret { driver, place, name } => write!(f, "the secret `{name}` at {place} ({driver})"),
            Self::Default => f.write_str("the service's default"),
            Self::Driver { driver } => write!(f, "the default of the driver `{driver}`"),
            Self::Broker => f.write_str("donjon's default"),
            Self::Inventory { path } => write!(f, "the inventory {}", path.display()),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}
