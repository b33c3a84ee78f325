//! A mapping file: which secret an option is, as castellan has it: `[group]`, `option = name`.
//!
//! Unlike in a configuration file, groups compare with regard to case, and the first of two lines counts.

use super::{
    OptionName, SourceError,
    ini::{Entry, parse},
};
use crate::fs;
use std::path::{Path, PathBuf};

/// The name of a secret, as it stands in a mapping file. It is no secret itself.
pub type Name = String;

/// What becomes of an option that stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twice {
    /// The first line counts, as in castellan.
    First,
    /// It is refused, as one of the two lines is a mistake.
    Refused,
}

/// A mapping file that was read.
#[derive(Debug)]
pub struct Mapping {
    path: PathBuf,
    lines: Vec<(OptionName, Name)>,
}

impl Mapping {
    /// Reads a file.
    pub fn read(path: &Path, twice: Twice) -> Result<Self, SourceError> {
        let bytes = fs::read(path)?;
        let entries = parse(&bytes).map_err(|source| SourceError::Ini { path: path.into(), source })?;
        let mut lines: Vec<(OptionName, Name)> = Vec::new();
        for Entry { section, key, value, .. } in entries {
            // The key as it stands: `-` is not `_` here.
            let option = OptionName { group: section, name: key };
            match (lines.iter().any(|(known, _)| *known == option), twice) {
                (true, Twice::First) => {}
                (true, Twice::Refused) => {
                    let place = path.display().to_string();
                    return Err(SourceError::Unusable { place, what: format!("{option} is mapped twice") });
                }
                (false, _) => lines.push((option, value.expose().to_owned())), // EXPOSE: the name of a secret
            }
        }
        Ok(Self { path: path.into(), lines })
    }

    /// The secret that an option is mapped to; an empty name is an error.
    pub fn name(&self, option: &OptionName) -> Result<Option<&str>, SourceError> {
        match self.lines.iter().find(|(known, _)| known == option) {
            None => Ok(None),
            Some((_, name)) if name.is_empty() => Err(SourceError::Unusable {
                place: self.path.display().to_string(),
                what: format!("{option} is mapped to no name"),
            }),
            Some((_, name)) => Ok(Some(name)),
        }
    }

    /// Each mapped option and its secret.
    pub fn iter(&self) -> impl Iterator<Item = &(OptionName, Name)> {
        self.lines.iter()
    }
}
