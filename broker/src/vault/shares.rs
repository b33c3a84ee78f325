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
pub fn keep(place: &Place, generation: u32, custody: &Custody, shares: &[Material]) -> Result<Vec<String>, ShareError> {
    let recipients = match custody {
        Custody::Host => vec![identity::read_or_make(&place.identity())?.to_public()],
        Custody::Custodians { .. } => {
            custody.keys().iter().map(|key| custody::recipient(key)).collect::<Result<_, _>>()?
        }
    };
    fs::private_folder(&place.shares(generation))?;
    for (number, (share, recipient)) in shares.iter().zip(&recipients).enumerate() {
        seal_to(recipient, share, &share_file(place, generation, number))?;
    }
    Ok(shares.iter().map(digest).collect())
}

/// The share of a generation that the host identity opens.
pub fn of_host(place: &Place, generation: u32) -> Result<Material, ShareError> {
    open_with(&identity::read(&place.identity())?, &share_file(place, generation, 0))
}

/// Removes the shares of every generation that opens nothing any more.
pub fn forget(place: &Place, state: &State) -> Result<(), ShareError> {
    let alive: Vec<PathBuf> = state.generations().into_iter().map(|generation| place.shares(generation)).collect();
    for folder in place.all_shares()?.into_iter().filter(|folder| !alive.contains(folder)) {
        std::fs::remove_dir_all(&folder).map_err(|source| FileError::Io { act: "remove", path: folder, source })?;
    }
    Ok(fs::sync_folder(place.folder())?)
}

/// The shares that one identity opens: what a custodian does, on whatever machine the files were carried to.
pub fn opened_by(place: &Place, identity: &x25519::Identity) -> Result<Vec<Material>, ShareError> {
    let mut folders = place.all_shares()?;
    folders.sort();
    let mut shares = Vec::new();
    for folder in folders {
        for number in 0.. {
            match open_with(identity, &folder.join(file_name(number))) {
                Ok(share) => shares.push(share),
                Err(ShareError::Decrypt { source, .. }) if matches!(*source, age::DecryptError::NoMatchingKeys) => {}
                Err(ShareError::File(FileError::Io { source, .. })) if source.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
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

/// Shares collected until there are enough, each with its generation and its number.
#[derive(Debug, Default)]
pub struct Offered(Vec<(u32, usize, Material)>);

impl Offered {
    /// Takes a share in, and says how many of one generation there are now.
    pub fn add(&mut self, state: &State, share: Material) -> Result<usize, ShareError> {
        let digest = digest(&share);
        let place = |generation: &u32| state.digests(*generation).iter().position(|known| *known == digest);
        let found = state.generations().into_iter().find_map(|generation| Some((generation, place(&generation)?)));
        let (generation, number) = found.ok_or(ShareError::Foreign)?;
        if self.0.iter().any(|(of, known, _)| (*of, *known) == (generation, number)) {
            return Err(ShareError::Twice);
        }
        self.0.push((generation, number, share));
        Ok(self.count())
    }

    /// How many of one generation there are.
    pub fn count(&self) -> usize {
        let of = |generation: u32| self.0.iter().filter(|(known, ..)| *known == generation).count();
        self.0.iter().map(|(generation, ..)| of(*generation)).max().unwrap_or(0)
    }

    /// Takes out the shares of a generation of which there are enough, the newest first.
    pub fn enough(&mut self, state: &State) -> Option<(u32, Vec<Material>)> {
        let of = |generation: u32| self.0.iter().filter(|(known, ..)| *known == generation).count();
        let generation = state.generations().into_iter().find(|generation| of(*generation) >= state.threshold)?;
        let (these, others) = std::mem::take(&mut self.0).into_iter().partition(|(known, ..)| *known == generation);
        self.0 = others;
        let these: Vec<(u32, usize, Material)> = these;
        Some((generation, these.into_iter().map(|(.., share)| share).collect()))
    }
}

fn share_file(place: &Place, generation: u32, number: usize) -> PathBuf {
    place.shares(generation).join(file_name(number))
}

fn file_name(number: usize) -> String {
    format!("{}.age", number + 1)
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
    use super::{super::configuration::Reach, *};

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
        keep(&place, 0, &custody, &[share("one"), share("two"), share("three")]).unwrap();
        let second = opened_by(&place, &people[1]).unwrap();
        assert_eq!(second.len(), 1);
        assert!(second[0].matches(&share("two")));
        assert!(opened_by(&place, &x25519::Identity::generate()).unwrap().is_empty(), "a stranger opens none");
        assert!(!place.identity().exists(), "custodians leave no key on the host");
    }

    #[test]
    fn the_host_opens_its_own_share_again() {
        let (_folder, place) = place();
        keep(&place, 0, &Custody::Host, &[share("one")]).unwrap();
        assert!(of_host(&place, 0).unwrap().matches(&share("one")));
        fs::require_private(&place.identity()).unwrap();
        keep_credential(&place, &share("c")).unwrap();
        assert!(credential(&place).unwrap().matches(&share("c")));
    }

    #[test]
    fn foreign_and_repeated_shares_are_told() {
        let mut state = State::making(&Custody::Host, Reach::default());
        state.shares = vec![digest(&share("one")), digest(&share("two"))];
        let mut offered = Offered::default();
        assert_eq!(offered.add(&state, share("two")).unwrap(), 1);
        assert!(matches!(offered.add(&state, share("two")), Err(ShareError::Twice)));
        assert!(matches!(offered.add(&state, share("three")), Err(ShareError::Foreign)));
        assert_eq!(offered.add(&state, share("one")).unwrap(), 2);
    }

    #[test]
    fn shares_of_two_generations_are_not_mixed() {
        let mut state = State::making(&Custody::Host, Reach::default());
        state.threshold = 2;
        state.shares = vec![digest(&share("one")), digest(&share("two"))];
        state.next = Some(vec![digest(&share("new one")), digest(&share("new two"))]);
        let mut offered = Offered::default();
        assert_eq!(offered.add(&state, share("one")).unwrap(), 1);
        assert_eq!(offered.add(&state, share("new two")).unwrap(), 1, "one of each");
        assert!(offered.enough(&state).is_none());
        assert_eq!(offered.add(&state, share("new one")).unwrap(), 2);
        offered.add(&state, share("two")).unwrap();
        let taken =
            |offered: &mut Offered| offered.enough(&state).map(|(generation, shares)| (generation, shares.len()));
        assert_eq!(taken(&mut offered), Some((1, 2)), "the newest first");
        assert_eq!(taken(&mut offered), Some((0, 2)));
        assert_eq!(taken(&mut offered), None);
    }
}
