//! What nova makes of a row: Python's `str.format` with the fields of a setting, as far as rows of nova have it.

use super::setting::Setting;
use zeroize::Zeroizing;

/// Why nova could not make anything of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFormat {
    /// A `{` or `}` without the other.
    #[error("a brace in it is alone")]
    Brace,
    /// No field of the setting is called so.
    #[error("it has a field that nova does not fill")]
    Field,
}

/// What a row says with these settings.
pub fn filled(row: &str, setting: &Setting) -> Result<Zeroizing<String>, NoFormat> {
    let mut made = Zeroizing::new(String::with_capacity(row.len() + ROOM));
    let mut rest = row;
    while let Some(at) = rest.find(['{', '}']) {
        made.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix(brace) {
            made.push_str(brace);
            rest = after;
            continue;
        }
        let (field, after) = after.split_once('}').filter(|_| brace == "{").ok_or(NoFormat::Brace)?;
        made.push_str(setting.field(field).ok_or(NoFormat::Field)?);
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

/// A text as a row has it: braces twice, so that nova takes none of them for a field.
pub(super) fn escaped(text: &str) -> Zeroizing<String> {
    let mut made = Zeroizing::new(String::with_capacity(2 * text.len()));
    for character in text.chars() {
        made.push(character);
        if matches!(character, '{' | '}') {
            made.push(character);
        }
    }
    made
}

/// A text that holds a password is not to grow, which would leave a copy behind.
const ROOM: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_filled_as_python_does_it() {
        let setting = Setting::of("mysql+pymysql://nova:p{w@db/nova").unwrap();
        for (row, wanted) in [
            ("none:///", Ok("none:///")),
            ("{scheme}://{username}:{password}@{hostname}/nova_cell0", Ok("mysql+pymysql://nova:p{w@db/nova_cell0")),
            ("mysql://nova:p{{w}}@db/nova", Ok("mysql://nova:p{w}@db/nova")),
            // A host without a port: nova writes what nobody can connect to.
            ("mysql://{hostname}:{port}/", Ok("mysql://db:None/")),
            ("mysql://{hostname/", Err(NoFormat::Brace)),
            ("mysql://a}b/", Err(NoFormat::Brace)),
            ("mysql://{password1}/", Err(NoFormat::Field)),
            ("mysql://{}/", Err(NoFormat::Field)),
            ("mysql://{password!r}/", Err(NoFormat::Field)),
        ] {
            assert_eq!(filled(row, &setting).as_deref().map(String::as_str), wanted.as_ref().copied(), "{row}");
        }
        assert_eq!(*filled(&escaped("a{b}c{{"), &setting).unwrap(), "a{b}c{{");
    }
}
