//! A pattern that names secrets: a name in which `*` stands for any run of characters.

use crate::name::{NameError, SecretName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A pattern, such as `database_password`, `nova_*` or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether it names this secret.
    pub fn names(&self, secret: &SecretName) -> bool {
        let name = secret.as_str();
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            // The first place is as good as any: what follows may then begin the earliest.
            let Some(at) = rest.find(piece) else { return false };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }

    /// Whether it is a name, without `*`.
    pub fn is_name(&self) -> bool {
        !self.0.contains('*')
    }
}

impl FromStr for Pattern {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        // What is left when every `*` is a letter has to be a name.
        let _: SecretName = text.replace('*', "x").parse()?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let names = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().names(&name.parse().unwrap());
        for (pattern, name) in [("*", "a"), ("a*", "a"), ("a*", "ab"), ("*b", "ab"), ("a*c*e", "abcde"), ("ab", "ab")] {
            assert!(names(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a", "ab"), ("a*a", "a"), ("*b", "ba"), ("a*c*e", "acd"), ("b*", "ab"), ("ab*ba", "aba")]
        {
            assert!(!names(pattern, name), "{pattern} {name}");
        }
        assert!("a b*".parse::<Pattern>().is_err() && "".parse::<Pattern>().is_err());
    }

    proptest! {
        #[test]
        fn a_name_with_pieces_taken_out_is_named_again(name in "[a-z_]{1,20}", from in 0_usize..20, length in 0_usize..20) {
            let from = from.min(name.len());
            let until = (from + length).min(name.len());
            let pattern: Pattern = format!("{}*{}", &name[..from], &name[until..]).parse().unwrap();
            prop_assert!(pattern.names(&name.parse().unwrap()));
        }
    }
}
