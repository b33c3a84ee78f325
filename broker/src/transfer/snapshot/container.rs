//! The file of a snapshot: the Vault's encrypted database, encrypted once more to recipients, and signed.
//!
//! # The file, version 1
//!
//! Numbers are unsigned and big-endian.
//!
//! | offset | length | what |
//! |--:|--:|---|
//! | 0 | 18 | `donjon-snapshot/1` and a line feed; the digit is the version of the format |
//! | 18 | 4 | *E*, the length of the envelope, at most 64 KiB |
//! | 22 | *E* | the envelope: [DSSE](crate::transfer::envelope), type `application/vnd.donjon.snapshot+json`, over the manifest |
//! | 22 + *E* | to the end | an age file (binary, X25519 stanzas) that holds the archive as the Vault gave it |
//!
//! The manifest is a JSON object with the fields `format` (1), `deployment`, `created` (seconds since 1970), `authority`
//! (the base64 of its SubjectPublicKeyInfo), `snapshot` (the SHA-256 of the archive, in hexadecimal), `length` and `sha256`
//! (of the age file). Nothing is decrypted before the signature, the signer, the deployment and the digest are accepted.

use super::archive::{NoSnapshot, Snapshot};
use crate::transfer::{
    bundle::{Identities, Recipients},
    envelope::{Envelope, PayloadType},
    key::{PublicKey, SigningKey},
};
use age::{Decryptor, Encryptor};
use donjon_drivers::material::Material;
use donjon_policies::name::DeploymentName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    deployment: DeploymentName,
    created: i64,
    authority: PublicKey,
    snapshot: String,
    length: u64,
    sha256: String,
}

/// Why a file of a snapshot cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It is no such file, or not all of it.
    #[error("the file is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: &'static str,
    },
    /// The authority did not sign it.
    #[error("the file was not signed by this authority")]
    Forged,
    /// It is of another deployment.
    #[error("the file is of the deployment `{found}`")]
    Foreign {
        /// Which.
        found: DeploymentName,
    },
    /// None of these identities opens it.
    #[error("none of the identities given opens the file")]
    WrongIdentity,
    /// A newer Donjon wrote it.
    #[error("the file is of a format that a newer donjon writes")]
    Newer,
    /// What is in it is no snapshot.
    #[error("what is in the file cannot be used")]
    Snapshot(#[from] NoSnapshot),
    /// It could not be encrypted.
    #[error("cannot encrypt to the recipients")]
    Encrypt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Encrypts, signs and assembles.
pub(super) fn seal(
    snapshot: &Snapshot,
    deployment: &DeploymentName,
    recipients: &Recipients,
    authority: &SigningKey,
    created: i64,
) -> Result<Vec<u8>, ContainerError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ContainerError::Encrypt(error);
    let encryptor = Encryptor::with_recipients(recipients.each()).map_err(|error| failed(Box::new(error)))?;
    let encrypt = || {
        let mut writer = encryptor.wrap_output(Vec::with_capacity(snapshot.bytes().len() + (1 << 16)))?;
        // EXPOSE: encrypted here
        writer.write_all(snapshot.bytes().expose())?;
        writer.finish()
    };
    let sealed = encrypt().map_err(|error: std::io::Error| failed(Box::new(error)))?;
    let manifest = Manifest {
        format: FORMAT,
        deployment: deployment.clone(),
        created,
        authority: *authority.public(),
        snapshot: snapshot.digest(),
        length: sealed.len() as u64,
        sha256: hex::encode(Sha256::digest(&sealed)),
    };
    let manifest = serde_json::to_vec(&manifest).expect("strings and numbers always have a JSON text");
    let envelope = Envelope::sign(KIND, manifest, authority).to_json();
    let length = u32::try_from(envelope.len()).map_err(|_| damaged("its envelope is too long"))?;
    Ok([MAGIC, &length.to_be_bytes(), &envelope, &sealed].concat())
}

/// Opens one that this authority signed.
pub fn open(
    file: &[u8],
    authority: &PublicKey,
    deployment: &DeploymentName,
    identities: &Identities,
) -> Result<Snapshot, ContainerError> {
    let (manifest, sealed) = verified(file, authority, deployment)?;
    let decryptor = Decryptor::new(sealed).map_err(|_| damaged("its encrypted part cannot be read"))?;
    let mut reader = decryptor.decrypt(identities.each()).map_err(|_| ContainerError::WrongIdentity)?;
    let mut bytes = Vec::with_capacity(sealed.len());
    reader.read_to_end(&mut bytes).map_err(|_| damaged("its encrypted part cannot be read"))?;
    let snapshot = Snapshot::checked(Material::new(bytes))?;
    if snapshot.digest() == manifest.snapshot { Ok(snapshot) } else { Err(damaged("it holds another snapshot")) }
}

fn verified<'a>(
    file: &'a [u8],
    authority: &PublicKey,
    deployment: &DeploymentName,
) -> Result<(Manifest, &'a [u8]), ContainerError> {
    let Some(rest) = file.strip_prefix(MAGIC) else {
        let newer = file.starts_with(b"donjon-snapshot/");
        return Err(if newer { ContainerError::Newer } else { damaged("it does not begin like one") });
    };
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(damaged("it was cut off"))?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > LONGEST_ENVELOPE {
        return Err(damaged("its envelope is too long"));
    }
    let (envelope, sealed) = rest.split_at_checked(length).ok_or(damaged("it was cut off"))?;
    let envelope = Envelope::from_json(envelope).map_err(|_| damaged("it holds no envelope"))?;
    if !envelope.is(KIND) || envelope.verify(authority).is_err() {
        return Err(ContainerError::Forged);
    }
    let manifest: Manifest =
        serde_json::from_slice(envelope.unverified_payload()).map_err(|_| damaged("its manifest cannot be read"))?;
    if manifest.format != FORMAT || manifest.authority != *authority {
        return Err(damaged("its manifest does not fit"));
    }
    if manifest.deployment != *deployment {
        return Err(ContainerError::Foreign { found: manifest.deployment });
    }
    if manifest.length != sealed.len() as u64 || manifest.sha256 != hex::encode(Sha256::digest(sealed)) {
        return Err(damaged("its encrypted part does not fit its digest"));
    }
    Ok((manifest, sealed))
}

fn damaged(what: &'static str) -> ContainerError {
    ContainerError::Damaged { what }
}

const KIND: PayloadType = PayloadType("application/vnd.donjon.snapshot+json");
const MAGIC: &[u8] = b"donjon-snapshot/1\n";
const FORMAT: u32 = 1;
const LONGEST_ENVELOPE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::snapshot::archive::tests::archive;
    use age::x25519::Identity;

    fn deployment(name: &str) -> DeploymentName {
        name.parse().unwrap()
    }

    fn sealed(to: &Identity, by: &SigningKey) -> Vec<u8> {
        let snapshot = Snapshot::checked(archive(&[("meta.json", b"{}"), ("state.bin", b"the barrier's")])).unwrap();
        let recipients = Recipients::parse([to.to_public().to_string().as_str()]).unwrap();
        seal(&snapshot, &deployment("kolla"), &recipients, by, 7).unwrap()
    }

    #[test]
    fn it_opens_to_its_recipients_and_only_where_it_belongs() {
        let (identity, key) = (Identity::generate(), SigningKey::generate().unwrap());
        let file = sealed(&identity, &key);
        let with = |identity: &Identity| Identities::one(identity.clone());
        let opened = open(&file, key.public(), &deployment("kolla"), &with(&identity)).unwrap();
        assert_eq!(opened.bytes().len(), archive(&[("meta.json", b"{}"), ("state.bin", b"the barrier's")]).len());
        let other = SigningKey::generate().unwrap();
        let refused = |key: &SigningKey, name: &str, identity: &Identity| {
            open(&file, key.public(), &deployment(name), &with(identity)).unwrap_err()
        };
        assert!(matches!(refused(&other, "kolla", &identity), ContainerError::Forged));
        assert!(matches!(refused(&key, "other", &identity), ContainerError::Foreign { .. }));
        assert!(matches!(refused(&key, "kolla", &Identity::generate()), ContainerError::WrongIdentity));
        let newer = [b"donjon-snapshot/2\n", &file[18..]].concat();
        assert!(matches!(
            open(&newer, key.public(), &deployment("kolla"), &with(&identity)),
            Err(ContainerError::Newer)
        ));
    }

    #[test]
    fn each_byte_counts() {
        let (identity, key) = (Identity::generate(), SigningKey::generate().unwrap());
        let file = sealed(&identity, &key);
        let identities = Identities::one(identity);
        for place in 0..file.len() {
            let mut other = file.clone();
            other[place] ^= 1;
            let refused = open(&other, key.public(), &deployment("kolla"), &identities);
            assert!(refused.is_err(), "byte {place} of {}", file.len());
        }
        for length in 0..file.len() {
            assert!(open(&file[..length], key.public(), &deployment("kolla"), &identities).is_err(), "{length}");
        }
    }
}
