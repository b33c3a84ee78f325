//! An age identity in a file of its own: a private key in clear, which its owner alone may read.

use crate::{
    fs::{self, FileError},
    material::Material,
};
use age::{secrecy::ExposeSecret, x25519};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    str::FromStr,
};

/// An identity file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read or written, or others may read it.
    #[error("the identity cannot be read or written")]
    File(#[from] FileError),
    /// It holds no identity.
    #[error("{} holds no age X25519 identity", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
}

impl IdentityError {
    /// Whether the file is not there at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(FileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound)
    }
}

/// Reads an identity, as `age-keygen` writes it.
pub fn read(path: &Path) -> Result<x25519::Identity, IdentityError> {
    let file = Material::new(fs::read_private(path)?);
    // EXPOSE: parsed into a key that wipes itself
    let text = file.expose_text().unwrap_or_default();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let key = line.and_then(|line| x25519::Identity::from_str(line).ok());
    key.ok_or_else(|| IdentityError::None { path: path.to_path_buf() })
}

/// Makes an identity and writes it durably, where none is yet.
pub fn make(path: &Path) -> Result<x25519::Identity, IdentityError> {
    let identity = x25519::Identity::generate();
    let secret = identity.to_string();
    // EXPOSE: into the one file that holds it in clear
    let text = Material::from(format!("# public key: {}\n{}\n", identity.to_public(), secret.expose_secret()));
    // EXPOSE: as above
    fs::replace(path, text.expose())?;
    Ok(identity)
}

/// Reads an identity, or makes it on first use.
pub fn read_or_make(path: &Path) -> Result<x25519::Identity, IdentityError> {
    match read(path) {
        Err(error) if error.is_missing() => make(path),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_private_and_readable_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let made = read_or_make(&path).unwrap();
        let again = read_or_make(&path).unwrap();
        assert_eq!(made.to_public().to_string(), again.to_public().to_string());
        fs::require_private(&path).unwrap();
    }

    #[test]
    fn what_is_no_identity_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        for content in ["", "# public key: age1x\n", "AGE-SECRET-KEY-1QQ", "AGE-PLUGIN-YUBIKEY-1Q"] {
            fs::replace(&path, content.as_bytes()).unwrap();
            assert!(matches!(read_or_make(&path), Err(IdentityError::None { .. })), "{content}");
            assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
        }
    }
}
