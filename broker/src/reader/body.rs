//! What the body of a request says: JSON, or a form.

use super::{
    answer::Answer,
    form,
    request::{Asked, Media},
};
use donjon_drivers::material::Material;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};
use std::fmt;

/// What a login says.
#[derive(Deserialize, Default)]
pub(super) struct Credential {
    #[serde(default)]
    pub(super) role_id: Loose,
    #[serde(default)]
    pub(super) secret_id: Loose,
}

/// A text as OpenBao reads one: numbers and truth values become text, too.
#[derive(Default)]
pub(super) enum Loose {
    #[default]
    Absent,
    Text(Material),
    Map,
    List,
}

/// What a body says of a login. Whatever writes is refused, before it is known who asks, where that is neither a form nor a JSON
/// object.
pub(super) fn credential(asked: &Asked) -> Result<Credential, Answer> {
    // EXPOSE: parsed in place; the secret-id lands in a Material
    let body = asked.body.expose();
    // `curl -d` says so of JSON, too.
    if asked.media == Media::Form && !matches!(trimmed(body), [b'{' | b'[', ..]) {
        return of_form(body).ok_or_else(|| Answer::errors(400, &["error parsing form data"]));
    }
    let other = |first| match first {
        b'[' => {
            "failed to decode JSON input: json: cannot unmarshal array into Go value of type map[string]interface {}"
        }
        b'"' => {
            "failed to decode JSON input: json: cannot unmarshal string into Go value of type map[string]interface {}"
        }
        b't' | b'f' => {
            "failed to decode JSON input: json: cannot unmarshal bool into Go value of type map[string]interface {}"
        }
        _ => "failed to decode JSON input: json: cannot unmarshal number into Go value of type map[string]interface {}",
    };
    object(body, other).map_err(|error| Answer::errors(400, &[error]))
}

/// What a JSON object says, and what an empty one would where there is none. `other` is what is said of other JSON, by how it
/// begins.
pub(super) fn object<'a, T: Deserialize<'a> + Default>(
    body: &'a [u8],
    other: impl Fn(u8) -> &'static str,
) -> Result<T, &'static str> {
    let body = trimmed(body);
    match body {
        b"" | b"null" => Ok(T::default()),
        // The decoder refuses more than 128 levels.
        [b'{', ..] => serde_json::from_slice(body).map_err(|error| broken(&error)),
        // Of what is no object, theirs tells first whether it is JSON at all.
        [first, ..] => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Err(other(*first)),
            Err(error) => Err(broken(&error)),
        },
    }
}

/// Without what JSON takes for blanks (RFC 8259, 2).
fn trimmed(body: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let begins = body.iter().take_while(|byte| is_blank(byte)).count();
    let body = &body[begins..];
    let after = body.iter().rev().take_while(|byte| is_blank(byte)).count();
    &body[..body.len() - after]
}

/// What OpenBao says of broken JSON; where it goes on with what was sent, no more than up to there.
fn broken(error: &serde_json::Error) -> &'static str {
    if error.is_eof() { "failed to decode JSON input: unexpected EOF" } else { UNDECODED }
}

/// Of several values of one name OpenBao makes one, with commas.
fn of_form(body: &[u8]) -> Option<Credential> {
    let (mut role_id, mut secret_id) = (Loose::Absent, Loose::Absent);
    for pair in form::pairs(body) {
        let (name, value) = pair?;
        // EXPOSE: the name alone is looked at
        let said = match name.expose() {
            b"role_id" => &mut role_id,
            b"secret_id" => &mut secret_id,
            _ => continue,
        };
        *said = Loose::Text(match said {
            Loose::Text(before) => joined(before, &value),
            Loose::Absent | Loose::Map | Loose::List => value,
        });
    }
    Some(Credential { role_id, secret_id })
}

fn joined(before: &Material, value: &Material) -> Material {
    let mut both = Vec::with_capacity(before.len() + 1 + value.len());
    // EXPOSE: into a Material of both
    both.extend_from_slice(before.expose());
    both.push(b',');
    both.extend_from_slice(value.expose());
    Material::new(both)
}

impl Loose {
    /// The text that it is, if any; these are said of what is none.
    pub(super) fn text(self, map: &'static str, list: &'static str) -> Result<Option<Material>, Answer> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Map => Err(Answer::errors(500, &[map])),
            Self::List => Err(Answer::errors(500, &[list])),
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> de::Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(Material::new(text.as_bytes().to_vec())))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Loose, E> {
                Ok(Loose::Text(Material::from(text)))
            }
            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Loose, E> {
                self.visit_str(if truth { "1" } else { "0" })
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Loose, E> {
                self.visit_string(number.to_string())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Loose, E> {
                self.visit_string(number.to_string())
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Loose, E> {
                self.visit_string(number.to_string())
            }
            fn visit_unit<E: de::Error>(self) -> Result<Loose, E> {
                Ok(Loose::Absent)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Map)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::List)
            }
        }
        from.deserialize_any(Any)
    }
}

/// How OpenBao begins when JSON is not what it is to be.
pub(super) const UNDECODED: &str = "failed to decode JSON input";
