//! The chain of authority keys: the old key signs the new one, and sites hold the chain.
//!
//! A link is a DSSE envelope of type `application/vnd.donjon.succession+json`, signed by the old key. Its payload:
//!
//! ```json
//! {"format":1,"deployment":"kolla","old":"<key id>","new":"<base64 of the new SubjectPublicKeyInfo>","at":1700000000}
//! ```
//!
//! A site that has pinned any key of the chain follows it to the signer of a bundle, pins that one, and takes the
//! keys before it no longer. A lost key cannot sign: then the new key is pinned again by file.

use super::{
    envelope::{Envelope, NoEnvelope, PayloadType},
    key::{KeyId, PublicKey, SigningKey},
};
use donjon_policies::name::DeploymentName;
use serde::{Deserialize, Serialize};

/// One step from an old key to a new one; its signature is checked when the chain is walked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Link(Envelope);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    format: u32,
    deployment: DeploymentName,
    old: KeyId,
    new: PublicKey,
    at: i64,
}

impl Link {
    /// The old key names its successor. `at` is in seconds since 1970.
    pub fn sign(deployment: &DeploymentName, old: &SigningKey, new: &PublicKey, at: i64) -> Self {
        let payload = Payload { format: FORMAT, deployment: deployment.clone(), old: old.public().id(), new: *new, at };
        let json = serde_json::to_vec(&payload).expect("strings and numbers always have a JSON text");
        Self(Envelope::sign(KIND, json, old))
    }

    /// Reads the file that carries one link.
    pub fn from_json(json: &[u8]) -> Result<Self, NoEnvelope> {
        Envelope::from_json(json).map(Self)
    }

    /// The file that carries one link.
    pub fn to_json(&self) -> Vec<u8> {
        self.0.to_json()
    }

    /// Which key says to have signed it; in a store's own chain only links that were checked are kept.
    pub(super) fn old(&self) -> Option<KeyId> {
        serde_json::from_slice::<Payload>(self.0.unverified_payload()).ok().map(|payload| payload.old)
    }

    /// The key that `old` names, if `old` did sign this link for this deployment.
    fn successor(&self, deployment: &DeploymentName, old: &PublicKey) -> Option<PublicKey> {
        if !self.0.is(KIND) || self.0.verify(old).is_err() {
            return None;
        }
        let payload: Payload = serde_json::from_slice(self.0.unverified_payload()).ok()?;
        let fits = payload.format == FORMAT && payload.deployment == *deployment && payload.old == old.id();
        fits.then_some(payload.new)
    }
}

/// How a key came to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is the pinned one.
    Pinned,
    /// The pinned key named it, directly or through others.
    Succeeded {
        /// The key that was pinned until now.
        from: PublicKey,
    },
    /// Nothing was pinned yet: it is trusted because it came first. Say so loudly.
    First,
}

impl Trust {
    /// How a program is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Succeeded { .. } => "succeeded",
            Self::First => "first",
        }
    }
}

/// Whether a signer may be trusted, by the pinned key and the chain; `None` is no.
pub fn trust(
    deployment: &DeploymentName,
    pin: Option<&PublicKey>,
    chain: &[Link],
    signer: &PublicKey,
) -> Option<Trust> {
    let Some(pinned) = pin else { return Some(Trust::First) };
    if pinned == signer {
        return Some(Trust::Pinned);
    }
    // Links come in order, oldest first; those before the pinned key do not fit and are passed over.
    let reached = chain.iter().fold(*pinned, |key, link| link.successor(deployment, &key).unwrap_or(key));
    (reached == *signer).then_some(Trust::Succeeded { from: *pinned })
}

const KIND: PayloadType = PayloadType("application/vnd.donjon.succession+json");
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::generate().unwrap()
    }

    #[test]
    fn a_chain_is_followed_forwards_only() {
        let deployment: DeploymentName = "kolla".parse().unwrap();
        let (a, b, c, stranger) = (key(), key(), key(), key());
        let chain = [Link::sign(&deployment, &a, b.public(), 1), Link::sign(&deployment, &b, c.public(), 2)];
        let from =
            |pin: &SigningKey, signer: &SigningKey| trust(&deployment, Some(pin.public()), &chain, signer.public());
        assert_eq!(from(&a, &c), Some(Trust::Succeeded { from: *a.public() }));
        assert_eq!(from(&b, &c), Some(Trust::Succeeded { from: *b.public() }));
        assert_eq!(from(&c, &c), Some(Trust::Pinned));
        assert_eq!(from(&c, &a), None, "a retired key is trusted no longer");
        assert_eq!(from(&a, &b), None, "a key that was succeeded in the same chain signs nothing new");
        assert_eq!(from(&stranger, &c), None);
        assert_eq!(from(&a, &stranger), None);
        assert_eq!(trust(&deployment, None, &[], a.public()), Some(Trust::First));
        let other: DeploymentName = "other".parse().unwrap();
        assert_eq!(trust(&other, Some(a.public()), &chain, c.public()), None);
    }
}
