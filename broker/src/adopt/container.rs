//! The file as it lies there: plain, a whole ansible-vault, or the archive of a plan export.

use super::ansible_vault::{self, VaultError};
use donjon_drivers::material::Material;
use flate2::read::MultiGzDecoder;
use std::{io::Read, path::Component};
use zeroize::Zeroizing;

/// A file that has been opened.
#[derive(Debug)]
pub struct Opened {
    /// The YAML text in it.
    pub text: Zeroizing<String>,
    /// What it was taken out of.
    pub sealed: Sealed,
}

/// What a text was taken out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Nothing: the file is the text.
    Plain,
    /// An ansible-vault.
    Vault,
    /// The archive of a plan export; a file in it cannot be replaced.
    Archive,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is an ansible-vault that does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It is no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is an archive without a plan.
    #[error("the archive holds no plan-environment.yaml")]
    NoPlan,
    /// It is an archive that cannot be read.
    #[error("the archive cannot be read to the end")]
    Archive(#[source] std::io::Error),
    /// It is larger than a file of passwords can be.
    #[error("it is larger than {LONGEST} bytes")]
    TooLarge,
}

/// Opens what was read; the passwords are asked for once, and only for a vault.
pub fn open<E: From<OpenError>>(
    bytes: Zeroizing<Vec<u8>>,
    passwords: &mut dyn FnMut() -> Result<Vec<Material>, E>,
) -> Result<Opened, E> {
    let (bytes, archive) = match bytes.starts_with(&GZIP) {
        true => (plan(&bytes)?, true),
        false => (bytes, false),
    };
    let (bytes, vault) = match ansible_vault::is_sealed(&bytes) {
        true => {
            let opened = ansible_vault::open(&bytes, &passwords()?).map_err(OpenError::from)?;
            (Zeroizing::new(opened.expose().to_vec()), true) // EXPOSE: wiped again when it has been read
        }
        false => (bytes, false),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| OpenError::NotText)?;
    let sealed = match (archive, vault) {
        (true, _) => Sealed::Archive,
        (false, true) => Sealed::Vault,
        (false, false) => Sealed::Plain,
    };
    Ok(Opened { text: Zeroizing::new(text.to_owned()), sealed })
}

/// The plan's own file in an archive: the one at its top, else the first in a folder.
fn plan(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut below = None;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(bytes).take(LONGEST_ARCHIVE));
    for entry in archive.entries().map_err(OpenError::Archive)? {
        let mut entry = entry.map_err(OpenError::Archive)?;
        let depth = match entry.path() {
            Ok(path) if path.file_name().is_some_and(|name| name == PLAN) => {
                path.components().filter(|part| matches!(part, Component::Normal(_))).count()
            }
            Ok(_) | Err(_) => continue,
        };
        if depth > 1 && below.is_some() {
            continue;
        }
        if entry.size() > LONGEST {
            return Err(OpenError::TooLarge);
        }
        let mut text = Zeroizing::new(Vec::with_capacity(entry.size() as usize));
        entry.read_to_end(&mut text).map_err(OpenError::Archive)?;
        if depth == 1 {
            return Ok(text);
        }
        below = Some(text);
    }
    below.ok_or(OpenError::NoPlan)
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const PLAN: &str = "plan-environment.yaml";
/// No file of passwords is longer, in bytes.
pub const LONGEST: u64 = 16 << 20;
const LONGEST_ARCHIVE: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn opened(bytes: Vec<u8>) -> Result<Opened, OpenError> {
        open(Zeroizing::new(bytes), &mut || Ok::<_, OpenError>(Vec::new()))
    }

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_plan_export_is_looked_into() {
        let found = opened(archive("./plan-environment.yaml", b"passwords: {}\n")).unwrap();
        assert_eq!((&**found.text, found.sealed), ("passwords: {}\n", Sealed::Archive));
        assert!(matches!(opened(archive("other.yaml", b"x")), Err(OpenError::NoPlan)));
        let mut cut = archive("plan-environment.yaml", &[b'x'; 9000]);
        cut.truncate(cut.len() / 2);
        assert!(matches!(opened(cut), Err(OpenError::Archive(_))));
    }

    #[test]
    fn a_plain_file_is_its_text() {
        assert_eq!(opened(b"a: 1\n".to_vec()).unwrap().sealed, Sealed::Plain);
        assert!(matches!(opened(vec![0xff, 0xfe]), Err(OpenError::NotText)));
        assert!(matches!(opened(b"$ANSIBLE_VAULT;1.1;AES256\n00".to_vec()), Err(OpenError::Vault(_))));
    }
}
