//! `name=value&…`, as queries and forms are written: the WHATWG's `application/x-www-form-urlencoded`, but for pairs with a
//! semicolon or a broken escape, which Go's `url.ParseQuery` takes for none.

use donjon_drivers::material::Material;
use percent_encoding::percent_decode;

/// The pairs, in their order; `None` for what is none.
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = Option<(Material, Material)>> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let [name, value] = [halves.next(), halves.next()].map(|half| unescaped(half.unwrap_or_default()));
        Some((name?, value?)).filter(|_| !pair.contains(&b';'))
    })
}

/// What a part means; nothing where an escape is broken.
fn unescaped(part: &[u8]) -> Option<Material> {
    let whole = |escape: &[u8]| escape.len() >= 2 && escape[..2].iter().all(u8::is_ascii_hexdigit);
    if !part.split(|byte| *byte == b'%').skip(1).all(whole) {
        return None;
    }
    let mut plain = Vec::with_capacity(part.len());
    for piece in part.split_inclusive(|byte| *byte == b'+') {
        let (text, blank) = piece.strip_suffix(b"+").map_or((piece, None), |text| (text, Some(b' ')));
        plain.extend(percent_decode(text).chain(blank));
    }
    Some(Material::new(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Vec<Option<(Vec<u8>, Vec<u8>)>> {
        // EXPOSE: test values
        pairs(text).map(|pair| pair.map(|(name, value)| (name.expose().to_vec(), value.expose().to_vec()))).collect()
    }

    fn pair(name: &str, value: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((name.into(), value.into()))
    }

    #[test]
    fn broken_pairs_are_none_and_empty_ones_are_not_there() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"&&a=1&"), [pair("a", "1")]);
        assert_eq!(read(b"a&=b&=&c=d=e"), [pair("a", ""), pair("", "b"), pair("", ""), pair("c", "d=e")]);
        assert_eq!(read(b"a+b=%2b+%2B&l%69st=%7e"), [pair("a b", "+ +"), pair("list", "~")]);
        for broken in ["%", "%4", "%4g", "a=%zz", "%=1", "a;b=c", "a=b;c"] {
            assert_eq!(read(format!("{broken}&x=y").as_bytes()), [None, pair("x", "y")], "{broken}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_is_read_as_it_was(parts in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5)) {
            let escaped = |bytes: &[u8]| percent_encode(bytes, NON_ALPHANUMERIC).to_string();
            let text: Vec<String> = parts.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
            prop_assert_eq!(read(text.join("&").as_bytes()), parts.into_iter().map(Some).collect::<Vec<_>>());
        }

        #[test]
        fn nothing_panics(text in any::<Vec<u8>>()) {
            read(&text);
        }
    }
}
