//! The encrypted part: written from records, and read back under limits. The layout is in the [format](super).

use super::{
    manifest::{Entry, Scope},
    seal::Item,
};
use aws_lc_rs::hmac;
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, Version},
};
use donjon_policies::name::DeploymentName;
use zeroize::Zeroizing;

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

/// What a digest binds a record to.
pub(super) struct Binding<'a> {
    key: hmac::Key,
    deployment: &'a DeploymentName,
    scope: &'a Scope,
}

impl<'a> Binding<'a> {
    pub(super) fn new(keys: &Keys, deployment: &'a DeploymentName, scope: &'a Scope) -> Self {
        // EXPOSE: made into the key of the HMAC
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, keys.digest.expose()), deployment, scope }
    }

    pub(super) fn digest(&self, path: &RecordPath, version: Version, document: &Document) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        let mut text = |bytes: &[u8]| {
            context.update(&length(bytes));
            context.update(bytes);
        };
        text(self.deployment.as_str().as_bytes());
        for part in self.scope.parts() {
            text(part.as_bytes());
        }
        text(path.as_str().as_bytes());
        context.update(&version.0.to_be_bytes());
        let document = document.text().expose(); // EXPOSE: digested
        context.update(&length(document));
        context.update(document);
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// The body as bytes, in a buffer that never moves and is wiped.
pub(super) fn write(keys: &Keys, items: &[Item<'_>]) -> Zeroizing<Vec<u8>> {
    let size = HEAD + items.iter().map(|i| 16 + i.path.as_str().len() + i.document.text().len()).sum::<usize>();
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    body.extend_from_slice(MAGIC);
    body.extend_from_slice(keys.digest.expose()); // EXPOSE: into the part that is encrypted
    body.extend_from_slice(keys.receipt.expose()); // EXPOSE: into the part that is encrypted
    for item in items {
        let path = item.path.as_str().as_bytes();
        body.extend_from_slice(&length(path));
        body.extend_from_slice(path);
        body.extend_from_slice(&item.version.0.to_be_bytes());
        let document = item.document.text().expose(); // EXPOSE: into the part that is encrypted
        body.extend_from_slice(&length(document));
        body.extend_from_slice(document);
    }
    body
}

/// Reads a body whose records must be the manifest's entries, in their order.
pub(super) fn read(body: &[u8], entries: &[Entry]) -> Result<(Keys, Vec<Document>), BodyError> {
    let mut rest = Rest(body);
    if rest.take(MAGIC.len())? != MAGIC {
        return Err(BodyError("the encrypted part has an unknown beginning"));
    }
    let digest = Material::new(rest.take(KEY)?.to_vec());
    let receipt = Material::new(rest.take(KEY)?.to_vec());
    let mut documents = Vec::with_capacity(entries.len());
    for entry in entries {
        let path = rest.counted()?;
        let version = rest.take(8)?;
        if path != entry.path.as_str().as_bytes() || version != entry.version.0.to_be_bytes() {
            return Err(BodyError("the encrypted part holds other records than the manifest names"));
        }
        let text = Material::new(rest.counted()?.to_vec());
        documents.push(Document::from_json(text).map_err(|_| BodyError("a record is no JSON object"))?);
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
const HEAD: usize = MAGIC.len() + 2 * KEY;
