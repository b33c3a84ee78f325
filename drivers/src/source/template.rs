//! `$name`, `${name}`, `$group.name`, `$$` and `\$` in a value, as oslo.config reads them.

use std::ops::Range;

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the text stand for themselves.
    Literal(Range<usize>),
    /// An option stands here, by these bytes of the text.
    Reference(Range<usize>),
}

/// The parts of a value in order. The text is one that [`unescaped`] made.
///
/// A `$` that begins nothing stands for itself. A name may hold dots, also at its end: `$dir.` refers to an option of the
/// group `dir` that has no name.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    let literal = |pieces: &mut Vec<Piece>, range: Range<usize>| {
        if !range.is_empty() {
            pieces.push(Piece::Literal(range));
        }
    };
    while let Some(found) = text[at..].find('$') {
        let dollar = at + found;
        let rest = &text[dollar + 1..];
        if rest.starts_with('$') {
            literal(&mut pieces, from..dollar + 1);
            (from, at) = (dollar + 2, dollar + 2);
        } else if let Some(length) = name(rest) {
            literal(&mut pieces, from..dollar);
            pieces.push(Piece::Reference(dollar + 1..dollar + 1 + length));
            (from, at) = (dollar + 1 + length, dollar + 1 + length);
        } else if let Some(length) = rest.strip_prefix('{').and_then(braced) {
            literal(&mut pieces, from..dollar);
            pieces.push(Piece::Reference(dollar + 2..dollar + 2 + length));
            (from, at) = (dollar + 3 + length, dollar + 3 + length);
        } else {
            at = dollar + 1;
        }
    }
    literal(&mut pieces, from..text.len());
    pieces
}

/// The text with `\$` written as `$$`, which means the same.
pub fn unescaped(text: &str) -> String {
    text.replace("\\$", "$$")
}

/// The length of the name that a text begins with.
fn name(text: &str) -> Option<usize> {
    text.chars().next().filter(|c| starts(*c))?;
    Some(text.find(|c: char| !(starts(c) || c == '.' || c.is_ascii_digit())).unwrap_or(text.len()))
}

fn braced(text: &str) -> Option<usize> {
    name(text).filter(|length| text[*length..].starts_with('}'))
}

/// The original's pattern is `[_a-z]` without regard to case, which in Python takes in four letters that are not ASCII.
fn starts(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || matches!(c, 'İ' | 'ı' | 'ſ' | '\u{212a}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let text = unescaped(text);
        pieces(&text).into_iter().fold(String::new(), |shown, piece| match piece {
            Piece::Literal(range) => shown + &text[range],
            Piece::Reference(range) => format!("{shown}<{}>", &text[range]),
        })
    }

    #[test]
    fn references_are_found_as_the_original_finds_them() {
        for (text, expected) in [
            ("a$b c", "a<b> c"),
            ("${b}c", "<b>c"),
            ("$a.b/$c.", "<a.b>/<c.>"),
            ("$$b", "$b"),
            ("\\$b", "$b"),
            ("\\\\$b", "\\$b"),
            ("$", "$"),
            ("$ $1 ${ ${a ${}", "$ $1 ${ ${a ${}"),
            ("$$$a", "$<a>"),
            ("${a b}$c", "${a b}<c>"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_has_no_dollar_stays(text in "[a$ {}._1é\\\\]{0,20}") {
            let shown = shown(&text);
            if !text.contains('$') {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
