//! A record's JSON object, held as secret bytes because most of them are.

use crate::material::Material;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use std::fmt;

/// The JSON text of one object. It may hold a secret, so it is held as one.
#[derive(Debug)]
pub struct Document(Material);

impl Document {
    /// Takes JSON text over, refusing what is no object.
    pub fn from_json(text: Material) -> Result<Self, NoObject> {
        // EXPOSE: gone through in place to see that it is an object; nothing of it is copied
        let object = std::str::from_utf8(text.expose()).map_err(|_| NoObject)?;
        serde_json::from_str::<Object>(object).map_err(|_| NoObject)?;
        Ok(Self(text))
    }

    /// Writes something that holds no secret, such as a journal or a label.
    pub fn plain<T: Serialize>(value: &T) -> Result<Self, NoObject> {
        Self::written(Material::new(serde_json::to_vec(value).map_err(|_| NoObject)?))
    }

    /// Takes over what a JSON writer has just written whole, refusing what is no object.
    pub fn written(text: Material) -> Result<Self, NoObject> {
        // EXPOSE: its first byte tells, since a writer puts no white space before an object
        if text.expose().first() == Some(&b'{') { Ok(Self(text)) } else { Err(NoObject) }
    }

    /// The same once more.
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// Reads it as a type; secrets in it land in [`Material`] fields.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, NoObject> {
        // EXPOSE: parsed in place; secret fields land in Material
        serde_json::from_slice(self.0.expose()).map_err(|_| NoObject)
    }

    /// Whether both say the same. Stores write an object's fields in an order of their own, and escape as they like.
    pub fn matches(&self, other: &Self) -> bool {
        // EXPOSE: compared; the wiping allocator clears what the parser leaves
        let parsed = |document: &Self| serde_json::from_slice::<serde_json::Value>(document.0.expose()).ok();
        self.0.matches(&other.0) || parsed(self).zip(parsed(other)).is_some_and(|(one, other)| one == other)
    }

    /// The JSON text, for a driver that sends it on.
    pub fn text(&self) -> &Material {
        &self.0
    }
}

/// Any JSON object, gone through and not kept.
struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object)
            }
        }
        from.deserialize_map(Fields)
    }
}

/// The text is not the JSON object that was expected. What it holds is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the JSON object that was expected")]
pub struct NoObject;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_is_a_document() {
        let is_one = |text: &[u8]| Document::from_json(Material::new(text.to_vec())).is_ok();
        for object in [&b"{}"[..], br#" {"a":{"b":[1,null,"x"]},"c":"\u00e9"} "#, "{\"\u{e9}\":1}".as_bytes()] {
            assert!(is_one(object), "{}", String::from_utf8_lossy(object));
        }
        let others: [&[u8]; 10] =
            [b"", b"[]", b"1", b"\"x\"", b"null", b"{", b"{}x", b"{\"a\"}", b"{\"a\":\"\xff\"}", b"{\"a\":\"\\q\"}"];
        for other in others {
            assert!(!is_one(other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn what_a_writer_wrote_is_a_document_if_it_is_an_object() {
        assert!(Document::plain(&serde_json::json!({})).is_ok());
        for other in [serde_json::json!([1]), serde_json::json!("{}"), serde_json::json!(null)] {
            assert!(Document::plain(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_order_of_fields_and_the_way_of_escaping_make_no_other_document() {
        let document = |text: &str| Document::from_json(Material::from(text.to_owned())).unwrap();
        let one = document(r#"{"b":"<x>","a":{"d":1,"c":[1,2]}}"#);
        assert!(one.matches(&document(r#"{ "a": {"c":[1,2],"d":1}, "b": "\u003cx\u003e" }"#)));
        for other in [r#"{"b":"<x>"}"#, r#"{"b":"<y>","a":{"d":1,"c":[1,2]}}"#, r#"{"b":"<x>","a":{"d":1,"c":[2,1]}}"#]
        {
            assert!(!one.matches(&document(other)), "{other}");
        }
    }
}
