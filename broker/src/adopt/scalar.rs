//! What a YAML 1.1 reader, such as Ansible's or heat's, makes of a scalar that stands without quotes.

use regex::Regex;
use std::sync::LazyLock;

/// What a plain scalar means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// The text itself.
    Text,
    /// A whole number that is rendered as it is written.
    Number,
    /// Nothing.
    Nothing,
    /// Something that is rendered otherwise than it is written.
    Otherwise(&'static str),
}

/// What YAML 1.1 makes of a plain scalar.
pub fn plain(text: &str) -> Plain {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Plain::Nothing;
    }
    if is_decimal(text) {
        return Plain::Number;
    }
    for (what, pattern) in TYPES.iter() {
        if pattern.is_match(text) {
            return Plain::Otherwise(what);
        }
    }
    Plain::Text
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text == "0" || (digits.starts_with(|c| matches!(c, '1'..='9')) && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The types of YAML 1.1 as its repository of types gives them, with PyYAML's narrower floats.
static TYPES: LazyLock<[(&'static str, Regex); 5]> = LazyLock::new(|| {
    [
        ("a boolean", r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$"),
        (
            "a fraction",
            r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        ),
        (
            "a number",
            r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
        ),
        (
            "a date",
            r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$",
        ),
        ("a key of YAML's own", r"^(?:=|<<)$"),
    ]
    .map(|(what, pattern)| (what, Regex::new(pattern).expect("a literal that the tests use")))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_as_it_is_written_is_text() {
        for text in ["abc", "1e5", "0189", "y", "no-way", "a: b", "1.2.3", "0x", "p@ss", "Ünïcode", "-"] {
            assert_eq!(plain(text), Plain::Text, "{text:?}");
        }
        for text in
            ["yes", "OFF", "0123", "0x1F", "1_000", "+1", "-0", "12:30", "1.50", ".5", "2026-11-23", "=", "0b11"]
        {
            assert!(matches!(plain(text), Plain::Otherwise(_)), "{text:?}");
        }
        for text in ["0", "12345", "-5"] {
            assert_eq!(plain(text), Plain::Number, "{text:?}");
        }
        for text in ["", "~", "null"] {
            assert_eq!(plain(text), Plain::Nothing);
        }
    }
}
