//! Why an option cannot be told. No error holds a value, or a line of a file.

use super::{OptionName, Origin, ini::IniError, option_type::Invalid};
use crate::{fs::FileError, options::Mistake, store::StoreError};
use std::{path::PathBuf, sync::Arc};

/// Why a source cannot tell. The original goes on with the default in most of these cases.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It did not answer.
    #[error("{place} did not answer")]
    Unreachable {
        /// Its address.
        place: String,
        /// Why; told of each option that it was not asked for again.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with a status that is no answer.
    #[error("{place} answered {status}")]
    Status {
        /// Its address.
        place: String,
        /// The HTTP status.
        status: u16,
    },
    /// It refuses to tell.
    #[error("{place} refuses access")]
    Denied {
        /// Its address.
        place: String,
    },
    /// It refuses to tell one secret.
    #[error("{option} is mapped to `{name}`, which may not be read so at {place}")]
    Forbidden {
        /// The option.
        option: OptionName,
        /// The secret.
        name: String,
        /// Where it was asked for.
        place: String,
    },
    /// A mapping names a secret that is not there.
    #[error("{option} is mapped to `{name}`, and there is no such secret at {place}")]
    Missing {
        /// The option.
        option: OptionName,
        /// The secret.
        name: String,
        /// Where it was looked for.
        place: String,
    },
    /// A source that may be away is, and a value refers to a secret that it has.
    #[error("{option} is the secret `{name}` of a source that is optional and could not be read; it has no default")]
    Optional {
        /// The option of the source.
        option: OptionName,
        /// The secret.
        name: String,
        /// Why the source could not be read.
        source: Arc<SourceError>,
    },
    /// What was found cannot be used.
    #[error("{place}: {what}")]
    Unusable {
        /// Where.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store that holds the secrets cannot tell.
    #[error("the store that holds {option} cannot tell")]
    Store {
        /// The option.
        option: OptionName,
        /// Why.
        source: StoreError,
    },
    /// The broker cannot tell.
    #[error("the broker at {place} cannot tell")]
    Broker {
        /// Its socket.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file cannot be understood.
    #[error("{}", path.display())]
    Ini {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IniError,
    },
}

/// Why a configuration cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file cannot be understood.
    #[error("{}", path.display())]
    Ini {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IniError,
    },
    /// A value that is needed for opening cannot be told.
    #[error("cannot tell {option}")]
    Value {
        /// The option.
        option: OptionName,
        /// Why.
        source: Box<ReadError>,
    },
    /// `config_source` names a source whose settings are wrong.
    #[error(transparent)]
    Settings(Mistake),
    /// A source cannot be opened.
    #[error("the source `{group}` cannot be opened")]
    Source {
        /// Its group.
        group: String,
        /// Why.
        source: Box<SourceError>,
    },
}

/// Why an option cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The service has no such option.
    #[error("the service has no option {option}")]
    Undeclared {
        /// The option.
        option: OptionName,
    },
    /// A value refers to something that is not there.
    #[error("the value of {at} refers to `${reference}`, {why}")]
    Reference {
        /// The value.
        at: Box<At>,
        /// What it refers to.
        reference: String,
        /// Why that stands for nothing.
        why: &'static str,
    },
    /// A value refers to itself.
    #[error("{option} refers to itself")]
    Circular {
        /// The option.
        option: OptionName,
    },
    /// A value is not of the option's type.
    #[error("the value of {at} is not valid")]
    Invalid {
        /// The value.
        at: Box<At>,
        /// Why.
        source: Invalid,
    },
    /// A source cannot tell.
    #[error(transparent)]
    Source(Box<SourceError>),
}

impl From<SourceError> for ReadError {
    fn from(error: SourceError) -> Self {
        Self::Source(Box::new(error))
    }
}

/// A value: whose it is and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The option.
    pub option: OptionName,
    /// Where its value was found.
    pub origin: Origin,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.option, self.origin)
    }
}
