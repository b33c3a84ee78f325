//! What a node stores of a user: whether it may log in, and the hashes of what it accepts.

use super::connection::{Connection, Fault};
use crate::material::Material;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// One user as a node tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    /// Such as `on`, `nopass`.
    flags: BTreeSet<String>,
    /// The hashes of the values that it accepts.
    pub(super) hashes: BTreeSet<String>,
}

impl User {
    /// Reads one; `None` where there is none.
    pub(super) async fn read(connection: &mut Connection, user: &str) -> Result<Option<Self>, Fault> {
        let answer = connection.ask(&[b"ACL", b"GETUSER", user.as_bytes()]).await?.list();
        if answer.is_empty() {
            return Ok(None);
        }
        let mut found = Self { flags: BTreeSet::new(), hashes: BTreeSet::new() };
        let mut fields = answer.into_iter();
        while let (Some(name), Some(field)) = (fields.next(), fields.next()) {
            let into = match name.text().as_deref() {
                Some("flags") => &mut found.flags,
                Some("passwords") => &mut found.hashes,
                Some(_) | None => continue,
            };
            into.extend(field.list().iter().filter_map(super::resp::Reply::text));
        }
        Ok(Some(found))
    }

    /// Whether it may log in at all.
    pub(super) fn is_on(&self) -> bool {
        self.flags.contains("on")
    }

    /// Whether any value lets it in.
    pub(super) fn is_open(&self) -> bool {
        self.flags.contains("nopass")
    }
}

/// What the server stores of a value.
pub(super) fn hash(value: &Material) -> String {
    // EXPOSE: hashed; what leaves is what the server would make of it
    hex::encode(Sha256::digest(value.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_server() {
        // What Redis 7.0 showed for `ACL SETUSER app >x`.
        let hash = hash(&Material::from("x".to_owned()));
        assert_eq!(hash, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
    }
}
