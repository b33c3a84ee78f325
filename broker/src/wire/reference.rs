//! A reference: which value, which piece of it, and the expression with which Ansible asks for it.

use donjon_policies::{catalogue::Entry, name::SecretName, recipe::Shape};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One value that a deployer's file refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The secret.
    pub name: SecretName,
    /// Which piece of it.
    pub piece: Piece,
}

/// A piece of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// All of it.
    Whole,
    /// The private key of a pair.
    PrivateKey,
    /// The public key of a pair.
    PublicKey,
    /// One key of a repository, by its number.
    Key(u32),
}

impl Piece {
    /// Its number, of a key of a repository.
    pub fn key(self) -> Option<u32> {
        match self {
            Self::Key(key) => Some(key),
            Self::Whole | Self::PrivateKey | Self::PublicKey => None,
        }
    }
}

/// Which keys the repositories have. Each rotation gives the next primary the next number, so that after some of them these are
/// not the numbers that a repository is made with; those count where none are said.
#[derive(Debug, Clone, Default)]
pub struct Numbers(BTreeMap<SecretName, BTreeSet<u32>>);

impl Numbers {
    /// The keys of a secret.
    fn of(&self, name: &SecretName, made: u8) -> BTreeSet<u32> {
        self.0.get(name).cloned().unwrap_or_else(|| (0..made.into()).collect())
    }
}

impl FromIterator<(SecretName, BTreeSet<u32>)> for Numbers {
    fn from_iter<I: IntoIterator<Item = (SecretName, BTreeSet<u32>)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// How a value is written into the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Percent-encoded, for the user part of a URL.
    Url,
    /// Escaped for the inside of a JSON string.
    Json,
}

impl Reference {
    /// The references to one secret of a catalogue: one, or one for each piece that the deployer wants apart.
    pub fn of(entry: &Entry, numbers: &Numbers) -> Vec<Self> {
        let piece = |piece| Self { name: entry.name.clone(), piece };
        match entry.recipe.shape() {
            Shape::SshPair(_) => vec![piece(Piece::PrivateKey), piece(Piece::PublicKey)],
            Shape::FernetRepository { keys } => {
                numbers.of(&entry.name, keys).into_iter().map(|key| piece(Piece::Key(key))).collect()
            }
            Shape::Symbols { .. } | Shape::Bytes { .. } | Shape::Uuid4 | Shape::Cephx | Shape::Operator => {
                vec![piece(Piece::Whole)]
            }
        }
    }

    /// The call of the lookup, for the inside of a Jinja expression. It holds no `"` and no `\`.
    pub fn call(&self, encoding: Encoding) -> String {
        let piece = match self.piece {
            Piece::Whole => String::new(),
            Piece::PrivateKey => ", part='private_key'".to_owned(),
            Piece::PublicKey => ", part='public_key'".to_owned(),
            Piece::Key(key) => format!(", key='{key}'"),
        };
        let encoding = match encoding {
            Encoding::Plain => "",
            Encoding::Url => ", encoding='url'",
            Encoding::Json => ", encoding='json'",
        };
        format!("lookup('{LOOKUP}', '{}'{piece}{encoding})", self.name)
    }

    /// The reference whose plain expression a text is, with nothing before or behind it.
    pub fn read(text: &str) -> Option<Self> {
        let begin = format!("{{{{ lookup('{LOOKUP}', '");
        let (name, rest) = text.strip_prefix(&begin)?.split_once('\'')?;
        let key = || rest.strip_prefix(", key='")?.split_once('\'')?.0.parse().ok();
        let pieces = [Some(Piece::Whole), Some(Piece::PrivateKey), Some(Piece::PublicKey), key().map(Piece::Key)];
        let name: SecretName = name.parse().ok()?;
        let mut read = pieces.into_iter().flatten().map(|piece| Self { name: name.clone(), piece });
        read.find(|reference| reference.expression(Encoding::Plain) == text)
    }

    /// The whole Jinja expression, for the inside of a text. `donjon.broker.file` knows it by this exact form.
    pub fn expression(&self, encoding: Encoding) -> String {
        format!("{{{{ {} }}}}", self.call(encoding))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.piece {
            Piece::Whole => write!(f, "{}", self.name),
            Piece::PrivateKey => write!(f, "{}_private_key", self.name),
            Piece::PublicKey => write!(f, "{}_public_key", self.name),
            Piece::Key(key) => write!(f, "{}_{key}", self.name),
        }
    }
}

/// The lookup plugin that answers with values.
pub const LOOKUP: &str = "donjon.broker.secret";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_stands_in_double_quotes_as_it_is() {
        for piece in [Piece::Whole, Piece::PrivateKey, Piece::PublicKey, Piece::Key(1)] {
            for encoding in [Encoding::Plain, Encoding::Url, Encoding::Json] {
                let reference = Reference { name: "a-b.c_1".parse().unwrap(), piece };
                assert!(!reference.expression(encoding).contains(['"', '\\', '\n']));
            }
        }
        let whole = Reference { name: "x".parse().unwrap(), piece: Piece::Whole };
        assert_eq!(whole.expression(Encoding::Plain), "{{ lookup('donjon.broker.secret', 'x') }}");
        let key = Reference { name: "x".parse().unwrap(), piece: Piece::Key(0) };
        assert_eq!(key.expression(Encoding::Url), "{{ lookup('donjon.broker.secret', 'x', key='0', encoding='url') }}");
    }

    #[test]
    fn an_expression_is_read_where_nothing_else_stands_there() {
        for piece in [Piece::Whole, Piece::PrivateKey, Piece::PublicKey, Piece::Key(12)] {
            let reference = Reference { name: "a-b.c_1".parse().unwrap(), piece };
            let text = reference.expression(Encoding::Plain);
            assert_eq!(Reference::read(&text), Some(reference));
            for other in
                [format!("{text}-suffix"), format!("x{text}"), text.replace(LOOKUP, "env"), format!("{text}{text}")]
            {
                assert_eq!(Reference::read(&other), None, "{other}");
            }
        }
    }
}
