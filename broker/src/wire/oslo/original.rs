//! The original of a file, put together again with the values that its secrets have by now.
//!
//! A source hands a value on as it is. In a file it is read by the rules of a file: a `$` refers to other options, quotes and white
//! space around it go, and a second line is an option of its own. So what is put together is read before it is written.

use super::Piece;
use donjon_drivers::{
    material::{Material, NotText},
    source::{
        OptionName,
        ini::{Entry, IniError, parse},
    },
};
use zeroize::Zeroizing;

/// Why a file cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Unreturned {
    /// There are not as many values as places.
    #[error("there are not as many values as places for them")]
    Values,
    /// It was kept of a file that cannot be read.
    #[error("what is kept of it cannot be read")]
    Kept(#[from] IniError),
    /// A value would be read as something else.
    #[error("[{}] {}: the value of `{secret}` {why}", option.group, option.name)]
    Otherwise {
        /// The option.
        option: OptionName,
        /// Its secret.
        secret: String,
        /// Why it would be.
        why: &'static str,
    },
    /// Something else of the file would be read otherwise.
    #[error("what stands around the values would be read otherwise than before")]
    Around,
}

/// Puts the original together, with one value for each of its places. Each is read in it as it is here.
pub fn original(pieces: &[Piece], values: &[Material]) -> Result<Zeroizing<String>, Unreturned> {
    let secrets = pieces.iter().filter(|piece| matches!(piece, Piece::Secret(_))).count();
    if secrets != values.len() {
        return Err(Unreturned::Values);
    }
    let (marked, lines) = together(pieces, std::iter::repeat_n(MARK, secrets));
    let before = parse(marked.as_bytes())?;
    let names = pieces.iter().filter_map(|piece| match piece {
        Piece::Secret(name) => Some(name),
        Piece::Text(_) => None,
    });
    let otherwise = |line: usize, secret: &str, why| {
        let entry = before.iter().find(|entry| entry.line == line).ok_or(Unreturned::Around);
        Err(entry.map(|entry| Unreturned::Otherwise { option: option(entry), secret: secret.to_owned(), why })?)
    };
    let mut texts = Vec::with_capacity(values.len());
    for ((value, secret), line) in values.iter().zip(names.clone()).zip(&lines) {
        // EXPOSE: put back where it stood, as was asked for
        match value.expose_text() {
            Err(NotText) => return otherwise(*line, secret, "is no text"),
            Ok(text) if text.contains('$') => {
                return otherwise(*line, secret, "has a `$`, which refers to other options");
            }
            Ok(text) if text.contains(['\n', '\r']) => return otherwise(*line, secret, "has several lines"),
            Ok(text) => texts.push(text),
        }
    }
    let (whole, _) = together(pieces, texts.iter().copied());
    let after = parse(whole.as_bytes()).map_err(|_| Unreturned::Around)?;
    if before.len() != after.len() {
        return Err(Unreturned::Around);
    }
    for (was, is) in before.iter().zip(&after) {
        let place = lines.iter().position(|line| *line == was.line);
        // EXPOSE: compared
        let same = is.value.expose() == place.map_or(was.value.expose(), |place| texts[place]);
        match place.and_then(|place| names.clone().nth(place)) {
            _ if (was.line, was.last, option(was)) != (is.line, is.last, option(is)) => return Err(Unreturned::Around),
            Some(secret) if !same => return otherwise(was.line, secret, "loses quotes or white space around it"),
            None if !same => return Err(Unreturned::Around),
            Some(_) | None => {}
        }
    }
    Ok(whole)
}

/// The whole text, and on which line each value stands.
fn together<'a>(pieces: &[Piece], mut values: impl Iterator<Item = &'a str>) -> (Zeroizing<String>, Vec<usize>) {
    let (mut text, mut lines) = (Zeroizing::new(String::new()), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Secret(_) => {
                lines.push(1 + text.matches('\n').count());
                text.push_str(values.next().unwrap_or_default());
            }
        }
    }
    (text, lines)
}

fn option(entry: &Entry) -> OptionName {
    OptionName { group: entry.section.clone(), name: entry.key.clone() }
}

/// What no rule of a file changes.
const MARK: &str = "x";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<String, String> {
        let text = |text: &str| Piece::Text(text.to_owned());
        let secret = |name: &str| Piece::Secret(name.to_owned());
        let pieces = [
            text("# head\n[a]\nplain = 1\nadmin_token = "),
            secret("k.token"),
            text("\n[b]\nquoted = '"),
            secret("k.quoted"),
            text("'\n"),
        ];
        let values = [Material::from(value.to_owned()), Material::from("canary".to_owned())];
        let made = original(&pieces, &values).map_err(|error| error.to_string())?;
        assert_eq!(*made, format!("# head\n[a]\nplain = 1\nadmin_token = {value}\n[b]\nquoted = 'canary'\n"));
        Ok(made.to_string())
    }

    #[test]
    fn a_value_comes_back_only_where_it_is_read_as_it_is() {
        for value in ["canary", "a=b: c", "it's", "#x", "x # y", "[z]", "%s", ""] {
            of(value).unwrap_or_else(|error| panic!("{value}: {error}"));
        }
        for (value, why) in [
            ("new$debug-token", "has a `$`, which refers to other options"),
            ("one\nevil = yes", "has several lines"),
            ("one\r", "has several lines"),
            (" canary", "loses quotes or white space around it"),
            ("canary\t", "loses quotes or white space around it"),
            ("'canary'", "loses quotes or white space around it"),
        ] {
            assert_eq!(of(value), Err(format!("[a] admin_token: the value of `k.token` {why}")), "{value:?}");
        }
        let bytes = [Piece::Text("[a]\nb = ".to_owned()), Piece::Secret("k".to_owned())];
        let refused = original(&bytes, &[Material::new(vec![0xff])]).unwrap_err();
        assert_eq!(refused.to_string(), "[a] b: the value of `k` is no text");
        assert!(matches!(original(&bytes, &[]), Err(Unreturned::Values)));
    }
}
