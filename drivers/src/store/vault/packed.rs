//! Documents of many parts, as the one string that a server takes.
//!
//! OpenBao refuses requests of more than 1,000 JSON strings ("high complexity"), keys included, which a ledger of a few
//! hundred versions or a journal of a few hundred secrets has. Such a document is stored as `{"packed": TEXT}`, where TEXT
//! is its JSON. Records that other clients read have a dozen strings and are stored as they are.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The text to be stored for a document's.
pub(super) fn pack(text: &[u8]) -> Option<Vec<u8>> {
    if strings(text) <= MOST_STRINGS {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    // Long enough that no part of it is left behind by a larger copy: JSON text has no bare control characters, so what
    // is escaped becomes two bytes.
    let mut packed = Vec::with_capacity(text.len() * 2 + 16);
    packed.extend_from_slice(br#"{"packed":"#);
    serde_json::to_writer(&mut packed, text).ok()?;
    packed.push(b'}');
    Some(packed)
}

/// A document's text from what was stored; `None` where it was stored as it is.
pub(super) fn unpack(stored: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Packed<'a> {
        #[serde(borrow)]
        packed: &'a RawValue,
    }
    let Packed { packed } = serde_json::from_slice(stored).ok()?;
    let text: String = serde_json::from_str(packed.get()).ok()?;
    Some(text.into_bytes())
}

/// How many strings JSON text has, keys included.
fn strings(text: &[u8]) -> usize {
    let (mut count, mut inside, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => {
                count += usize::from(!inside);
                inside = !inside;
            }
            _ => {}
        }
    }
    count
}

/// Half of what OpenBao takes, for what a request has around the document.
const MOST_STRINGS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_record_of_few_strings_is_stored_as_it_is_however_odd() {
        let quotes = json!({"value": "\"\\\"".repeat(1000), "created": 1}).to_string();
        assert_eq!(strings(quotes.as_bytes()), 3);
        assert!(pack(quotes.as_bytes()).is_none() && unpack(quotes.as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_packed_is_one_string_and_comes_back(values in proptest::collection::vec(".{0,8}", 300..400)) {
            let text = Value::from_iter([("all", Value::from_iter(values.into_iter().map(|v| json!({ v: 1, "k": "v" }))))]);
            let text = text.to_string();
            let packed = pack(text.as_bytes()).unwrap();
            prop_assert_eq!(strings(&packed), 2);
            prop_assert_eq!(unpack(&packed).unwrap(), text.into_bytes());
        }
    }
}
