//! The encrypted part: written from records, and read back under limits. The layout is in the [format](super).

use super::{
    manifest::{Entry, Scope},
    seal::Item,
};
use aws_lc_rs::hmac;
use donjon_drivers::{material::Material, store::Document};
use donjon_policies::name::DeploymentName;
use std::io::{self, Write};

/// The two keys at the head of a body.
pub(super) struct Keys {
    pub(super) digest: Material,
    pub(super) receipt: Material,
}

impl Keys {
    pub(super) fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self { digest: fresh()?, receipt: fresh()? })
    }
}

/// A new key.
pub(super) fn fresh() -> Result<Material, aws_lc_rs::error::Unspecified> {
    let mut bytes = vec![0; KEY];
    aws_lc_rs::rand::fill(&mut bytes).map(|()| Material::new(bytes))
}

/// What a digest binds a record to: everything that is digested before it.
pub(super) struct Binding(hmac::Context);

impl Binding {
    pub(super) fn new(keys: &Keys, deployment: &DeploymentName, scope: &Scope) -> Self {
        // EXPOSE: made into the key of the HMAC
        let key = hmac::Key::new(hmac::HMAC_SHA256, keys.digest.expose());
        let mut context = hmac::Context::with_key(&key);
        let [site, role, host] = scope.parts();
        for part in [deployment.as_str(), site, role, host] {
            context.update(&length(part.as_bytes()));
            context.update(part.as_bytes());
        }
        Self(context)
    }

    /// The digest of a record, which is digested as it lies in a body.
    pub(super) fn digest(&self, record: &[u8]) -> [u8; 32] {
        let mut context = self.0.clone();
        context.update(record);
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// Writes what comes before the records.
pub(super) fn head(keys: &Keys, to: &mut impl Write) -> io::Result<()> {
    to.write_all(MAGIC)?;
    to.write_all(keys.digest.expose())?; // EXPOSE: into the part that is encrypted
    to.write_all(keys.receipt.expose()) // EXPOSE: into the part that is encrypted
}

/// How long a record is in a body.
pub(super) fn size(item: &Item<'_>) -> usize {
    16 + item.path.as_str().len() + item.document.text().len()
}

/// One record as it lies in a body.
pub(super) fn record(item: &Item<'_>, into: &mut Vec<u8>) {
    into.clear();
    let path = item.path.as_str().as_bytes();
    into.extend_from_slice(&length(path));
    into.extend_from_slice(path);
    into.extend_from_slice(&item.version.0.to_be_bytes());
    let document = item.document.text().expose(); // EXPOSE: into the part that is encrypted
    into.extend_from_slice(&length(document));
    into.extend_from_slice(document);
}

/// A record that was read, and its bytes in the body.
pub(super) type Read<'a> = (Document, &'a [u8]);

/// Reads a body whose records must be the manifest's entries, in their order.
pub(super) fn read<'a>(body: &'a [u8], entries: &[Entry]) -> Result<(Keys, Vec<Read<'a>>), BodyError> {
    let mut rest = Rest(body);
    if rest.take(MAGIC.len())? != MAGIC {
        return Err(BodyError("the encrypted part has an unknown beginning"));
    }
    let digest = Material::new(rest.take(KEY)?.to_vec());
    let receipt = Material::new(rest.take(KEY)?.to_vec());
    let mut documents = Vec::with_capacity(entries.len());
    for entry in entries {
        let from = rest.0;
        let path = rest.counted()?;
        let version = rest.take(8)?;
        if path != entry.path.as_str().as_bytes() || version != entry.version.0.to_be_bytes() {
            return Err(BodyError("the encrypted part holds other records than the manifest names"));
        }
        let text = Material::new(rest.counted()?.to_vec());
        let document = Document::from_json(text).map_err(|_| BodyError("a record is no JSON object"))?;
        documents.push((document, &from[..from.len() - rest.0.len()]));
    }
    if !rest.0.is_empty() {
        return Err(BodyError("the encrypted part is longer than its records"));
    }
    Ok((Keys { digest, receipt }, documents))
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BodyError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(BodyError("the encrypted part is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn counted(&mut self) -> Result<&'a [u8], BodyError> {
        let count = self.take(4)?;
        let count = count.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        self.take(count)
    }
}

/// The body is not what the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyError(pub(super) &'static str);

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("records are refused before they reach this length").to_be_bytes()
}

const MAGIC: &[u8] = b"donjon-body/1\n";
pub(super) const KEY: usize = 32;
