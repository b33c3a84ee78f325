//! Options by name, and what a service declares of them.

use super::OptionType;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The group of options that have none.
pub const DEFAULT: &str = "DEFAULT";
/// In the group of a source that `config_source` names: the file that says what it is. A process that does not read that file does
/// without the source, as oslo.config does without any whose driver is not told.
pub const DEFINED_IN: &str = "defined_in";

/// An option: its group, as the service spells it, and its name, with `_` for `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionName {
    /// The group.
    pub group: String,
    /// The name.
    pub name: String,
}

impl OptionName {
    /// An option of a group.
    pub fn new(group: impl Into<String>, name: impl Into<String>) -> Self {
        Self { group: group.into(), name: name.into().replace('-', "_") }
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.group, self.name)
    }
}

/// What a service declares of an option.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// How its text is read.
    pub kind: OptionType,
    /// Whether it can be given several times.
    pub many: Many,
    /// What it is when it is set nowhere, as it would stand in a file: one text, or as many as there are for
    /// [`Many::All`].
    pub default: Option<Vec<String>>,
    /// Whether the service takes it on its command line too.
    pub argument: Argued,
    /// The names it had before, which files may still use.
    pub former: Vec<OptionName>,
}

impl Declaration {
    /// An option of this type, once, without a default.
    pub fn of(kind: OptionType) -> Self {
        Self { kind, many: Many::Last, default: None, argument: Argued::No, former: Vec::new() }
    }
}

/// Whether an option can be given several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// The last one counts.
    Last,
    /// All count: a `MultiOpt`.
    All,
}

/// Whether a service takes an option on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argued {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Which options there are.
#[derive(Debug, Clone, Default)]
pub enum Known {
    /// These and no others, as the service declares them.
    Only(Declared),
    /// Nobody said: any option may be there, its text is taken as it stands, and its default is the service's own.
    #[default]
    Any,
}

/// The options that a service declares.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    options: BTreeMap<OptionName, Declaration>,
    groups: BTreeSet<String>,
}

impl Declared {
    /// The declaration of an option.
    pub fn declaration(&self, option: &OptionName) -> Option<&Declaration> {
        self.options.get(option)
    }

    /// Whether there is such a group.
    pub fn has_group(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    /// Every option.
    pub fn iter(&self) -> impl Iterator<Item = (&OptionName, &Declaration)> {
        self.options.iter()
    }
}

impl FromIterator<(OptionName, Declaration)> for Declared {
    fn from_iter<I: IntoIterator<Item = (OptionName, Declaration)>>(options: I) -> Self {
        let options: BTreeMap<_, _> = options.into_iter().collect();
        let groups = options.keys().map(|name| name.group.clone()).filter(|group| group != DEFAULT).collect();
        Self { options, groups }
    }
}
