//! The authority: the store that signs. Its key lies in the store's private area and never travels.

use super::{
    bundle::Epoch,
    key::{KeyError, PublicKey, SigningKey},
    private::{self, Places, Recorded},
    succession::Link,
};
use donjon_drivers::{
    material::Material,
    store::{Expected, Store, StoreError},
};
use serde::{Deserialize, Serialize};

/// What signs bundles.
#[derive(Debug)]
pub struct Authority {
    pub(super) key: SigningKey,
    pub(super) chain: Vec<Link>,
    pub(super) floor: Epoch,
}

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    format: u32,
    #[serde(with = "private::secret_hex")]
    seed: Material,
    created: i64,
    /// No bundle of this authority has an epoch at or below this one.
    floor: Epoch,
}

#[derive(Default, Serialize, Deserialize)]
struct ChainRecord {
    format: u32,
    links: Vec<Link>,
}

impl Recorded for KeyRecord {
    const FORMAT: u32 = 1;
}

impl Recorded for ChainRecord {
    const FORMAT: u32 = 1;
}

impl Authority {
    /// Reads the key, or makes one where there is none yet. Two at once end with one key.
    pub async fn ensure(store: &dyn Store, places: &Places, now: i64) -> Result<Self, AuthorityError> {
        Self::ensure_above(store, places, Epoch(0), now).await
    }

    /// As [`Authority::ensure`]; a new key signs epochs above `floor` only.
    pub(super) async fn ensure_above(
        store: &dyn Store,
        places: &Places,
        floor: Epoch,
        now: i64,
    ) -> Result<Self, AuthorityError> {
        if let Some(authority) = Self::read(store, places).await? {
            return Ok(authority);
        }
        let record =
            KeyRecord { format: KeyRecord::FORMAT, seed: SigningKey::generate()?.seed()?, created: now, floor };
        match private::write(store, &places.signing_key(), &record, Expected::Absent).await {
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
        // What is in the store counts, whoever wrote it.
        Self::read(store, places).await?.ok_or(AuthorityError::Vanished)
    }

    /// Reads the key, if this store has one.
    pub async fn read(store: &dyn Store, places: &Places) -> Result<Option<Self>, AuthorityError> {
        let (record, _) = private::read::<KeyRecord>(store, &places.signing_key()).await?;
        let Some(record) = record else { return Ok(None) };
        let (chain, _) = private::read::<ChainRecord>(store, &places.signing_chain()).await?;
        let key = SigningKey::from_seed(&record.seed)?;
        Ok(Some(Self { key, chain: chain.unwrap_or_default().links, floor: record.floor }))
    }

    /// The key that sites pin.
    pub fn public(&self) -> &PublicKey {
        self.key.public()
    }

    /// The key itself, for receipts that this store signs.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Names a successor: sites that trust this key will trust that one, once they see the link.
    pub fn succeed(&self, places: &Places, successor: &PublicKey, now: i64) -> Vec<Link> {
        let link = Link::sign(places.deployment(), &self.key, successor, now);
        self.chain.iter().cloned().chain([link]).collect()
    }

    /// Keeps the chain that leads to this store's key, so that each bundle carries it.
    pub async fn adopt_chain(store: &dyn Store, places: &Places, links: Vec<Link>) -> Result<(), AuthorityError> {
        let path = places.signing_chain();
        let (_, expected) = private::read::<ChainRecord>(store, &path).await?;
        Ok(private::write(store, &path, &ChainRecord { format: ChainRecord::FORMAT, links }, expected).await?)
    }
}

/// Why there is no authority's key.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The store did not do it.
    #[error("cannot read or write the authority's key")]
    Store(#[from] StoreError),
    /// What is stored is no key, or none could be made.
    #[error("the authority's key cannot be used")]
    Key(#[from] KeyError),
    /// It was removed while it was being made.
    #[error("the authority's key vanished while it was being made")]
    Vanished,
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    #[tokio::test]
    async fn two_at_once_end_with_one_key() {
        let store = Memory::default();
        let places = Places::new("kolla".parse().unwrap()).unwrap();
        let (one, two) = tokio::join!(Authority::ensure(&store, &places, 1), Authority::ensure(&store, &places, 2));
        assert_eq!(one.unwrap().public(), two.unwrap().public());
    }
}
