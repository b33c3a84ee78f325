//! How a text is escaped in JSON and YAML, and quoted for a shell, as common programs do it.

use super::encoding::{Form, LOWER, UPPER, two_digits};
use zeroize::Zeroizing;

/// Every way in which a text stands between the quotes of JSON.
pub(super) fn json_forms(text: &str) -> Vec<Form> {
    let number = |yes: bool| if yes { Escape::Number } else { Escape::Short };
    let mut forms = Vec::new();
    for digits in [LOWER, UPPER] {
        forms.push(json(text, digits, |_| Escape::Short));
        forms.push(json(text, digits, |c| number(!c.is_ascii())));
        // Python takes the last ASCII character for none that can be printed.
        forms.push(json(text, digits, |c| number(c > '~')));
        forms.push(json(text, digits, |c| number("<>&\u{2028}\u{2029}".contains(c))));
        forms.push(json(text, digits, |c| if c == '/' { Escape::Backslash } else { Escape::Short }));
        forms.push(json(text, digits, |_| Escape::Number));
    }
    forms
}

/// Every way in which a text stands between the double quotes of YAML. Where it is folded is the reader's affair.
pub(super) fn yaml_forms(text: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    for digits in [UPPER, LOWER] {
        forms.push(yaml(text, digits, is_plain));
        forms.push(yaml(text, digits, |c| is_plain(c) || (c < '\u{10000}' && is_shown_by_yaml(c))));
        forms.push(yaml(text, digits, |c| is_plain(c) || is_shown_by_yaml(c)));
    }
    forms
}

/// Every way in which a value is quoted for a shell: in single and double quotes, by backslashes, and in bash's `$'…'`.
pub(super) fn shell_forms(value: &[u8]) -> Vec<Form> {
    let quote = |with: &[u8]| -> Form { replace(value, |byte| (byte == b'\'').then_some(with)) };
    vec![
        quote(b"'\\''"),
        quote(b"'\"'\"'"),
        backslash(value, |_, byte| b"\"\\$`".contains(&byte)),
        // Before all that is not a word, as many do; and before what bash quotes, at its beginning or behind other text.
        backslash(value, |_, byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"-_./,:@%+=".contains(&byte)),
        backslash(value, |before, byte| is_quoted_by_bash(before, byte) || (before.is_none() && b"#~".contains(&byte))),
        backslash(value, is_quoted_by_bash),
        dollar(value, is_plain),
        dollar(value, |c| is_plain(c) || !is_control(c)),
        dollar(value, |c| is_plain(c) || (!is_control(c) && is_assigned(c))),
    ]
}

/// As YAML has it in single quotes.
pub(super) fn doubled(value: &[u8]) -> Form {
    replace(value, |byte| (byte == b'\'').then_some(b"''".as_slice()))
}

enum Escape {
    Short,
    Backslash,
    Number,
}

fn json(text: &str, digits: &[u8; 16], escape: impl Fn(char) -> Escape) -> Form {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() * 6));
    for c in text.chars() {
        let short = match c {
            '"' => Some(b'"'),
            '\\' => Some(b'\\'),
            '\n' => Some(b'n'),
            '\r' => Some(b'r'),
            '\t' => Some(b't'),
            '\u{8}' => Some(b'b'),
            '\u{c}' => Some(b'f'),
            _ => None,
        };
        match (escape(c), short) {
            (Escape::Number, _) => number(c, digits, &mut out),
            (Escape::Short | Escape::Backslash, Some(letter)) => out.extend_from_slice(&[b'\\', letter]),
            (Escape::Short | Escape::Backslash, None) if c < ' ' => number(c, digits, &mut out),
            (Escape::Backslash, None) if c.is_ascii() => out.extend_from_slice(&[b'\\', c as u8]),
            (Escape::Short | Escape::Backslash, None) => as_it_is(c, &mut out),
        }
    }
    out
}

fn number(c: char, digits: &[u8; 16], out: &mut Vec<u8>) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        unit.to_be_bytes().iter().for_each(|byte| out.extend_from_slice(&two_digits(*byte, digits)));
    }
}

fn yaml(text: &str, digits: &[u8; 16], kept: impl Fn(char) -> bool) -> Form {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() * 10));
    for c in text.chars() {
        let short = match c {
            '"' => Some(b'"'),
            '\\' => Some(b'\\'),
            '\0' => Some(b'0'),
            '\u{7}' => Some(b'a'),
            '\u{8}' => Some(b'b'),
            '\t' => Some(b't'),
            '\n' => Some(b'n'),
            '\u{b}' => Some(b'v'),
            '\u{c}' => Some(b'f'),
            '\r' => Some(b'r'),
            '\u{1b}' => Some(b'e'),
            '\u{85}' => Some(b'N'),
            '\u{a0}' => Some(b'_'),
            '\u{2028}' => Some(b'L'),
            '\u{2029}' => Some(b'P'),
            _ => None,
        };
        let (letter, bytes) = match u32::from(c) {
            code @ 0..=0xff => (b'x', &code.to_be_bytes()[3..]),
            code @ 0x100..=0xffff => (b'u', &code.to_be_bytes()[2..]),
            code => (b'U', &code.to_be_bytes()[..]),
        };
        match short {
            Some(b'"' | b'\\') => out.extend_from_slice(&[b'\\', c as u8]),
            Some(_) | None if kept(c) => as_it_is(c, &mut out),
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => {
                out.extend_from_slice(&[b'\\', letter]);
                bytes.iter().for_each(|byte| out.extend_from_slice(&two_digits(*byte, digits)));
            }
        }
    }
    out
}

/// `$'…'` of bash: what its locale cannot print is in octal, byte by byte.
fn dollar(value: &[u8], printed: impl Fn(char) -> bool) -> Form {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 4));
    let octal = |byte: &u8, out: &mut Vec<u8>| {
        out.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
    };
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            let short = match c {
                '\\' | '\'' => Some(c as u8),
                '\u{7}' => Some(b'a'),
                '\u{8}' => Some(b'b'),
                '\t' => Some(b't'),
                '\n' => Some(b'n'),
                '\u{b}' => Some(b'v'),
                '\u{c}' => Some(b'f'),
                '\r' => Some(b'r'),
                '\u{1b}' => Some(b'E'),
                _ => None,
            };
            match short {
                Some(letter) => out.extend_from_slice(&[b'\\', letter]),
                None if printed(c) => as_it_is(c, &mut out),
                None => c.encode_utf8(&mut [0; 4]).as_bytes().iter().for_each(|byte| octal(byte, &mut out)),
            }
        }
        chunk.invalid().iter().for_each(|byte| octal(byte, &mut out));
    }
    out
}

fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// What YAML's writers take for text, ASCII apart.
fn is_shown_by_yaml(c: char) -> bool {
    !c.is_ascii() && !matches!(c, '\u{80}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
}

/// What no C library takes for text in a UTF-8 locale.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character means something, as far as is known here: what does not is no text for a C library either.
fn is_assigned(c: char) -> bool {
    // Of its like, these are escaped for being invisible.
    let invisible = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}');
    invisible || c.is_whitespace() || !['_', c].iter().collect::<String>().escape_debug().any(|shown| shown == '\\')
}

fn as_it_is(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn replace<'a>(value: &[u8], with: impl Fn(u8) -> Option<&'a [u8]>) -> Form {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 5));
    for byte in value {
        match with(*byte) {
            Some(other) => out.extend_from_slice(other),
            None => out.push(*byte),
        }
    }
    out
}

/// Puts a backslash before a byte, by what it is and what comes before it.
fn backslash(value: &[u8], quoted: impl Fn(Option<u8>, u8) -> bool) -> Form {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    for (at, byte) in value.iter().enumerate() {
        if quoted(at.checked_sub(1).map(|before| value[before]), *byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

fn is_quoted_by_bash(before: Option<u8>, byte: u8) -> bool {
    QUOTED_BY_BASH.contains(&byte) || (byte == b'~' && matches!(before, Some(b':' | b'=')))
}

const QUOTED_BY_BASH: &[u8] = b" !\"$&'()*,;<>?[\\]^`{|}";
