//! Reading a bundle: each check returns what only that check can make, and the next one asks for it.

use super::{
    body::{self, Binding, KEY},
    manifest::{Entry, Epoch, Manifest, ManifestDigest, Scope, SealedKey, sha256},
    recipients::Identities,
    refusal::{Foreign, OpenError, Stale},
    seal::{FORMAT, HEAD, KIND, LONGEST_ENVELOPE, LONGEST_FILE, MAGIC, MOST_ENTRIES},
};
use crate::transfer::{
    envelope::Envelope,
    key::{PublicKey, SignatureValid},
    private::Places,
    succession::{Trust, trust},
};
use age::{DecryptError, Decryptor};
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, Version},
};
use donjon_policies::name::{DeploymentName, HostName, RoleName, SiteName};
use std::io::Read;
use zeroize::Zeroizing;

/// A file that has the shape of a bundle. Nothing it says is believed yet.
#[derive(Debug)]
pub struct Sealed<'a> {
    envelope: Envelope,
    manifest: Manifest,
    payload: &'a [u8],
}

/// What the reader already knows, and wants of a bundle. What is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Checks<'a> {
    /// The authority's key that was pinned.
    pub pin: Option<&'a PublicKey>,
    /// Whose secrets are wanted.
    pub deployment: Option<&'a DeploymentName>,
    /// Exactly this scope, as accepted before.
    pub scope: Option<&'a Scope>,
    /// The site that reads.
    pub site: Option<&'a SiteName>,
    /// The role that reads.
    pub role: Option<&'a RoleName>,
    /// The host that reads.
    pub host: Option<&'a HostName>,
    /// The newest bundle that was accepted before.
    pub accepted: Option<Accepted>,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// What becomes of one whose time is over.
    pub expired: Expired,
}

/// What becomes of a bundle whose time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expired {
    /// It is stale.
    #[default]
    Refused,
    /// It is taken: somebody has said that there is no other.
    Taken,
}

/// The newest bundle that a reader has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its epoch.
    pub epoch: Epoch,
    /// Which one it was.
    pub digest: ManifestDigest,
}

/// A bundle whose signature, signer, digest, scope and age were accepted. It is still encrypted.
#[derive(Debug)]
pub struct Verified<'a> {
    manifest: Manifest,
    digest: ManifestDigest,
    trust: Trust,
    payload: &'a [u8],
    _signature: SignatureValid,
}

/// A bundle that was verified, decrypted, and whose records are bound to it.
#[derive(Debug)]
pub struct Opened {
    manifest: Manifest,
    digest: ManifestDigest,
    trust: Trust,
    receipt_key: Material,
    records: Vec<Record>,
}

/// One record of an opened bundle.
#[derive(Debug)]
pub struct Record {
    /// Its path.
    pub path: RecordPath,
    /// Its version.
    pub version: Version,
    /// What it holds.
    pub document: Document,
}

impl<'a> Sealed<'a> {
    /// Sees whether a file has the shape of a bundle.
    pub fn parse(file: &'a [u8]) -> Result<Self, OpenError> {
        let damaged = |what| OpenError::Damaged { what };
        if file.len() > LONGEST_FILE {
            return Err(damaged("it is longer than any bundle"));
        }
        let (head, rest) = file.split_at_checked(HEAD).ok_or(damaged("it is cut short"))?;
        let format = format_of(head)?;
        let (length, rest) = rest.split_at_checked(4).ok_or(damaged("it is cut short"))?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        if length > LONGEST_ENVELOPE {
            return Err(damaged("its manifest is longer than any"));
        }
        let (envelope, payload) = rest.split_at_checked(length).ok_or(damaged("it is cut short"))?;
        let envelope = Envelope::from_json(envelope).map_err(|_| damaged("its manifest cannot be read"))?;
        let manifest: Manifest = serde_json::from_slice(envelope.unverified_payload())
            .map_err(|_| damaged("its manifest cannot be read"))?;
        let receipt_keys = match (format, manifest.recipients) {
            (1, _) | (3.., 1) => 0,
            (_, recipients) => recipients as usize,
        };
        if manifest.format != format || manifest.receipt_keys.len() != receipt_keys {
            return Err(damaged("its manifest cannot be read"));
        }
        if manifest.entries.len() > MOST_ENTRIES || !manifest.scope.fits() {
            return Err(damaged("its manifest cannot be read"));
        }
        Ok(Self { envelope, manifest, payload })
    }

    /// For whom it says to be: to find what is known of that scope, and for nothing else.
    pub fn claimed_scope(&self) -> &Scope {
        &self.manifest.scope
    }

    /// Whose it says to be: to find what is known of that deployment, and for nothing else.
    pub fn claimed_deployment(&self) -> &DeploymentName {
        &self.manifest.deployment
    }

    /// Whose key it says to be signed by: to find what is known of that one, and for nothing else.
    pub fn claimed_authority(&self) -> PublicKey {
        self.manifest.authority
    }

    /// What it says to hold: to compare with, and for nothing else.
    pub fn claimed_entries(&self) -> &[Entry] {
        &self.manifest.entries
    }

    /// Checks signature and signer, then the digest of the payload, then the scope and what it may hold, then the age.
    pub fn verify(self, checks: &Checks<'_>) -> Result<Verified<'a>, OpenError> {
        let Self { envelope, manifest, payload } = self;
        let signer = manifest.authority;
        let signed = if envelope.is(KIND) { envelope.verify(&signer).ok() } else { None };
        let signature = signed.ok_or(OpenError::Forged { what: "its signature does not fit", signer: None })?;
        let trust = trust(&manifest.deployment, checks.pin, &manifest.chain, &signer);
        let stranger =
            || OpenError::Forged { what: "its authority is not the one pinned here", signer: Some(signer.id()) };
        // Another deployment's own authority is no forger: that it is foreign says more.
        let trust = match (trust, foreign(&manifest, checks)) {
            (_, Some(Foreign::Deployment { found, wanted })) => {
                return Err(Foreign::Deployment { found, wanted }.into());
            }
            (None, _) => return Err(stranger()),
            (Some(trust), _) => trust,
        };
        if payload.len() as u64 != manifest.payload.length || sha256(payload) != manifest.payload.sha256 {
            return Err(OpenError::Damaged { what: "its encrypted part is cut short or altered" });
        }
        if let Some(foreign) = foreign(&manifest, checks) {
            return Err(foreign.into());
        }
        if let Some(path) = entries_beyond(&manifest)? {
            return Err(Foreign::Record { path: path.clone(), scope: manifest.scope.clone() }.into());
        }
        let digest = ManifestDigest::of(envelope.unverified_payload());
        if let Some(stale) = stale(&manifest, digest, checks) {
            return Err(stale.into());
        }
        Ok(Verified { manifest, digest, trust, payload, _signature: signature })
    }
}

impl Verified<'_> {
    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Which bundle this is.
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }

    /// How its authority came to be trusted.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// Decrypts it and checks that each record is bound to this deployment, site, name and version.
    pub fn open(self, identities: &Identities) -> Result<Opened, OpenError> {
        let body = decrypt(self.payload, identities)?;
        let damaged = |what| OpenError::Damaged { what };
        let (keys, documents) = body::read(&body, &self.manifest.entries).map_err(|e| damaged(e.0))?;
        let binding = Binding::new(&keys, &self.manifest.deployment, &self.manifest.scope);
        let mut records = Vec::with_capacity(documents.len());
        for (entry, (document, record)) in self.manifest.entries.iter().zip(documents) {
            if binding.digest(record) != entry.digest {
                return Err(damaged("a record does not fit its digest"));
            }
            records.push(Record { path: entry.path.clone(), version: entry.version, document });
        }
        let receipt_key = match self.manifest.receipt_keys.as_slice() {
            [] => keys.receipt,
            sealed => own_receipt_key(&keys.receipt, sealed, identities)?,
        };
        let Self { manifest, digest, trust, .. } = self;
        Ok(Opened { manifest, digest, trust, receipt_key, records })
    }
}

impl Opened {
    /// All checks, then decryption.
    pub fn from_file(file: &[u8], checks: &Checks<'_>, identities: &Identities) -> Result<Self, OpenError> {
        Sealed::parse(file)?.verify(checks)?.open(identities)
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Which bundle this is.
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }

    /// How its authority came to be trusted.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// What a receipt proves to know.
    pub fn receipt_key(&self) -> &Material {
        &self.receipt_key
    }

    /// The records, in the order of the manifest.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The records, taken over.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

/// The receipt key of the recipient that this identity is.
fn own_receipt_key(receipt: &Material, sealed: &[SealedKey], identities: &Identities) -> Result<Material, OpenError> {
    for SealedKey(sealed) in sealed {
        match decrypt(sealed, identities) {
            Ok(own) if own.len() == KEY => return Ok(receipt_key_of(receipt, &own)),
            Err(OpenError::WrongIdentity) => {}
            Ok(_) | Err(_) => return Err(OpenError::Damaged { what: "a receipt key in it cannot be read" }),
        }
    }
    Err(OpenError::Damaged { what: "it has no receipt key for a recipient that can open it" })
}

/// What a recipient's receipt proves to know.
pub(crate) fn receipt_key_of(receipt: &Material, own: &[u8]) -> Material {
    // EXPOSE: made into one key of two
    Material::new([receipt.expose(), own].concat())
}

fn decrypt(payload: &[u8], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let unreadable = || OpenError::Damaged { what: "its encrypted part cannot be decrypted" };
    let refused = |error: DecryptError| match matches!(error, DecryptError::NoMatchingKeys) {
        true => OpenError::WrongIdentity,
        false => unreadable(),
    };
    let decryptor = Decryptor::new_buffered(payload).map_err(refused)?;
    if decryptor.is_scrypt() {
        return Err(OpenError::Damaged { what: "it is encrypted to a passphrase" });
    }
    let mut reader = decryptor.decrypt(identities.each()).map_err(refused)?;
    // The plaintext is shorter than the file, so the buffer never moves and leaves no copy behind.
    let mut body = Zeroizing::new(Vec::with_capacity(payload.len()));
    reader.read_to_end(&mut body).map_err(|_| unreadable())?;
    Ok(body)
}

/// Which version of the format it says to be of.
fn format_of(head: &[u8]) -> Result<u32, OpenError> {
    match head.strip_prefix(MAGIC) {
        Some([digit @ b'1'..=b'9', b'\n']) => match u32::from(digit - b'0') {
            format @ 1..=FORMAT => Ok(format),
            _ => Err(OpenError::Newer),
        },
        _ => Err(OpenError::Damaged { what: "it does not begin as a bundle does" }),
    }
}

fn foreign(manifest: &Manifest, checks: &Checks<'_>) -> Option<Foreign> {
    if let Some(wanted) = checks.deployment.filter(|d| **d != manifest.deployment) {
        return Some(Foreign::Deployment { found: manifest.deployment.clone(), wanted: wanted.clone() });
    }
    let fits = match &manifest.scope {
        Scope::Site { site, role, host } => {
            checks.site.is_none_or(|wanted| wanted == site)
                && checks.role.is_none_or(|wanted| wanted == role)
                && (checks.host.is_none_or(|wanted| host.as_ref().is_none_or(|host| wanted == host)))
        }
        Scope::Custodians {} => checks.site.is_none() && checks.role.is_none() && checks.host.is_none(),
    };
    let fits = fits && checks.scope.is_none_or(|wanted| *wanted == manifest.scope);
    (!fits).then(|| Foreign::Scope { found: manifest.scope.clone() })
}

/// A record that no bundle for this scope may hold.
fn entries_beyond(manifest: &Manifest) -> Result<Option<&RecordPath>, OpenError> {
    let places = Places::new(manifest.deployment.clone())
        .map_err(|_| OpenError::Damaged { what: "it names a deployment that cannot be" })?;
    let travels = places.travels(&manifest.scope);
    let mut paths = manifest.entries.iter().map(|entry| &entry.path);
    Ok(paths.find(|path| !travels.holds(path)))
}

fn stale(manifest: &Manifest, digest: ManifestDigest, checks: &Checks<'_>) -> Option<Stale> {
    if checks.expired == Expired::Refused && checks.now > manifest.not_after {
        return Some(Stale::Expired { not_after: manifest.not_after, now: checks.now });
    }
    let accepted = checks.accepted?;
    let older = manifest.epoch < accepted.epoch;
    let rival = manifest.epoch == accepted.epoch && digest != accepted.digest;
    (older || rival).then_some(Stale::Older { found: manifest.epoch, accepted: accepted.epoch })
}
