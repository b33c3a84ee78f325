//! Making a bundle: records in, one file out.

use super::{
    body::{self, Binding, Keys},
    file::{BundleFile, Spool},
    manifest::{Entry, Epoch, Manifest, ManifestDigest, Payload, Scope, SealedKey},
    recipients::Recipients,
};
use crate::transfer::{
    envelope::{Envelope, PayloadType},
    key::SigningKey,
    private::{Places, Travels, secret_hex},
    succession::Link,
};
use age::{Encryptor, stream::StreamWriter};
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, Version},
};
use donjon_policies::name::DeploymentName;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

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

/// What a bundle says besides its records, once they are in.
#[derive(Debug)]
pub struct Signing<'a> {
    /// The count of bundles for this scope, this one included.
    pub epoch: Epoch,
    /// Now, in seconds since 1970.
    pub created: i64,
    /// After this it is stale, in seconds since 1970.
    pub not_after: i64,
    /// The authority's key.
    pub authority: &'a SigningKey,
    /// How earlier keys lead to it, oldest first.
    pub chain: &'a [Link],
}

/// A bundle on its way: each record is encrypted as it comes, so that no more than one lies in clear here, and what is
/// encrypted leaves memory once there is much of it.
pub struct Sealer<'a> {
    deployment: &'a DeploymentName,
    scope: Scope,
    recipients: &'a Recipients,
    travels: Travels,
    keys: Keys,
    binding: Binding,
    body: StreamWriter<Spool>,
    folder: PathBuf,
    one: Zeroizing<Vec<u8>>,
    length: usize,
    entries: Vec<Entry>,
}

/// A finished bundle.
#[derive(Debug)]
pub struct SealedBundle {
    /// The file.
    pub file: BundleFile,
    /// The name of this very bundle.
    pub digest: ManifestDigest,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What a receipt proves to know. Kept in the store's private area.
    pub receipt_key: Material,
    /// What each recipient's receipt proves to know besides, nothing where there is one alone. Kept there, too.
    pub receipt_keys: Vec<ReceiptKey>,
}

/// What the receipt of one recipient proves to know, behind the bundle's own receipt key.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReceiptKey {
    /// The recipient.
    pub recipient: String,
    /// 32 random bytes; none of a single recipient, who is the only one to have the receipt key.
    #[serde(with = "secret_hex")]
    pub key: Material,
}

impl<'a> Sealer<'a> {
    /// A bundle of about so many records of this deployment, for this scope, that these can open. The folder is for one that
    /// is too long for memory: nothing has a name there, and nothing is in clear.
    pub fn begin(
        deployment: &'a DeploymentName,
        scope: Scope,
        recipients: &'a Recipients,
        records: usize,
        folder: &Path,
    ) -> Result<Self, SealError> {
        let places = Places::new(deployment.clone()).map_err(|_| SealError::Reserved)?;
        if !scope.fits() {
            return Err(SealError::LongScope);
        }
        let keys = Keys::generate().map_err(|_| SealError::Chance)?;
        let binding = Binding::new(&keys, deployment, &scope);
        let spool = Spool::new(encrypted(records.min(MOST_ENTRIES) * USUAL_RECORD), folder);
        let mut body = encryption(recipients.each(), spool)?;
        body::head(&keys, &mut body).map_err(|error| no_room(folder, error))?;
        Ok(Self {
            travels: places.travels(&scope),
            deployment,
            scope,
            recipients,
            keys,
            binding,
            body,
            folder: folder.to_path_buf(),
            one: Zeroizing::new(Vec::with_capacity(USUAL_RECORD)),
            length: 0,
            entries: Vec::with_capacity(records.min(MOST_ENTRIES)),
        })
    }

    /// Encrypts the next record.
    pub fn add(&mut self, item: &Item<'_>) -> Result<(), SealError> {
        let size = body::size(item);
        self.length += size;
        if self.entries.len() == MOST_ENTRIES
            || item.document.text().len() > LONGEST_RECORD
            || self.length > LONGEST_FILE
        {
            return Err(SealError::TooLarge);
        }
        if !self.travels.holds(item.path) {
            return Err(SealError::Beyond { path: item.path.clone() });
        }
        if self.one.capacity() < size {
            // It never grows, so nothing is left where it was.
            self.one = Zeroizing::new(Vec::with_capacity(size));
        }
        body::record(item, &mut self.one);
        self.body.write_all(&self.one).map_err(|error| no_room(&self.folder, error))?;
        let digest = self.binding.digest(&self.one);
        self.entries.push(Entry { path: item.path.clone(), version: item.version, digest });
        Ok(())
    }

    /// Signs what was added, and assembles the file.
    pub fn finish(self, signing: &Signing<'_>) -> Result<SealedBundle, SealError> {
        none_twice(&self.entries)?;
        if signing.not_after <= signing.created {
            return Err(SealError::AlreadyStale);
        }
        let payload = self.body.finish().map_err(|error| no_room(&self.folder, error))?;
        let (receipt_keys, sealed_keys) = receipt_keys(self.recipients)?;
        let manifest = Manifest {
            format: FORMAT,
            deployment: self.deployment.clone(),
            scope: self.scope,
            epoch: signing.epoch,
            created: signing.created,
            not_after: signing.not_after,
            authority: *signing.authority.public(),
            chain: signing.chain.to_vec(),
            recipients: u32::try_from(self.recipients.count()).map_err(|_| SealError::TooLarge)?,
            entries: self.entries,
            receipt_keys: sealed_keys,
            payload: Payload { length: payload.length(), sha256: payload.sha256() },
        };
        let mut signed = Vec::with_capacity(manifest.about());
        serde_json::to_writer(&mut signed, &manifest).expect("strings and numbers always have a JSON text");
        let digest = ManifestDigest::of(&signed);
        let envelope = Envelope::sign(KIND, signed, signing.authority).to_json();
        let file = BundleFile::assemble(&envelope, payload)?;
        Ok(SealedBundle { file, digest, manifest, receipt_key: self.keys.receipt, receipt_keys })
    }
}

/// What tells the recipients' receipts apart, for the ledger and sealed for the manifest.
fn receipt_keys(recipients: &Recipients) -> Result<(Vec<ReceiptKey>, Vec<SealedKey>), SealError> {
    let (mut kept, mut sealed) = (Vec::with_capacity(recipients.count()), Vec::new());
    let alone = recipients.count() == 1;
    for (recipient, one) in recipients.texts().zip(recipients.each()) {
        let key = if alone { Material::new(Vec::new()) } else { body::fresh().map_err(|_| SealError::Chance)? };
        if !alone {
            let mut own = encryption(std::iter::once(one), Vec::with_capacity(encrypted(key.len())))?;
            own.write_all(key.expose()).map_err(unencrypted)?; // EXPOSE: sealed to this recipient alone
            sealed.push(SealedKey(own.finish().map_err(unencrypted)?));
        }
        kept.push(ReceiptKey { recipient, key });
    }
    Ok((kept, sealed))
}

fn none_twice(entries: &[Entry]) -> Result<(), SealError> {
    let mut keys: Vec<_> = entries.iter().map(|entry| (&entry.path, entry.version)).collect();
    keys.sort();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SealError::Twice { path: pair[0].0.clone() }),
        None => Ok(()),
    }
}

/// What encrypts to these.
fn encryption<'a, W: Write>(
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    output: W,
) -> Result<StreamWriter<W>, SealError> {
    let encryptor = Encryptor::with_recipients(recipients).map_err(|e| SealError::Encrypt(Box::new(e)))?;
    encryptor.wrap_output(output).map_err(unencrypted)
}

/// About how long so many bytes are once they are encrypted.
fn encrypted(length: usize) -> usize {
    length + length / 1024 + 1024
}

/// What takes the encrypted part did not take it.
fn no_room(folder: &Path, source: io::Error) -> SealError {
    SealError::Room { folder: folder.to_path_buf(), source }
}

fn unencrypted(error: io::Error) -> SealError {
    SealError::Encrypt(Box::new(error))
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
    /// A long one found no room on the disk.
    #[error("the bundle is too long for memory, and cannot be kept in {}", folder.display())]
    Room {
        /// Where it was to be kept.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Chance,
    /// The encryption failed.
    #[error("cannot encrypt to the recipients")]
    Encrypt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(super) const KIND: PayloadType = PayloadType("application/vnd.donjon.bundle+json");
/// The one that is written; those before are read.
pub(super) const FORMAT: u32 = 3;
/// How a file of a format begins: the digit, which follows this, and a line feed.
pub(super) const MAGIC: &[u8; 14] = b"donjon-bundle/";
/// How long that line is.
pub(super) const HEAD: usize = MAGIC.len() + 2;
pub(super) const MOST_ENTRIES: usize = 100_000;
pub(super) const LONGEST_RECORD: usize = 4 << 20;
pub(super) const LONGEST_ENVELOPE: usize = 32 << 20;
pub(super) const LONGEST_FILE: usize = 512 << 20;
/// What is set aside for a record: more than most of them have, since what grows is copied.
const USUAL_RECORD: usize = 512;
