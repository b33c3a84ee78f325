//! What can be wrong with a catalogue.

use super::entry::TargetKind;
use crate::{
    document::{Mistakes, NotYaml},
    name::NameError,
    recipe::RecipeError,
    strategy::Strategy,
};

/// Why there is no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No catalogue of this name is built in.
    #[error("no catalogue is called `{name}`{}; built in: {}", suggest(nearest.as_deref()), built_in.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The one that reads most like it.
        nearest: Option<String>,
        /// All there are.
        built_in: Vec<&'static str>,
    },
    /// The file has mistakes; all of them are listed.
    #[error("{0}")]
    Broken(Mistakes<Fault>),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not YAML; what follows the line was not looked at.
    #[error(transparent)]
    Yaml(NotYaml),
    /// A node of the wrong sort.
    #[error("`{what}` is {found}, not {wanted}")]
    Kind {
        /// The key or name it stands under.
        what: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A key that means nothing here.
    #[error("{of} has no key `{key}`{}", suggest(nearest.as_deref()))]
    Key {
        /// The key.
        key: String,
        /// What it was given for.
        of: &'static str,
        /// The key that reads most like it.
        nearest: Option<String>,
    },
    /// A key that nothing would read.
    #[error("`{key}` is not read where `{because}` is given: put it there")]
    Idle {
        /// The key.
        key: &'static str,
        /// The key that hides it.
        because: &'static str,
    },
    /// A key that must be there.
    #[error("{of} lacks `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
        /// What lacks it.
        of: String,
    },
    /// A word that is not defined: a strategy, class, target, consumer, sink …
    #[error("unknown {what} `{word}`{}", suggest(nearest.as_deref()))]
    Unknown {
        /// What it should have been.
        what: &'static str,
        /// The word.
        word: String,
        /// The known one that reads most like it.
        nearest: Option<String>,
    },
    /// The recipe does not read.
    #[error(transparent)]
    Recipe(RecipeError),
    /// The name does not read.
    #[error(transparent)]
    Name(NameError),
    /// An account, mode, path or phase that does not read.
    #[error("`{word}` is no {what}")]
    Word {
        /// What it should have been.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// Something said twice.
    #[error("{what} `{name}` is already there, on line {first}")]
    Twice {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// The line of the first.
        first: u64,
    },
    /// An older name that already means something else.
    #[error("the alias `{alias}` of `{owner}` already means `{means}`")]
    Alias {
        /// The alias.
        alias: String,
        /// The secret that wants it.
        owner: String,
        /// The secret that has it.
        means: String,
    },
    /// A credential that is worth nothing without an account.
    #[error("`{strategy}` on {target} needs at least one account")]
    Account {
        /// Its strategy.
        strategy: Strategy,
        /// Its target.
        target: TargetKind,
    },
    /// A current secret about which nobody knows how it changes.
    #[error("neither `{name}` nor its class says how it changes: give `credentials`")]
    Credentials {
        /// The secret.
        name: String,
    },
}

pub(super) fn suggest(nearest: Option<&str>) -> String {
    nearest.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}
