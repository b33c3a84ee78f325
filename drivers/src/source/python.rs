//! What Python's own conversions do, where oslo.config leans on them.

use std::fmt::Write;

/// Whether Python calls a character white space: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip`.
pub(super) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.lstrip`.
pub(super) fn strip_start(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// `int(text)` in canonical decimal digits; `None` where it raises. Digits are ASCII.
pub(super) fn integer(text: &str) -> Option<String> {
    let text = strip_number(text);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = without_underscores(digits)?;
    // Python refuses to convert more digits than this.
    if digits.is_empty() || digits.len() > 4300 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some(match (digits, negative) {
        ("", _) => "0".to_owned(),
        (digits, true) => format!("-{digits}"),
        (digits, false) => digits.to_owned(),
    })
}

/// `float(text)`; `None` where it raises.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = without_underscores(strip_number(text))?;
    text.parse().ok()
}

/// Without what Python passes over around a number: C's white space, and of the rest what is not ASCII.
fn strip_number(text: &str) -> &str {
    text.trim_matches(|c: char| is_space(c) && !('\u{1c}'..='\u{1f}').contains(&c))
}

/// Without the underscores, each of which must stand between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let between =
        |at: usize| at > 0 && bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    let good = bytes.iter().enumerate().all(|(at, byte)| *byte != b'_' || between(at));
    good.then(|| text.replace('_', ""))
}

/// `str(number)` of a float: as few digits as tell it apart, an exponent below 1e-4 and from 1e16 on.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{number:?}")
}

/// `repr(text)`.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => {
                // A `String` takes all that is written.
                let _ = match u32::from(c) {
                    code @ ..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable` of one character, for what is assigned in Unicode: no control, format, private or space character.
fn is_printable(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    c == ' ' || !(c.is_control() || is_space(c) || format || private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, expected) in [
            (" 007 ", Some("7")),
            ("-0", Some("0")),
            ("+1_000", Some("1000")),
            ("-12", Some("-12")),
            ("1__0", None),
            ("_1", None),
            ("0x10", None),
            ("1.0", None),
            ("", None),
            ("- 1", None),
            ("1\u{1c}", None),
            ("\u{a0}1\u{1c}", None),
            ("\u{a0}1\u{2003}", Some("1")),
        ] {
            assert_eq!(integer(text).as_deref(), expected, "{text}");
        }
        assert_eq!(float("1_0.5e1"), Some(105.0));
        assert_eq!(float("1_.5"), None);
        assert_eq!(float("-Infinity"), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (-0.0, "-0.0"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float_text(number), expected);
        }
    }

    #[test]
    fn texts_are_quoted_as_python_quotes_them() {
        assert_eq!(repr("a"), "'a'");
        assert_eq!(repr("it's"), "\"it's\"");
        assert_eq!(repr("'\""), "'\\'\"'");
        assert_eq!(repr("\n\u{7f}é\u{a0}\u{2028}"), "'\\n\\x7fé\\xa0\\u2028'");
    }
}
