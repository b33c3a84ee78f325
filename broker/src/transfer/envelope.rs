//! A signed payload: the DSSE envelope, version 1, with one Ed25519 signature.
//!
//! The specification is <https://github.com/secure-systems-lab/dsse>. What is signed is
//! `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in decimal, so that neither the payload nor
//! its type can be changed or taken for another's. The envelope is JSON:
//!
//! ```json
//! {"payload":"<base64>","payloadType":"application/vnd.donjon.…","signatures":[{"keyid":"<64 hex digits>","sig":"<base64>"}]}
//! ```
//!
//! Exactly this encoding is read: fields in this order, no white space, standard base64 with padding. So each byte
//! of an envelope counts, and two envelopes with one meaning have one digest.

use super::key::{KeyId, PublicKey, SIGNATURE_LENGTH, Signature, SignatureInvalid, SignatureValid, SigningKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

/// What kind of thing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadType(pub &'static str);

/// A payload and the one signature over it, which has not been checked yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    key: KeyId,
    signature: Signature,
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(kind: PayloadType, payload: Vec<u8>, key: &SigningKey) -> Self {
        let signature = key.sign(&signed_bytes(kind.0, &payload));
        Self { payload_type: kind.0.to_owned(), payload, key: key.public().id(), signature }
    }

    /// Reads an envelope, refusing every encoding but its own.
    pub fn from_json(json: &[u8]) -> Result<Self, NoEnvelope> {
        let envelope: Self = serde_json::from_slice(json).map_err(|_| NoEnvelope)?;
        if envelope.to_json() == json { Ok(envelope) } else { Err(NoEnvelope) }
    }

    /// The JSON text, written into room that was made once: a payload may be long.
    pub fn to_json(&self) -> Vec<u8> {
        let Self { payload_type, payload, key, signature } = self;
        let texts = "strings always have a JSON text";
        let kind = serde_json::to_string(payload_type).expect(texts);
        let keyid = serde_json::to_string(key).expect(texts);
        let mut json = String::with_capacity(payload.len().div_ceil(3) * 4 + kind.len() + 256);
        json.push_str("{\"payload\":\"");
        BASE64_STANDARD.encode_string(payload, &mut json);
        json.push_str("\",\"payloadType\":");
        json.push_str(&kind);
        json.push_str(",\"signatures\":[{\"keyid\":");
        json.push_str(&keyid);
        json.push_str(",\"sig\":\"");
        BASE64_STANDARD.encode_string(signature.0, &mut json);
        json.push_str("\"}]}");
        json.into_bytes()
    }

    /// The payload before anyone checked the signature: to find the key that is to be asked, and for nothing else.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether it says to be of this kind. The signature covers this, too.
    pub fn is(&self, kind: PayloadType) -> bool {
        self.payload_type == kind.0
    }

    /// Which key says to have signed it.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// Whether this key signed it.
    pub fn verify(&self, key: &PublicKey) -> Result<SignatureValid, SignatureInvalid> {
        if self.key != key.id() {
            return Err(SignatureInvalid);
        }
        key.verify(&signed_bytes(&self.payload_type, &self.payload), &self.signature)
    }
}

/// DSSE's pre-authentication encoding.
fn signed_bytes(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    let mut bytes = Vec::with_capacity(head.len() + payload.len());
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: [WireSignature; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    keyid: KeyId,
    sig: String,
}

impl From<Envelope> for Wire {
    fn from(envelope: Envelope) -> Self {
        let sig = BASE64_STANDARD.encode(envelope.signature.0);
        Self {
            payload: BASE64_STANDARD.encode(&envelope.payload),
            payload_type: envelope.payload_type,
            signatures: [WireSignature { keyid: envelope.key, sig }],
        }
    }
}

impl TryFrom<Wire> for Envelope {
    type Error = NoEnvelope;
    fn try_from(wire: Wire) -> Result<Self, NoEnvelope> {
        let [WireSignature { keyid, sig }] = wire.signatures;
        let signature: [u8; SIGNATURE_LENGTH] =
            BASE64_STANDARD.decode(sig).ok().and_then(|s| s.try_into().ok()).ok_or(NoEnvelope)?;
        let payload = BASE64_STANDARD.decode(wire.payload).map_err(|_| NoEnvelope)?;
        Ok(Self { payload_type: wire.payload_type, payload, key: keyid, signature: Signature(signature) })
    }
}

/// The bytes are no envelope in its one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a signed envelope")]
pub struct NoEnvelope;

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: PayloadType = PayloadType("http://example.com/HelloWorld");

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        let wanted = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(signed_bytes(KIND.0, b"hello world"), wanted);
    }

    #[test]
    fn each_byte_counts() {
        let key = SigningKey::generate().unwrap();
        let json = Envelope::sign(KIND, b"hello world".to_vec(), &key).to_json();
        let good = Envelope::from_json(&json).unwrap();
        assert_eq!(serde_json::to_vec(&good).unwrap(), json, "a link of a chain is written alike");
        assert!(good.verify(key.public()).is_ok());
        for place in 0..json.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 0x20 ^ 0x09] {
                let mut other = json.clone();
                other[place] ^= flip;
                if let Ok(read) = Envelope::from_json(&other) {
                    assert!(read.verify(key.public()).is_err(), "byte {place}, flip {flip}");
                }
            }
        }
    }

    #[test]
    fn another_encoding_of_the_same_thing_is_refused() {
        let key = SigningKey::generate().unwrap();
        let json = String::from_utf8(Envelope::sign(KIND, b"x".to_vec(), &key).to_json()).unwrap();
        assert!(Envelope::from_json(json.replace(',', ", ").as_bytes()).is_err());
        assert!(Envelope::from_json(json.replace("eA==", "eA").as_bytes()).is_err());
        assert!(Envelope::from_json(json.replace("eA==", "eB==").as_bytes()).is_err());
    }
}
