//! SSH key pairs: the private key as PEM without a passphrase, the public key as one line of `authorized_keys`.

use super::{chance::Chance, rsa, value::GenerationError};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use donjon_drivers::{material::Material, store::secret::SecretValue};
use donjon_policies::recipe::SshKey;
use pkcs8::LineEnding;
use ssh_key::{
    Mpint, PrivateKey, PublicKey,
    private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData},
    public::{Ed25519PublicKey, KeyData, RsaPublicKey},
};
use zeroize::Zeroizing;

/// A key pair. RSA keys are written as PKCS#8, as the deployers' own generators do; ed25519 keys as OpenSSH writes them.
pub fn pair(kind: SshKey, chance: &dyn Chance) -> Result<SecretValue, GenerationError> {
    match kind {
        SshKey::Rsa2048 => rsa_pair(rsa::Size::Bits2048, chance),
        SshKey::Rsa4096 => rsa_pair(rsa::Size::Bits4096, chance),
        SshKey::Ed25519 => ed25519_pair(chance),
    }
}

fn rsa_pair(size: rsa::Size, chance: &dyn Chance) -> Result<SecretValue, GenerationError> {
    let refused = |_| GenerationError::Key("RSA key");
    let key = rsa::generate(size, chance)?;
    let pem = key.private.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| GenerationError::Encoding)?;
    let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes).map_err(refused);
    let public = KeyData::Rsa(RsaPublicKey { e: number(&key.exponent)?, n: number(&key.modulus)? });
    value(&pem, public)
}

fn ed25519_pair(chance: &dyn Chance) -> Result<SecretValue, GenerationError> {
    let mut seed = Zeroizing::new([0; Ed25519PrivateKey::BYTE_SIZE]);
    chance.fill(&mut *seed)?;
    let refused = || GenerationError::Key("ed25519 key");
    let key = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| refused())?;
    let public = Ed25519PublicKey::try_from(key.public_key().as_ref()).map_err(|_| refused())?;
    let both = Ed25519Keypair { public, private: Ed25519PrivateKey::from_bytes(&seed) };
    let private = PrivateKey::new(KeypairData::Ed25519(both), "").map_err(|_| refused())?;
    value(&private.to_openssh(LineEnding::LF).map_err(|_| refused())?, KeyData::Ed25519(public))
}

fn value(private: &str, public: KeyData) -> Result<SecretValue, GenerationError> {
    let public = PublicKey::new(public, "").to_openssh().map_err(|_| GenerationError::Encoding)?;
    Ok(SecretValue::Pair { private: Material::new(private.as_bytes().to_vec()), public })
}
