//! Text that may be a secret: UTF-8 held as material.

use crate::material::Material;
use std::fmt;

/// A text that may be a secret. It is not printed, and wiped when dropped.
pub struct Text(Material);

impl Text {
    /// The text itself. Say why where you call it.
    pub fn expose(&self) -> &str {
        // EXPOSE: handed on to a caller that says why; the bytes came from a `String`
        self.0.expose_text().unwrap_or_default()
    }

    /// Bytes as text, where they are UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().map(Self::from)
    }

    /// The bytes.
    pub fn into_material(self) -> Material {
        self.0
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Material::from(text.to_owned()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Material::from(text))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(redacted)")
    }
}
