//! One case: what a service declares, what it is started with, and the files, fetched ones included.

use donjon_drivers::source::{
    Declaration, Many, OptionName, OptionType,
    option::Argued,
    option_type::{Bounds, Case as Capitals, Quotes, TextRules, Version},
};
use serde::{Deserialize, Serialize};

/// A case, as it is kept when it has found something.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) options: Vec<Declared>,
    /// In order; `@DIR@`, `@HTTP@`, `@VAULT@`, `@CA@` and `@TOKEN@` in a file stand for those of the run.
    pub(super) files: Vec<File>,
    pub(super) arguments: Vec<Given>,
    /// Names and values; the values in hex.
    pub(super) environment: Vec<(String, String)>,
    pub(super) served: Vec<Served>,
}

/// A file on disk; its content in hex.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) content: String,
}

/// A file that is fetched; its content in hex.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) content: String,
}

/// An argument of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Given {
    File(String),
    Folder(String),
    /// The number of an option, and its text.
    Option(usize, String),
}

/// An option as the service declares it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Declared {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) r#type: Kind,
    pub(super) multi: bool,
    pub(super) argument: bool,
    pub(super) default: Option<Vec<String>>,
    pub(super) former: Vec<(String, String)>,
}

/// An option's type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Kind {
    Text { choices: Vec<String>, ignore_case: bool, quotes: bool, longest: Option<usize> },
    Switch,
    Integer { min: Option<i64>, max: Option<i64> },
    Float { min: Option<f64>, max: Option<f64> },
    List { item: Box<Kind>, bounds: bool },
    Map { value: Box<Kind>, bounds: bool },
    Address { version: Option<u8> },
    Hostname,
    Host,
    Domain,
    Uri { schemes: Vec<String>, longest: Option<usize> },
}

impl Kind {
    pub(super) fn text() -> Self {
        Self::Text { choices: Vec::new(), ignore_case: false, quotes: false, longest: None }
    }

    fn to_type(&self) -> OptionType {
        let bounds = |bounds: &bool| if *bounds { Bounds::Bracketed } else { Bounds::Bare };
        match self {
            Self::Text { choices, ignore_case, quotes, longest } => OptionType::Text(TextRules {
                choices: choices.clone(),
                case: if *ignore_case { Capitals::Ignored } else { Capitals::Matters },
                quotes: if *quotes { Quotes::Go } else { Quotes::Stay },
                longest: *longest,
            }),
            Self::Switch => OptionType::Switch,
            Self::Integer { min, max } => OptionType::Integer { min: *min, max: *max },
            Self::Float { min, max } => OptionType::Float { min: *min, max: *max },
            Self::List { item, bounds: b } => OptionType::List { item: Box::new(item.to_type()), bounds: bounds(b) },
            Self::Map { value, bounds: b } => OptionType::Map { value: Box::new(value.to_type()), bounds: bounds(b) },
            Self::Address { version: Some(4) } => OptionType::Address(Some(Version::V4)),
            Self::Address { version: Some(_) } => OptionType::Address(Some(Version::V6)),
            Self::Address { version: None } => OptionType::Address(None),
            Self::Hostname => OptionType::Hostname,
            Self::Host => OptionType::Host,
            Self::Domain => OptionType::Domain,
            Self::Uri { schemes, longest } => OptionType::Uri { schemes: schemes.clone(), longest: *longest },
        }
    }
}

impl Declared {
    pub(super) fn option(&self) -> OptionName {
        OptionName::new(self.group.as_str(), self.name.as_str())
    }

    pub(super) fn declaration(&self) -> Declaration {
        Declaration {
            kind: self.r#type.to_type(),
            many: if self.multi { Many::All } else { Many::Last },
            default: self.default.clone(),
            argument: if self.argument { Argued::Yes } else { Argued::No },
            former: self.former.iter().map(|(group, name)| OptionName::new(group.as_str(), name.as_str())).collect(),
        }
    }

    /// The argument that gives it this text, as it is typed.
    pub(super) fn typed(&self, text: &str) -> String {
        let prefix = if self.group == "DEFAULT" { String::new() } else { format!("{}-", self.group) };
        match (&self.r#type, text) {
            (Kind::Switch, "False") => format!("--{prefix}no{}", self.name),
            (Kind::Switch, _) => format!("--{prefix}{}", self.name),
            (_, text) => format!("--{prefix}{}={text}", self.name),
        }
    }
}
