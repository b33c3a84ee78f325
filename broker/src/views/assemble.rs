//! Views: values assembled from secrets, such as a database URL.

use donjon_drivers::material::Material;
use donjon_policies::{
    deployment::{Encoding, Piece, placeholders},
    name::SecretName,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Why a view cannot be assembled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The template is wrong.
    #[error("the template is wrong: {0}")]
    Template(String),
    /// One of its secrets is not there.
    #[error("`{0}` is not there")]
    Missing(SecretName),
    /// One of its secrets is not text.
    #[error("`{0}` is not text, so it cannot stand in a view")]
    NotText(SecretName),
}

/// A secret that a view is made of.
#[derive(Debug, Clone, Copy)]
pub struct Ingredient<'a> {
    /// Its value.
    pub value: &'a Material,
    /// The user that goes with it, where a rotation has changed that.
    pub user: Option<&'a str>,
}

/// Puts the parts into the template. What is percent-encoded is everything but letters, digits, `-`, `.`, `_` and `~` (RFC 3986, 2.3).
pub fn assemble(template: &str, parts: &BTreeMap<SecretName, Ingredient<'_>>) -> Result<Material, ViewError> {
    // The longest that can come out, so that the buffer never moves and leaves a copy behind.
    let longest = |part: &Ingredient<'_>| 3 * part.value.len() + part.user.map_or(0, str::len);
    let room = template.len() + parts.values().map(longest).sum::<usize>() * (1 + template.matches('{').count());
    let mut text = Zeroizing::new(String::with_capacity(room));
    let mut at = 0;
    for placeholder in placeholders(template) {
        let placeholder = placeholder.map_err(ViewError::Template)?;
        let part = parts.get(&placeholder.secret).ok_or_else(|| ViewError::Missing(placeholder.secret.clone()))?;
        text.push_str(&template[at..placeholder.range.start]);
        // EXPOSE: written into the view, which is Material again
        let value = || part.value.expose_text().map_err(|_| ViewError::NotText(placeholder.secret.clone()));
        match placeholder.piece {
            Piece::Value(Encoding::Plain) => text.push_str(value()?),
            Piece::Value(Encoding::Url) => text.extend(percent_encoding::utf8_percent_encode(value()?, RESERVED)),
            Piece::User(base) => text.push_str(part.user.unwrap_or(&base)),
        }
        at = placeholder.range.end;
    }
    text.push_str(&template[at..]);
    Ok(Material::new(text.as_bytes().to_vec()))
}

/// What is percent-encoded in a view: RFC 3986, 2.3.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_user_is_the_one_that_goes_with_the_value() {
        let (name, value): (SecretName, _) = ("p".parse().unwrap(), Material::from("v".to_owned()));
        for (user, wanted) in [(None, "rabbit://nova:v@h"), (Some("nova_b"), "rabbit://nova_b:v@h")] {
            let parts = BTreeMap::from([(name.clone(), Ingredient { value: &value, user })]);
            let view = assemble("rabbit://{p:user:nova}:{p:url}@h", &parts).unwrap();
            assert_eq!(view.expose_text().unwrap(), wanted); // EXPOSE: a test value
        }
    }

    proptest! {
        #[test]
        fn any_password_survives_a_url(password in "\\PC{0,40}") {
            let name: SecretName = "p".parse().unwrap();
            let part = Material::from(password.clone());
            let view = assemble("mysql://root:{p:url}@h/x", &BTreeMap::from([(name, Ingredient { value: &part, user: None })])).unwrap();
            let text = view.expose_text().unwrap().to_owned(); // EXPOSE: a test value
            let encoded = text.strip_prefix("mysql://root:").unwrap().strip_suffix("@h/x").unwrap();
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            prop_assert_eq!(percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap(), password);
        }
    }
}
