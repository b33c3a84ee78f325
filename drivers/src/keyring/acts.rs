//! What holds over all nodes: an act is begun only where the one before it is done everywhere.

use super::{Haste, Keyring, KeyringError, document::Repository};
use donjon_policies::keyring::{Act, Refusal};

/// Proves, by reading, that every node can open what the wanted primary will sign.
pub async fn added(keyring: &dyn Keyring, wanted: &Repository) -> Result<(), KeyringError> {
    let next = wanted.ring().signs();
    for node in keyring.nodes() {
        let ring = keyring.read(node).await?.ring;
        if !next.is_some_and(|next| ring.opens(next)) {
            return Err(KeyringError::Refused { node: node.name.clone(), source: Refusal::NotAdded });
        }
    }
    Ok(())
}

/// Proves, by reading, that every node signs with the wanted primary.
pub async fn promoted(keyring: &dyn Keyring, wanted: &Repository) -> Result<(), KeyringError> {
    for node in keyring.nodes() {
        if keyring.read(node).await?.ring.signs() != wanted.ring().signs() {
            return Err(KeyringError::Refused { node: node.name.clone(), source: Refusal::NotPromoted });
        }
    }
    Ok(())
}

/// Does an act on every node, once the one before it is proven on all.
pub async fn everywhere(
    keyring: &dyn Keyring,
    act: Act,
    haste: Haste,
    wanted: &Repository,
    known: &[&Repository],
) -> Result<(), KeyringError> {
    match act {
        Act::Add => {}
        Act::Promote => added(keyring, wanted).await?,
        Act::Prune => promoted(keyring, wanted).await?,
    }
    for node in keyring.nodes() {
        keyring.write(node, act, haste, wanted, known).await?;
    }
    Ok(())
}
