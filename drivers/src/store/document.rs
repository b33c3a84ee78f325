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

    /// The JSON text, for a driver that sends it on.
    pub fn text(&self) -> &Material {
        &self.0
    }
}

/// The text is not the JSON object that was expected. What it holds is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the JSON object that was expected")]
pub struct NoObject;
