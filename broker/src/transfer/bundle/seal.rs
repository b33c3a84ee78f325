//! Making a bundle: records in, one file out.

use super::{
    body::{self, Binding, Keys},
    manifest::{Entry, Epoch, Manifest, ManifestDigest, Payload, Scope, SealedKey, sha256},
    recipients::Recipients,
};
use crate::transfer::{
    envelope::{Envelope, PayloadType},
    key::SigningKey,
    private::{Places, secret_hex},
    succession::Link,
};
use age::{Encryptor, stream::StreamWriter};
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, Version},
};
use donjon_policies::name::DeploymentName;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// One record to be sealed.
#[derive(Debug)]
pub struct Item<'a> {
    /// Its path.
    pub path: &'a RecordPath,
    /// Its version.
    pub version: Version,
    /// What it holds.
    pub document: &'a Document,
}

/// All that goes into a bundle.
#[derive(Debug)]
pub struct Sealing<'a> {
    /// Whose secrets these are.
    pub deployment: &'a DeploymentName,
    /// For whom.
    pub scope: Scope,
    /// The count of bundles for this scope, this one included.
    pub epoch: Epoch,
    /// Now, in seconds since 1970.
    pub created: i64,
    /// After this it is stale, in seconds since 1970.
    pub not_after: i64,
    /// Who can open it.
    pub recipients: &'a Recipients,
    /// The authority's key.
    pub authority: &'a SigningKey,
    /// How earlier keys lead to it, oldest first.
    pub chain: &'a [Link],
    /// The records; no path and version twice.
    pub items: &'a [Item<'a>],
}

/// A finished bundle.
#[derive(Debug)]
pub struct SealedBundle {
    /// The file.
    pub bytes: Vec<u8>,
    /// The name of this very bundle.
    pub digest: ManifestDigest,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What a receipt proves to know. Kept in the store's private area.
    pub receipt_key: Material,
    /// What each recipient's receipt proves to know besides. Kept there, too.
    pub receipt_keys: Vec<ReceiptKey>,
}

/// What the receipt of one recipient proves to know, behind the bundle's own receipt key.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReceiptKey {
    /// The recipient.
    pub recipient: String,
    /// 32 random bytes.
    #[serde(with = "secret_hex")]
    pub key: Material,
}

/// Encrypts, signs and assembles a bundle.
pub fn seal(sealing: &Sealing<'_>) -> Result<SealedBundle, SealError> {
    check_items(sealing.items)?;
    let places = Places::new(sealing.deployment.clone()).map_err(|_| SealError::Reserved)?;
    let travels = places.travels(&sealing.scope);
    if let Some(item) = sealing.items.iter().find(|item| !travels.holds(item.path)) {
        return Err(SealError::Beyond { path: item.path.clone() });
    }
    if !sealing.scope.fits() {
        return Err(SealError::LongScope);
    }
    if sealing.not_after <= sealing.created {
        return Err(SealError::AlreadyStale);
    }
    let keys = Keys::generate().map_err(|_| SealError::Chance)?;
    let binding = Binding::new(&keys, sealing.deployment, &sealing.scope);
    let length = body::length_of(sealing.items);
    let (payload, digests) =
        encrypt(sealing.recipients.each(), length, |to| body::write(&keys, &binding, sealing.items, to))?;
    let mut receipt_keys = Vec::with_capacity(sealing.recipients.count());
    let mut sealed_keys = Vec::with_capacity(sealing.recipients.count());
    for (recipient, one) in sealing.recipients.texts().zip(sealing.recipients.each()) {
        let key = body::fresh().map_err(|_| SealError::Chance)?;
        // EXPOSE: sealed to this recipient alone
        let (sealed, ()) = encrypt(std::iter::once(one), key.len(), |to| to.write_all(key.expose()))?;
        sealed_keys.push(SealedKey(sealed));
        receipt_keys.push(ReceiptKey { recipient, key });
    }
    let entry = |(item, digest): (&Item<'_>, _)| Entry { path: item.path.clone(), version: item.version, digest };
    let manifest = Manifest {
        format: FORMAT,
        deployment: sealing.deployment.clone(),
        scope: sealing.scope.clone(),
        epoch: sealing.epoch,
        created: sealing.created,
        not_after: sealing.not_after,
        authority: *sealing.authority.public(),
        chain: sealing.chain.to_vec(),
        recipients: u32::try_from(sealing.recipients.count()).map_err(|_| SealError::TooLarge)?,
        entries: sealing.items.iter().zip(digests).map(entry).collect(),
        receipt_keys: sealed_keys,
        payload: Payload { length: payload.len() as u64, sha256: sha256(&payload) },
    };
    let mut signed = Vec::with_capacity(manifest.about());
    serde_json::to_writer(&mut signed, &manifest).expect("strings and numbers always have a JSON text");
    let digest = ManifestDigest::of(&signed);
    let envelope = Envelope::sign(KIND, signed, sealing.authority).to_json();
    let bytes = assemble(&envelope, &payload)?;
    Ok(SealedBundle { bytes, digest, manifest, receipt_key: keys.receipt, receipt_keys })
}

fn check_items(items: &[Item<'_>]) -> Result<(), SealError> {
    if items.len() > MOST_ENTRIES || items.iter().any(|i| i.document.text().len() > LONGEST_RECORD) {
        return Err(SealError::TooLarge);
    }
    let mut keys: Vec<_> = items.iter().map(|i| (i.path, i.version)).collect();
    keys.sort();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SealError::Twice { path: pair[0].0.clone() }),
        None => Ok(()),
    }
}

/// An age file of so many bytes, which are written as they are encrypted.
fn encrypt<'a, T>(
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    length: usize,
    write: impl FnOnce(&mut StreamWriter<Vec<u8>>) -> io::Result<T>,
) -> Result<(Vec<u8>, T), SealError> {
    let encryptor = Encryptor::with_recipients(recipients).map_err(|e| SealError::Encrypt(Box::new(e)))?;
    let encrypt = |out: Vec<u8>| {
        let mut writer = encryptor.wrap_output(out)?;
        let written = write(&mut writer)?;
        Ok((writer.finish()?, written))
    };
    let room = length + length / 1024 + 1024;
    encrypt(Vec::with_capacity(room)).map_err(|e: io::Error| SealError::Encrypt(Box::new(e)))
}

pub(super) fn assemble(envelope: &[u8], payload: &[u8]) -> Result<Vec<u8>, SealError> {
    let length = u32::try_from(envelope.len()).map_err(|_| SealError::TooLarge)?;
    let size = MAGIC.len() + 4 + envelope.len() + payload.len();
    if envelope.len() > LONGEST_ENVELOPE || size > LONGEST_FILE {
        return Err(SealError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(envelope);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A record is listed twice.
    #[error("`{path}` is listed twice")]
    Twice {
        /// Which.
        path: RecordPath,
    },
    /// A bundle for this scope may not hold a record.
    #[error("`{path}` is in no bundle of this kind")]
    Beyond {
        /// Which.
        path: RecordPath,
    },
    /// The deployment's name is one of Donjon's own folders.
    #[error("no deployment can have this name")]
    Reserved,
    /// It would end before it begins.
    #[error("the bundle would be stale when it is made")]
    AlreadyStale,
    /// The names of site, role and host are too long.
    #[error("the names of site, role and host are longer than 256 characters together")]
    LongScope,
    /// More than the format allows.
    #[error(
        "the bundle would hold more than {MOST_ENTRIES} records, a record of more than {LONGEST_RECORD} bytes, or more than {LONGEST_FILE} bytes"
    )]
    TooLarge,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Chance,
    /// The encryption failed.
    #[error("cannot encrypt to the recipients")]
    Encrypt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(super) const KIND: PayloadType = PayloadType("application/vnd.donjon.bundle+json");
/// The one that is written; the one before is read.
pub(super) const FORMAT: u32 = 2;
pub(super) const MAGIC: &[u8; 16] = b"donjon-bundle/2\n";
pub(super) const MAGIC_1: &[u8; 16] = b"donjon-bundle/1\n";
pub(super) const MOST_ENTRIES: usize = 100_000;
pub(super) const LONGEST_RECORD: usize = 4 << 20;
pub(super) const LONGEST_ENVELOPE: usize = 32 << 20;
pub(super) const LONGEST_FILE: usize = 512 << 20;
