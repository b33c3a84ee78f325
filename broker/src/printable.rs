//! Text of others on a terminal: file names, words of servers and process names move no cursor and make no lines of their own.

use std::borrow::Cow;

/// A text as part of one line: line breaks are written as escapes too.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A text of lines, which stay lines.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let acts = |character: char| !stays(character) && acts(character);
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match acts(character) {
            true => written.extend(character.escape_default()),
            false => written.push(character),
        }
    }
    Cow::Owned(written)
}

/// Whether a terminal does something else with it than show it: control characters, separators of lines, and what turns the
/// direction of writing (Unicode's `Bidi_Control`), which can make a line read as another.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(line("x\n0 findings\u{1b}]0;owned\u{7}"), "x\\n0 findings\\u{1b}]0;owned\\u{7}");
        assert_eq!(lines("a\n\tb\r\u{9b}2J"), "a\n\tb\\r\\u{9b}2J");
        assert_eq!(line("gpj.\u{202e}fdp"), "gpj.\\u{202e}fdp");
        assert!(matches!(line("Zürich/passwörter 密码.yml"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn no_text_has_anything_left_to_obey(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(acts));
            prop_assert!(!lines(&text).chars().any(|c| acts(c) && c != '\n' && c != '\t'));
        }
    }
}
