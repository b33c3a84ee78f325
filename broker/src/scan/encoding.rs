//! The forms in which a value may stand in a file.

use super::quoting;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How a value was written where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is.
    Raw,
    /// Base64, anywhere inside a longer text, standard or URL-safe.
    Base64,
    /// Hexadecimal, lower or upper case.
    Hex,
    /// Percent-encoded.
    Url,
    /// Escaped in a JSON string.
    Json,
    /// Quoted for YAML or a shell.
    Quoted,
}

/// The bytes of one form. They are as secret as the value.
pub type Form = Zeroizing<Vec<u8>>;

/// Every form of a value, or of a piece of one, that is looked for, white space as it is. Forms that read the same come
/// once, the plainest first.
pub fn forms(value: &[u8]) -> Vec<(Encoding, Form)> {
    every(value, Forms { list: Vec::new(), shortest: SHORTEST })
}

/// Every form as it is written, of values that may be shorter, for covering them.
pub fn written(value: &[u8]) -> impl Iterator<Item = Form> {
    let forms = Forms { list: Vec::new(), shortest: SHORTEST_COVERED };
    every(value, forms).into_iter().map(|(_, form)| form)
}

/// Every form in which a value lies in the memory of a process, white space as it is. Where it is long, its second half too:
/// who frees memory writes over the first bytes of a block.
pub fn in_memory(value: &[u8]) -> Vec<(Encoding, Form)> {
    let mut forms = forms(value);
    if value.len() >= 2 * SHORTEST_HALF {
        forms.push((Encoding::Raw, Zeroizing::new(value[value.len() / 2..].to_vec())));
    }
    forms
}

fn every(value: &[u8], mut forms: Forms) -> Vec<(Encoding, Form)> {
    forms.add(Encoding::Raw, Zeroizing::new(value.to_vec()));
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for before in 0..3 {
            forms.add(Encoding::Base64, base64_inside(engine, value, before));
        }
    }
    forms.add(Encoding::Hex, hex(value, LOWER));
    forms.add(Encoding::Hex, hex(value, UPPER));
    for kept in ["", "-_.~", "-_.~/", "-_.~!*'()", "-_.~!$&'()*+,;=", "-_.~:/?#[]@!$&'()*+,;="] {
        for digits in [UPPER, LOWER] {
            forms.add(Encoding::Url, percent(value, kept, digits, None));
            forms.add(Encoding::Url, percent(value, kept, digits, Some(b'+')));
        }
    }
    let text = std::str::from_utf8(value).ok();
    text.into_iter().flat_map(quoting::json_forms).for_each(|form| forms.add(Encoding::Json, form));
    forms.add(Encoding::Quoted, quoting::doubled(value));
    text.into_iter().flat_map(quoting::yaml_forms).for_each(|form| forms.add(Encoding::Quoted, form));
    quoting::shell_forms(value).into_iter().for_each(|form| forms.add(Encoding::Quoted, form));
    forms.list
}

struct Forms {
    list: Vec<(Encoding, Form)>,
    shortest: usize,
}

impl Forms {
    fn add(&mut self, encoding: Encoding, form: Form) {
        if form.len() >= self.shortest && self.list.iter().all(|(_, other)| **other != *form) {
            self.list.push((encoding, form));
        }
    }
}

/// What is left out of files and needles alike.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The characters of a longer base64 text that this value alone decides, when `before` bytes of its group come first.
fn base64_inside(engine: &impl Engine, value: &[u8], before: usize) -> Form {
    let mut padded = Zeroizing::new(vec![0; before + value.len()]);
    padded[before..].copy_from_slice(value);
    let mut text = Zeroizing::new(vec![0; padded.len().div_ceil(3) * 4]);
    let written = engine.encode_slice(&*padded, &mut text).unwrap_or(0);
    let (first, end) = ((before * 8).div_ceil(6), (padded.len() * 8 / 6).min(written));
    Zeroizing::new(text.get(first..end).unwrap_or_default().to_vec())
}

fn hex(value: &[u8], digits: &[u8; 16]) -> Form {
    let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    value.iter().for_each(|byte| text.extend_from_slice(&two_digits(*byte, digits)));
    text
}

fn percent(value: &[u8], kept: &str, digits: &[u8; 16], space: Option<u8>) -> Form {
    let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 3));
    for byte in value {
        match (byte, space) {
            (b' ', Some(space)) => text.push(space),
            _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(byte) => text.push(*byte),
            _ => {
                text.push(b'%');
                text.extend_from_slice(&two_digits(*byte, digits));
            }
        }
    }
    text
}

/// A byte in two digits.
pub(super) fn two_digits(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Shorter than this says nothing: it would be found everywhere.
pub const SHORTEST: usize = 8;
/// A half that is shorter may be a word that stands anywhere.
const SHORTEST_HALF: usize = 16;
/// What is covered may be shorter: covering too much does no harm.
pub const SHORTEST_COVERED: usize = 4;
/// The digits of hex.
pub(super) const LOWER: &[u8; 16] = b"0123456789abcdef";
/// The same in upper case.
pub(super) const UPPER: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn has(value: &[u8], encoding: Encoding, written: &[u8]) -> bool {
        let bare = |text: &[u8]| text.iter().copied().filter(|byte| !is_space(*byte)).collect::<Vec<u8>>();
        forms(value).iter().any(|(of, form)| *of == encoding && bare(form) == bare(written))
    }

    proptest! {
        #[test]
        fn base64_is_found_at_every_offset(before in proptest::collection::vec(any::<u8>(), 0..7), value in proptest::collection::vec(any::<u8>(), 8..80), after in proptest::collection::vec(any::<u8>(), 0..7)) {
            let whole = [before, value.clone(), after].concat();
            for text in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                let there = forms(&value).iter().any(|(encoding, form)| {
                    *encoding == Encoding::Base64 && text.as_bytes().windows(form.len()).any(|part| part == &form[..])
                });
                prop_assert!(there, "{}", text);
            }
        }

        #[test]
        fn json_of_any_text_is_one_of_the_forms(text in "\\PC{8,40}|[ -~\\n\\t\"\\\\]{8,40}") {
            let quoted = serde_json::to_string(&text).unwrap();
            let written = &quoted.as_bytes()[1..quoted.len() - 1];
            prop_assert!(forms(text.as_bytes()).iter().any(|(_, form)| **form == *written));
        }
    }

    #[test]
    fn escapes_are_those_that_others_write() {
        let value = "pa/ss\"w'ör$d+1 é".as_bytes();
        assert!(has(value, Encoding::Url, b"pa%2Fss%22w%27%C3%B6r%24d%2B1%20%C3%A9"), "urllib.parse.quote(v, safe='')");
        assert!(has(value, Encoding::Url, b"pa/ss%22w%27%C3%B6r%24d%2B1%20%C3%A9"), "urllib.parse.quote(v)");
        assert!(has(value, Encoding::Url, b"pa%2fss%22w%27%c3%b6r%24d%2b1+%c3%a9"), "lower case, form encoding");
        assert!(has(value, Encoding::Json, "pa/ss\\\"w'ör$d+1é".as_bytes()));
        assert!(has(value, Encoding::Json, b"pa/ss\\\"w'\\u00f6r$d+1\\u00e9"), "json.dumps");
        assert!(has(value, Encoding::Json, "pa\\/ss\\\"w'ör$d+1é".as_bytes()), "slashes escaped");
        assert!(has(value, Encoding::Quoted, "pa/ss\"w''ör$d+1é".as_bytes()), "YAML");
        assert!(has(value, Encoding::Quoted, "pa/ss\"w'\\''ör$d+1é".as_bytes()), "a shell");
        assert!(has(b"abcdefgh", Encoding::Json, br"\u0061\u0062\u0063\u0064\u0065\u0066\u0067\u0068"));
        assert!(has(b"abc<efgh", Encoding::Json, br"abc\u003cefgh"), "Go");
        assert!(has(b"abcdefgh", Encoding::Hex, b"6162636465666768"));
        assert!(has(&[0xab; 8], Encoding::Hex, b"ABABABABABABABAB"));
    }

    #[test]
    fn letters_and_digits_are_not_looked_for_twice() {
        let count = |encoding| forms(b"abcdefghABCDEFGH12345678").iter().filter(|(of, _)| *of == encoding).count();
        assert_eq!((count(Encoding::Raw), count(Encoding::Url), count(Encoding::Quoted)), (1, 0, 0));
    }
}
