//! Receipts: a node's signed word that it has opened one very bundle, carried back by file.
//!
//! The file is `donjon-receipt/1`, a line feed, and a [DSSE envelope](super::envelope) of type
//! `application/vnd.donjon.receipt+json`, signed by the node's own key. Its payload is [`Receipt`] as JSON. `proof` is
//! the HMAC-SHA-256, under the receipt key that lies inside the bundle's encrypted part, of: `donjon-receipt/1` and a
//! line feed, the node's SubjectPublicKeyInfo (44 bytes), the bundle's manifest digest (32), the time (8, big-endian),
//! and `imported`, `drained` or `reopened`. So only someone who opened this very bundle can make a receipt for it, and nobody's
//! receipt can be signed anew by another node; no list of node keys has to be kept beforehand. Each recipient has a receipt
//! key of its own, so the key that the proof fits says which recipient it was.

use super::{
    bundle::{Epoch, ManifestDigest, Opened, ReceiptKey, Scope, receipt_key_of},
    drained::Drained,
    envelope::{Envelope, PayloadType},
    key::{PublicKey, SigningKey},
    ledger::{self, Answered, Exported, Receipted},
    private::Places,
};
use aws_lc_rs::hmac;
use donjon_drivers::{
    material::Material,
    store::{Expected, Store, StoreError},
};
use donjon_policies::name::DeploymentName;
use serde::{Deserialize, Serialize};

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The version of the format.
    pub format: u32,
    /// What was done with the bundle.
    pub act: Act,
    /// Whose bundle it was.
    pub deployment: DeploymentName,
    /// For whom it was.
    pub scope: Scope,
    /// Its epoch.
    pub epoch: Epoch,
    /// Which bundle it was.
    pub bundle: ManifestDigest,
    /// How many records it held.
    pub records: u32,
    /// When, in seconds since 1970.
    pub at: i64,
    /// The key that signed the receipt.
    pub node: PublicKey,
    /// The consumers that run on the bundle, of a node that has drained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Drained>,
    /// That the bundle was opened.
    #[serde(with = "super::bundle::hexadecimal")]
    pub proof: [u8; 32],
}

/// What was done with a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A site took it in.
    Imported,
    /// Every consumer of the node runs on it: restarted since, and seen to log in anew.
    Drained,
    /// The custodians' bundle was opened, in a drill or as the new authority.
    Reopened,
}

impl Act {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Imported => b"imported",
            Self::Drained => b"drained",
            Self::Reopened => b"reopened",
        }
    }
}

impl Receipt {
    /// The receipt for a bundle that was opened.
    pub fn of(opened: &Opened, act: Act, node: &SigningKey, at: i64) -> Self {
        let manifest = opened.manifest();
        let key = proof_key(opened.receipt_key());
        let statement = statement(node.public(), opened.digest(), at, act);
        let mut proof = [0; 32];
        proof.copy_from_slice(hmac::sign(&key, &statement).as_ref());
        Self {
            format: FORMAT,
            act,
            deployment: manifest.deployment.clone(),
            scope: manifest.scope.clone(),
            epoch: manifest.epoch,
            bundle: opened.digest(),
            records: u32::try_from(opened.records().len()).unwrap_or(u32::MAX),
            at,
            node: *node.public(),
            consumers: Vec::new(),
            proof,
        }
    }

    /// The receipt of a node whose consumers all run on the bundle.
    pub fn drained(opened: &Opened, consumers: Vec<Drained>, node: &SigningKey, at: i64) -> Self {
        Self { consumers, ..Self::of(opened, Act::Drained, node, at) }
    }

    /// The file that travels.
    pub fn to_file(&self, node: &SigningKey) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("strings and numbers always have a JSON text");
        [MAGIC, &Envelope::sign(KIND, json, node).to_json()].concat()
    }

    /// Reads a file and checks the node's signature. Whether the bundle was opened is not known yet.
    fn from_file(file: &[u8]) -> Result<Self, ReceiptError> {
        let damaged = || ReceiptError::Damaged;
        let Some(json) = file.strip_prefix(MAGIC) else { return Err(unknown_beginning(file)) };
        if json.len() > LONGEST {
            return Err(damaged());
        }
        let envelope = Envelope::from_json(json).map_err(|_| damaged())?;
        let receipt: Self = serde_json::from_slice(envelope.unverified_payload()).map_err(|_| damaged())?;
        if receipt.format != FORMAT || !receipt.scope.fits() {
            return Err(damaged());
        }
        let signed = envelope.is(KIND) && envelope.verify(&receipt.node).is_ok();
        if signed { Ok(receipt) } else { Err(ReceiptError::Forged { what: "its signature does not fit" }) }
    }

    fn proves(&self, receipt_key: &Material) -> bool {
        let statement = statement(&self.node, self.bundle, self.at, self.act);
        hmac::verify(&proof_key(receipt_key), &statement, &self.proof).is_ok()
    }
}

fn unknown_beginning(file: &[u8]) -> ReceiptError {
    match file.strip_prefix(b"donjon-receipt/").and_then(|version| version.first()) {
        Some(b'2'..=b'9') => ReceiptError::Newer,
        Some(_) | None => ReceiptError::Damaged,
    }
}

fn proof_key(receipt_key: &Material) -> hmac::Key {
    // EXPOSE: made into the key of the HMAC
    hmac::Key::new(hmac::HMAC_SHA256, receipt_key.expose())
}

fn statement(node: &PublicKey, bundle: ManifestDigest, at: i64, act: Act) -> Vec<u8> {
    [MAGIC, &node.spki(), bundle.bytes(), &at.to_be_bytes(), act.word()].concat()
}

/// A receipt that says something new and is what it says.
#[derive(Debug)]
pub struct Accepted {
    receipt: Receipt,
    entry: Exported,
    expected: Expected,
    /// Which recipient has opened the bundle; not known of a bundle of format 1.
    recipient: Option<String>,
}

/// A receipt that was recorded, and how its bundle stands with it.
#[derive(Debug)]
pub struct Recorded {
    /// What it says.
    pub receipt: Receipt,
    /// How many recipients the bundle has.
    pub recipients: usize,
    /// How many of them have shown to have opened it.
    pub imported: usize,
    /// How many of them run on it with all their consumers.
    pub drained: usize,
}

/// Whether there is anything to record.
#[derive(Debug)]
pub enum Checked {
    /// It says something new.
    New(Box<Accepted>),
    /// It is the very one that was recorded before, and that is how its bundle stands.
    Before(Box<Recorded>),
}

/// Checks a receipt against the ledger and records it, where it was not before.
pub async fn accept(store: &dyn Store, places: &Places, file: &[u8], now: i64) -> Result<Receipt, ReceiptError> {
    Ok(check(store, places, file).await?.record(store, places, now).await?.receipt)
}

/// Checks a receipt against the ledger, and changes nothing.
pub async fn check(store: &dyn Store, places: &Places, file: &[u8]) -> Result<Checked, ReceiptError> {
    let receipt = Receipt::from_file(file)?;
    if receipt.deployment != *places.deployment() {
        return Err(ReceiptError::Foreign { deployment: receipt.deployment });
    }
    let (entry, expected) = ledger::read(store, places, &receipt.scope).await?;
    let Some(entry) = entry else {
        return Err(ReceiptError::Forged { what: "no bundle was ever exported for its scope" });
    };
    if receipt.epoch < entry.epoch {
        return Err(ReceiptError::Older { found: receipt.epoch, last: entry.epoch });
    }
    if receipt.epoch > entry.epoch || receipt.bundle != entry.digest {
        return Err(ReceiptError::Forged { what: "it is for a bundle that was never exported" });
    }
    let recipient = opened_by(&receipt, &entry)?;
    let node = receipt.node.id();
    let known = entry.receipts.iter().find(|known| known.node == node);
    let recorded = match receipt.act {
        Act::Imported | Act::Reopened => known.map(|known| known.at),
        Act::Drained => known.and_then(|known| known.drained),
    };
    // Whose word this is, about which bundle, and when it was given, is proven: there is one such receipt.
    if recorded == Some(receipt.at) {
        return Ok(Checked::Before(Box::new(entry.recorded(receipt))));
    }
    let last = match receipt.act {
        Act::Imported | Act::Reopened => known.map(|known| known.at.max(known.drained.unwrap_or(known.at))),
        // It may be of the same second as the import, and of none before.
        Act::Drained => known.and_then(|known| known.drained.or(Some(known.at - 1))),
    };
    if last.is_some_and(|last| last >= receipt.at) {
        return Err(ReceiptError::Replayed { at: receipt.at });
    }
    Ok(Checked::New(Box::new(Accepted { receipt, entry, expected, recipient })))
}

/// The recipient whose key the proof fits.
fn opened_by(receipt: &Receipt, entry: &Exported) -> Result<Option<String>, ReceiptError> {
    let unproven = ReceiptError::Forged { what: "it does not prove that the bundle was opened" };
    if entry.receipt_keys.is_empty() {
        return if receipt.proves(&entry.receipt_key) { Ok(None) } else { Err(unproven) };
    }
    // EXPOSE: made into the key that this recipient has
    let fits = |own: &&ReceiptKey| receipt.proves(&receipt_key_of(&entry.receipt_key, own.key.expose()));
    entry.receipt_keys.iter().find(fits).map(|own| Some(own.recipient.clone())).ok_or(unproven)
}

impl Checked {
    /// Whether it says that the custodians' bundle was reopened: that is told to an authority that has left, too.
    pub fn is_of_custodians(&self) -> bool {
        let receipt = match self {
            Self::New(accepted) => &accepted.receipt,
            Self::Before(recorded) => &recorded.receipt,
        };
        receipt.scope == (Scope::Custodians {}) && receipt.act == Act::Reopened
    }

    /// Whether it was recorded before.
    pub fn was_before(&self) -> bool {
        matches!(self, Self::Before(_))
    }

    /// Records it, if it was not before and nothing else was since it was checked.
    pub async fn record(self, store: &dyn Store, places: &Places, now: i64) -> Result<Recorded, ReceiptError> {
        match self {
            Self::New(accepted) => accepted.record(store, places, now).await,
            Self::Before(recorded) => Ok(*recorded),
        }
    }
}

impl Accepted {
    async fn record(self, store: &dyn Store, places: &Places, now: i64) -> Result<Recorded, ReceiptError> {
        let Self { receipt, mut entry, expected, recipient } = self;
        let node = receipt.node.id();
        let known = entry.receipts.iter().find(|known| known.node == node);
        let (at, drained) = match receipt.act {
            Act::Imported | Act::Reopened => (receipt.at, known.and_then(|known| known.drained)),
            Act::Drained => (known.map_or(receipt.at, |known| known.at), Some(receipt.at)),
        };
        entry.receipts.retain(|known| known.node != node);
        entry.receipts.push(Receipted { node, recipient, at, recorded: now, drained });
        ledger::write(store, places, &entry, expected).await?;
        Ok(entry.recorded(receipt))
    }
}

impl Exported {
    fn recorded(&self, receipt: Receipt) -> Recorded {
        let Answered { imported, drained } = self.answered();
        Recorded { receipt, recipients: self.awaited().count(), imported, drained }
    }
}

/// Why a receipt was refused. Nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Cut short or altered.
    #[error("the receipt is damaged: it cannot be read")]
    Damaged,
    /// Of a version that this program does not know.
    #[error("the receipt is of a format that a newer donjon writes")]
    Newer,
    /// Not from someone who opened the bundle.
    #[error("the receipt is forged: {what}")]
    Forged {
        /// What was found.
        what: &'static str,
    },
    /// For an older bundle than the last.
    #[error("the receipt is stale: it is for epoch {found}, and epoch {last} was exported since")]
    Older {
        /// Its epoch.
        found: Epoch,
        /// The last one.
        last: Epoch,
    },
    /// Known already, or older than a known one.
    #[error("the receipt is stale: one of this node, of this time or later, was accepted before")]
    Replayed {
        /// When it was made, in seconds since 1970.
        at: i64,
    },
    /// Of another deployment.
    #[error("the receipt is foreign: it is for the deployment `{deployment}`")]
    Foreign {
        /// Which one.
        deployment: DeploymentName,
    },
    /// The store did not do it.
    #[error("cannot read or write the ledger of exports")]
    Store(#[from] StoreError),
}

const KIND: PayloadType = PayloadType("application/vnd.donjon.receipt+json");
const MAGIC: &[u8] = b"donjon-receipt/1\n";
const FORMAT: u32 = 1;
const LONGEST: usize = 64 << 10;
