//! Paths of records: segments that were checked once, so that no driver has to escape them.

use std::{fmt, str::FromStr};

/// Where a record is: one or more names joined by `/`.
///
/// Each segment holds letters, digits, `_`, `-` and `.`, and starts with none of `.` and `-`. So no path has an
/// alias (`//`, `..`, `%2e`), and a prefix that ends with `/` is a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPath(String);

impl RecordPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a name below this one.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        format!("{}/{name}", self.0).parse()
    }
}

impl FromStr for RecordPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let good = |segment: &str| {
            segment.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && segment.chars().all(fits)
        };
        if text.len() > 512 || !text.split('/').all(good) {
            return Err(PathError { path: text.chars().take(128).collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RecordPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no path of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no path of a record: names of letters, digits, `_`, `-` and `.`, joined by `/`")]
pub struct PathError {
    /// What was given, at most 128 characters.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_has_an_alias() {
        for bad in ["", "/", "a/", "/a", "a//b", "a/../b", "a/.b", "a/%2e", "a\\b", "a/-b", "a b"] {
            assert!(bad.parse::<RecordPath>().is_err(), "{bad:?}");
        }
        assert!("kolla/database_password".parse::<RecordPath>().is_ok());
    }
}
