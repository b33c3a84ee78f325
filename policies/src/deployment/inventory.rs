//! The Ansible inventory that a deployment file names.

use serde::Deserialize;

/// An Ansible inventory: `inventory: FILE`, or a map where more is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Inventory {
    /// The inventory: a file or a folder.
    pub file: String,
    /// The program that reads it.
    pub program: String,
    /// Whether it may be a program itself, or the configuration of a plugin: then reading it runs it, as the user of
    /// the daemon.
    pub dynamic: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the file of an inventory, or a map of `file`, `program`, `dynamic`")]
enum Written {
    File(String),
    Map(Described),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    file: String,
    #[serde(default = "default_program")]
    program: String,
    #[serde(default)]
    dynamic: bool,
}

impl From<Written> for Inventory {
    fn from(written: Written) -> Self {
        match written {
            Written::File(file) => Self { file, program: default_program(), dynamic: false },
            Written::Map(Described { file, program, dynamic }) => Self { file, program, dynamic },
        }
    }
}

fn default_program() -> String {
    "ansible-inventory".to_owned()
}
