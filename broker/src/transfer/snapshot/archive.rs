//! A snapshot as a server gives it: an archive with checksums, which are looked at before anybody is told of it.
//!
//! A standby answers a request for a snapshot with nothing, and success.

use donjon_drivers::material::Material;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// A snapshot that is whole.
#[derive(Debug)]
pub struct Snapshot(Material);

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSnapshot {
    /// It is empty.
    #[error("the snapshot is empty: a server that does not lead gives such")]
    Empty,
    /// It is no archive.
    #[error("the snapshot is no archive, or was cut off")]
    NoArchive,
    /// A part is not there.
    #[error("the snapshot has no `{part}`")]
    Missing {
        /// Which.
        part: &'static str,
    },
    /// A part does not fit its checksum.
    #[error("`{part}` of the snapshot does not fit its checksum")]
    Altered {
        /// Which.
        part: &'static str,
    },
}

impl Snapshot {
    /// Looks at all of it.
    pub fn checked(bytes: Material) -> Result<Self, NoSnapshot> {
        if bytes.is_empty() {
            return Err(NoSnapshot::Empty);
        }
        // EXPOSE: the server's own archive, which it has encrypted; only checksums of it are made here
        let parts = parts(bytes.expose()).map_err(|_| NoSnapshot::NoArchive)?;
        let sums = &parts.get(SUMS).ok_or(NoSnapshot::Missing { part: SUMS })?.text;
        for part in PARTS {
            let found = parts.get(part).ok_or(NoSnapshot::Missing { part })?;
            let wanted = format!("{}  {part}", found.digest);
            if !sums.lines().any(|line| line == wanted) {
                return Err(NoSnapshot::Altered { part });
            }
        }
        Ok(Self(bytes))
    }

    /// The archive.
    pub fn bytes(&self) -> &Material {
        &self.0
    }

    /// By which it is known again.
    pub fn digest(&self) -> String {
        // EXPOSE: digested
        hex::encode(Sha256::digest(self.0.expose()))
    }
}

struct Part {
    digest: String,
    text: String,
}

fn parts(archive: &[u8]) -> io::Result<BTreeMap<String, Part>> {
    let mut parts = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let (mut digest, mut text, mut buffer) = (Sha256::new(), Vec::new(), vec![0; 64 << 10]);
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            if name == SUMS && text.len() < LONGEST_SUMS {
                text.extend_from_slice(&buffer[..count]);
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        parts.insert(name, Part { digest: hex::encode(digest.finalize()), text });
    }
    Ok(parts)
}

const SUMS: &str = "SHA256SUMS";
const PARTS: [&str; 2] = ["meta.json", "state.bin"];
const LONGEST_SUMS: usize = 64 << 10;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    /// An archive as a server makes it.
    pub(in super::super) fn archive(parts: &[(&str, &[u8])]) -> Material {
        let mut sums = String::new();
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut put = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            tar.append_data(&mut header, name, content).unwrap();
        };
        for (name, content) in parts {
            put(name, content);
            sums += &format!("{}  {name}\n", hex::encode(Sha256::digest(content)));
        }
        put(SUMS, sums.as_bytes());
        Material::new(tar.into_inner().unwrap().finish().unwrap())
    }

    #[test]
    fn an_empty_a_cut_and_an_altered_one_are_told_apart() {
        let whole = archive(&[("meta.json", b"{}"), ("state.bin", &[7; 4096])]);
        let bytes = whole.expose().to_vec(); // EXPOSE: no secret
        Snapshot::checked(whole).unwrap();
        let check = |bytes: &[u8]| Snapshot::checked(Material::new(bytes.to_vec())).unwrap_err();
        assert_eq!(check(b""), NoSnapshot::Empty);
        assert_eq!(check(b"{}"), NoSnapshot::NoArchive);
        assert_eq!(check(&bytes[..bytes.len() / 2]), NoSnapshot::NoArchive);
        let without = archive(&[("meta.json", b"{}")]);
        assert_eq!(Snapshot::checked(without).unwrap_err(), NoSnapshot::Missing { part: "state.bin" });
        let mut parts = parts(&bytes).unwrap();
        assert_eq!(parts.remove("state.bin").unwrap().digest, hex::encode(Sha256::digest([7; 4096])));
    }

    #[test]
    fn a_part_that_does_not_fit_its_sum_is_named() {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let sums = format!("{}  meta.json\n{}  state.bin\n", hex::encode(Sha256::digest(b"{}")), "0".repeat(64));
        for (name, content) in [("meta.json", &b"{}"[..]), ("state.bin", b"other"), (SUMS, sums.as_bytes())] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, name, content).unwrap();
        }
        let bytes = tar.into_inner().unwrap().finish().unwrap();
        let altered = Snapshot::checked(Material::new(bytes)).unwrap_err();
        assert_eq!(altered, NoSnapshot::Altered { part: "state.bin" });
    }
}
