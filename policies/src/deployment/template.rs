//! The template of a view: text with `{secret}`, `{secret:url}` or `{secret:user:NAME}` in it.

use crate::{
    catalogue::Account,
    name::{NameError, SecretName},
};

/// A place in a view's template where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The secret.
    pub secret: SecretName,
    /// What of it is written there.
    pub piece: Piece,
    /// Where the placeholder stands in the template, in bytes.
    pub range: std::ops::Range<usize>,
}

/// What of a secret is written into a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Its value.
    Value(Encoding),
    /// The user that goes with it: a rotation between twins changes that too. Before the first it is this one.
    User(String),
}

/// How a value is written into a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Percent-encoded, for a URL.
    Url,
}

/// The placeholders of a template, in order. A brace that opens none is written twice.
pub fn placeholders(template: &str) -> impl Iterator<Item = Result<Placeholder, String>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + template.get(at..)?.find('{')?;
        let Some(length) = template[start..].find('}') else {
            at = template.len();
            return Some(Err("a `{` is not closed".to_owned()));
        };
        at = start + length + 1;
        let inside = &template[start + 1..at - 1];
        let (name, piece) = match inside.split_once(':') {
            None => (inside, Piece::Value(Encoding::Plain)),
            Some((name, "url")) => (name, Piece::Value(Encoding::Url)),
            Some((name, rest)) => match rest.strip_prefix("user:").and_then(Account::read) {
                Some(Account { user, at: None }) => (name, Piece::User(user)),
                Some(_) | None => return Some(Err(format!("`{rest}` is unknown; `url` and `user:NAME` are known"))),
            },
        };
        Some(name.parse().map_err(|error: NameError| error.to_string()).map(|secret| Placeholder {
            secret,
            piece,
            range: start..at,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_user_is_a_name_and_no_more() {
        let read = |text| placeholders(text).next().unwrap().map(|p| p.piece);
        assert_eq!(read("{a:user:nova}"), Ok(Piece::User("nova".to_owned())));
        for bad in ["{a:user:}", "{a:user:x y}", "{a:user:x@h}", "{a:user}", "{a:hex}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = placeholders(&text).count();
        }
    }
}
