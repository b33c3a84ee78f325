//! Sources: where the settings of a service come from, as in oslo.config.
//!
//! ```text
//! command line ▷ environment ▷ files, the last first ▷ config_source, in order ▷ default        Configuration
//!                                                        └─ remote_file · castellan · donjon     Source, by SOURCES
//! ```
//!
//! What a service would see is what oslo.config 10.7 would make of the same files: its dialect of INI, its conversion of
//! values, its substitution of `$name`, odd corners included; a differential test holds the two against each other. In one
//! thing they differ: where the original counts a source that cannot be opened or cannot answer as "not set" and goes on
//! with the default, here it is an error.

pub mod castellan;
pub mod configuration;
pub mod donjon;
pub mod environment;
pub mod error;
pub mod given;
pub mod ini;
mod listener;
pub mod mapping;
pub mod option;
pub mod option_type;
pub mod outside;
mod python;
mod reader;
pub mod registry;
pub mod remote_file;
pub mod template;
pub mod text;
pub mod value;

pub use configuration::{Argument, Configuration, Sought};
pub use error::{OpenError, ReadError, SourceError};
pub use given::{Given, Origin, Raw};
pub use option::{Declaration, Known, Many, OptionName};
pub use option_type::OptionType;
pub use outside::{Broker, Outside};
pub use text::Text;
pub use value::Value;

use async_trait::async_trait;

/// A place that settings come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reaches for what it needs; called once, before the first option is asked for.
    async fn ready(&self) -> Result<(), SourceError>;

    /// What an option is set to here. `None` is "not set here"; "cannot tell" is an error.
    async fn value(&self, option: &OptionName, many: Many) -> Result<Option<Given>, SourceError>;

    /// The options that are set here, as far as a source knows before it is asked for one.
    fn set(&self) -> Vec<OptionName>;
}
