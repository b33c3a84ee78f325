//! What goes to a node's program and what comes back.

use super::{Reading, document::Repository};
use crate::material::Material;
use donjon_policies::keyring::{Change, Fingerprint, Ring};
use std::{collections::BTreeMap, fmt::Write};

/// The input that changes nothing.
pub(super) fn question() -> Material {
    Material::from("end\n".to_owned())
}

/// The input that makes these changes where a node holds just this. `None` where a key is not in the wanted repository.
pub(super) fn order(node: &Ring, changes: &[Change], wanted: &Repository) -> Option<Material> {
    let mut have: Vec<String> =
        node.0.iter().map(|(index, key)| format!("have {index} {}\n", hex::encode(key.0))).collect();
    // As `sort` puts them there, in the C locale or not: digits, then a blank.
    have.sort();
    let mut input = Vec::with_capacity(have.iter().map(String::len).sum::<usize>() + 16 + changes.len() * 64);
    input.extend_from_slice(have.concat().as_bytes());
    input.extend_from_slice(b"go\n");
    for change in changes {
        match change {
            Change::Put { at, key } => {
                let mut line = String::new();
                // A `String` takes all that is written.
                let _ = write!(line, "put {at} ");
                input.extend_from_slice(line.as_bytes());
                input.extend_from_slice(wanted.key(*key)?.expose()); // EXPOSE: into the input of the node's program
                input.push(b'\n');
            }
            Change::Drop(index) => input.extend_from_slice(format!("drop {index}\n").as_bytes()),
        }
    }
    input.extend_from_slice(b"end\n");
    Some(Material::new(input))
}

/// What a node's program printed. `None` where it is not that.
pub(super) fn parse(text: &str) -> Option<Reading> {
    let (mut keys, mut since, mut now) = (BTreeMap::new(), BTreeMap::new(), None);
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["key", index, digest, came] => {
                let index: u32 = index.parse().ok().filter(|number: &u32| number.to_string() == *index)?;
                let mut print = [0; 32];
                hex::decode_to_slice(digest, &mut print).ok()?;
                keys.insert(index, Fingerprint(print));
                since.insert(index, came.parse().ok()?);
            }
            ["now", time] => now = Some(time.parse().ok()?),
            _ => return None,
        }
    }
    Some(Reading { ring: Ring(keys), since, now: now? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_whole_or_not_at_all() {
        let digest = "ab".repeat(32);
        let read = parse(&format!("key 0 {digest} 5\nkey 12 {digest} 6\nnow 7\n")).unwrap();
        assert_eq!((read.ring.0.len(), read.since[&12], read.now), (2, 6, 7));
        for wrong in [
            format!("key 0 {digest} 5\n"),
            format!("key 00 {digest} 5\nnow 7\n"),
            format!("key 0 {} 5\nnow 7\n", &digest[1..]),
            format!("key 0 {digest} 5\nodd\nnow 7\n"),
            String::new(),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong:?}");
        }
    }
}
