//! Unseal shares: each encrypted to one recipient before it touches the disk, told apart by their digests.

use super::{
    custody::{self, Custody},
    place::Place,
    state::State,
};
use crate::transfer::bundle::RecipientError;
use age::x25519;
use donjon_drivers::{
    fs::{self, FileError},
    identity::{self, IdentityError},
    material::Material,
};
use sha2::{Digest, Sha256};
use std::{io::ErrorKind, path::PathBuf};

/// A share, the identity or the credential cannot be kept or opened.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A file cannot be read or written.
    #[error("a key file of the temporary Vault cannot be read or written")]
    File(#[from] FileError),
    /// A custodian's key is none.
    #[error("a custodian's key cannot be used")]
    Recipient(#[from] RecipientError),
    /// Encryption failed.
    #[error("cannot encrypt {}", path.display())]
    Encrypt {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<age::EncryptError>,
    },
    /// The identity does not open it.
    #[error("{} cannot be opened with this identity", path.display())]
    Decrypt {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<age::DecryptError>,
    },
    /// The host identity cannot be used.
    #[error("the host identity cannot be used")]
    Identity(#[from] IdentityError),
    /// It is no share of this Vault.
    #[error("this is no unseal share of this Vault")]
    Foreign,
    /// It was given already.
    #[error("this share was given already")]
    Twice,
}

/// Encrypts each share to its recipient and writes all durably. Gives back their digests, in order.
pub fn keep(place: &Place, custody: &Custody, shares: &[Material]) -> Result<Vec<String>, ShareError> {
    let recipients = match custody {
        Custody::Host => vec![identity::read_or_make(&place.identity())?.to_public()],
        Custody::Custodians { .. } => {
            custody.keys().iter().map(|key| custody::recipient(key)).collect::<Result<_, _>>()?
        }
    };
    fs::private_folder(&place.shares())?;
    for (number, (share, recipient)) in shares.iter().zip(&recipients).enumerate() {
        seal_to(recipient, share, &share_file(place, number))?;
    }
    Ok(shares.iter().map(digest).collect())
}

/// The share that the host identity opens.
pub fn of_host(place: &Place) -> Result<Material, ShareError> {
    open_with(&identity::read(&place.identity())?, &share_file(place, 0))
}

/// The shares that one identity opens: what a custodian does, on whatever machine the files were carried to.
pub fn opened_by(place: &Place, identity: &x25519::Identity) -> Result<Vec<Material>, ShareError> {
    let mut shares = Vec::new();
    for number in 0.. {
        let path = share_file(place, number);
        match open_with(identity, &path) {
            Ok(share) => shares.push(share),
            Err(ShareError::Decrypt { source, .. }) if matches!(*source, age::DecryptError::NoMatchingKeys) => {}
            Err(ShareError::File(FileError::Io { source, .. })) if source.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(shares)
}

/// Keeps the broker's credential for the host mode.
pub fn keep_credential(place: &Place, credential: &Material) -> Result<(), ShareError> {
    seal_to(&identity::read(&place.identity())?.to_public(), credential, &place.credential())
}

/// The broker's credential in host mode.
pub fn credential(place: &Place) -> Result<Material, ShareError> {
    open_with(&identity::read(&place.identity())?, &place.credential())
}

/// Shares collected until there are enough.
#[derive(Debug, Default)]
pub struct Offered(Vec<(usize, Material)>);

impl Offered {
    /// Takes a share in, and says how many there are now.
    pub fn add(&mut self, state: &State, share: Material) -> Result<usize, ShareError> {
        let digest = digest(&share);
        let number = state.shares.iter().position(|known| *known == digest).ok_or(ShareError::Foreign)?;
        if self.0.iter().any(|(known, _)| *known == number) {
            return Err(ShareError::Twice);
        }
        self.0.push((number, share));
        Ok(self.0.len())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes all out.
    pub fn take(&mut self) -> Vec<Material> {
        std::mem::take(&mut self.0).into_iter().map(|(_, share)| share).collect()
    }
}

fn share_file(place: &Place, number: usize) -> PathBuf {
    place.shares().join(format!("{}.age", number + 1))
}

fn digest(share: &Material) -> String {
    // EXPOSE: digested; 33 random bytes cannot be found from it
    hex::encode(Sha256::digest(share.expose()))
}

fn seal_to(recipient: &x25519::Recipient, secret: &Material, path: &std::path::Path) -> Result<(), ShareError> {
    // EXPOSE: encrypted before it leaves this function
    let sealed = age::encrypt(recipient, secret.expose())
        .map_err(|source| ShareError::Encrypt { path: path.to_path_buf(), source: Box::new(source) })?;
    Ok(fs::replace(path, &sealed)?)
}

fn open_with(identity: &x25519::Identity, path: &std::path::Path) -> Result<Material, ShareError> {
    let sealed = fs::read_private(path)?;
    let opened = age::decrypt(identity, &sealed)
        .map_err(|source| ShareError::Decrypt { path: path.to_path_buf(), source: Box::new(source) })?;
    Ok(Material::new(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        (folder, place)
    }

    fn share(text: &str) -> Material {
        Material::from(text.to_owned())
    }

    #[test]
    fn a_share_opens_to_its_custodian_alone() {
        let (_folder, place) = place();
        let people: Vec<x25519::Identity> = (0..3).map(|_| x25519::Identity::generate()).collect();
        let keys: Vec<String> = people.iter().map(|p| p.to_public().to_string()).collect();
        let custody = Custody::custodians(keys.iter().map(String::as_str), Some(2)).unwrap();
        keep(&place, &custody, &[share("one"), share("two"), share("three")]).unwrap();
        let second = opened_by(&place, &people[1]).unwrap();
        assert_eq!(second.len(), 1);
        assert!(second[0].matches(&share("two")));
        assert!(opened_by(&place, &x25519::Identity::generate()).unwrap().is_empty(), "a stranger opens none");
        assert!(!place.identity().exists(), "custodians leave no key on the host");
    }

    #[test]
    fn the_host_opens_its_own_share_again() {
        let (_folder, place) = place();
        keep(&place, &Custody::Host, &[share("one")]).unwrap();
        assert!(of_host(&place).unwrap().matches(&share("one")));
        fs::require_private(&place.identity()).unwrap();
        keep_credential(&place, &share("c")).unwrap();
        assert!(credential(&place).unwrap().matches(&share("c")));
    }

    #[test]
    fn foreign_and_repeated_shares_are_told() {
        let mut state = State::making(&Custody::Host);
        state.shares = vec![digest(&share("one")), digest(&share("two"))];
        let mut offered = Offered::default();
        assert_eq!(offered.add(&state, share("two")).unwrap(), 1);
        assert!(matches!(offered.add(&state, share("two")), Err(ShareError::Twice)));
        assert!(matches!(offered.add(&state, share("three")), Err(ShareError::Foreign)));
        assert_eq!(offered.add(&state, share("one")).unwrap(), 2);
    }
}
