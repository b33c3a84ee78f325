//! The template of a view: text with `{secret}` or `{secret:url}` in it.

use crate::name::{NameError, SecretName};

/// A place in a view's template where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The secret.
    pub secret: SecretName,
    /// How it is written there.
    pub encoding: Encoding,
    /// Where the placeholder stands in the template, in bytes.
    pub range: std::ops::Range<usize>,
}

/// How a secret is written into a view.
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
        let (name, encoding) = match inside.split_once(':') {
            None => (inside, Encoding::Plain),
            Some((name, "url")) => (name, Encoding::Url),
            Some((_, other)) => return Some(Err(format!("`{other}` is no encoding; `url` is"))),
        };
        Some(name.parse().map_err(|error: NameError| error.to_string()).map(|secret| Placeholder {
            secret,
            encoding,
            range: start..at,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = placeholders(&text).count();
        }
    }
}
