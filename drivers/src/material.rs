//! The bytes of a secret: the one type that holds them, and the one way to read them.

use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Secret bytes, wiped when dropped.
///
/// It is never cloned, printed, compared by `==` or serialised by accident: there is no such implementation.
/// Each use of [`Material::expose`] carries a comment `// EXPOSE: why`.
pub struct Material(SecretBox<[u8]>);

impl Material {
    /// Takes the bytes over. The vector's own memory is wiped where it had to be copied.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.len() == bytes.capacity() {
            return Self(SecretBox::new(bytes.into_boxed_slice()));
        }
        let exact: Box<[u8]> = bytes.as_slice().into();
        bytes.zeroize();
        Self(SecretBox::new(exact))
    }

    /// The bytes themselves. Say why where you call it.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The bytes as text, where they are UTF-8. Say why where you call it.
    pub fn expose_text(&self) -> Result<&str, NotText> {
        std::str::from_utf8(self.expose()).map_err(|_| NotText)
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.expose().len() // EXPOSE: only the length leaves
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both hold the same bytes, in a time that depends on their lengths alone.
    pub fn matches(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into() // EXPOSE: compared in constant time
    }

    /// A second copy, made on purpose.
    pub fn duplicate(&self) -> Self {
        Self::new(self.expose().to_vec()) // EXPOSE: copied into another Material
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(redacted)")
    }
}

impl From<String> for Material {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl<'de> Deserialize<'de> for Material {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Material;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Material, E> {
                Ok(Material::new(text.as_bytes().to_vec()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Material, E> {
                Ok(Material::from(text))
            }
        }
        from.deserialize_string(Text)
    }
}

/// The bytes are not UTF-8, so they cannot stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not UTF-8 text")]
pub struct NotText;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_the_bytes() {
        let material = Material::from("canary-4711".to_owned());
        let printed = format!("{material:?} {:#?}", Some(&material));
        assert!(!printed.contains("canary"), "{printed}");
        assert_eq!(material.expose(), b"canary-4711"); // EXPOSE: the control: the bytes were there to be seen
    }

    #[test]
    fn comparison_is_of_the_bytes() {
        let one = Material::from("a".to_owned());
        assert!(one.matches(&one.duplicate()));
        assert!(!one.matches(&Material::from("b".to_owned())));
        assert!(!one.matches(&Material::from("aa".to_owned())));
    }
}
