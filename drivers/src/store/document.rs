//! A record's JSON object, held as secret bytes because most of them are.

use crate::material::Material;
use serde::{Serialize, de::DeserializeOwned};

/// The JSON text of one object. It may hold a secret, so it is held as one.
#[derive(Debug)]
pub struct Document(Material);

impl Document {
    /// Takes JSON text over, refusing what is no object.
    pub fn from_json(text: Material) -> Result<Self, NoObject> {
        // EXPOSE: parsed in place to see that it is an object; nothing is kept
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(text.expose()).map_err(|_| NoObject)?;
        drop(object);
        Ok(Self(text))
    }

    /// Writes something that holds no secret, such as a journal or a label.
    pub fn plain<T: Serialize>(value: &T) -> Result<Self, NoObject> {
        Self::from_json(Material::new(serde_json::to_vec(value).map_err(|_| NoObject)?))
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

/// The text is not the JSON object that was expected. What it holds is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the JSON object that was expected")]
pub struct NoObject;

#[cfg(test)]
mod tests {
    use super::*;

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
