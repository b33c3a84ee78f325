//! The authority: the store that signs. Its key lies in the store's private area and never travels.
//!
//! The record of the key holds how earlier keys lead to it, so one write with compare-and-set puts a new key and its link
//! in the place of the old one: whatever ends in between leaves the one or the other, and no bundle that a site refuses.
//! What is before it in the record's history is destroyed, since whoever has an old key can sign for each site that has
//! seen no newer one yet.

use super::{
    bundle::Epoch,
    key::{KeyError, KeyId, PublicKey, SigningKey},
    private::{self, Places, Recorded},
    succession::Link,
};
use crate::rotation::checkpoint::reached;
use donjon_drivers::{
    material::Material,
    store::{Expected, RecordPath, Store, StoreError, Version, VersionState},
};
use serde::{Deserialize, Serialize};

/// What signs bundles.
#[derive(Debug)]
pub struct Authority {
    pub(super) key: SigningKey,
    pub(super) chain: Vec<Link>,
    pub(super) floor: Epoch,
    /// When the key was made, in seconds since 1970.
    pub created: i64,
    expected: Expected,
}

/// Version 1 had the links in a record of their own, and named the key `seed`: a donjon that knows no other is to find no
/// key here, rather than to sign without its links what sites then refuse.
#[derive(Serialize, Deserialize)]
struct KeyRecord {
    format: u32,
    #[serde(rename = "key", alias = "seed", with = "private::secret_hex")]
    seed: Material,
    created: i64,
    /// No bundle of this authority has an epoch at or below this one.
    floor: Epoch,
    /// How earlier keys lead to this one, oldest first.
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Default, Deserialize)]
struct ChainRecord {
    links: Vec<Link>,
}

impl Recorded for KeyRecord {
    const FORMAT: u32 = 2;
}

impl Recorded for ChainRecord {
    const FORMAT: u32 = 1;
}

impl Authority {
    /// Reads the key, or makes one where there is none yet. Two at once end with one key.
    pub async fn ensure(store: &dyn Store, places: &Places, now: i64) -> Result<Self, AuthorityError> {
        Self::ensure_above(store, places, Epoch(0), now).await
    }

    /// As [`Authority::ensure`]; the key signs epochs above `floor` only, from now on also one that is there.
    pub(super) async fn ensure_above(
        store: &dyn Store,
        places: &Places,
        floor: Epoch,
        now: i64,
    ) -> Result<Self, AuthorityError> {
        if let Some(authority) = Self::read(store, places).await? {
            return authority.raised(store, places, floor).await;
        }
        let record = KeyRecord {
            format: KeyRecord::FORMAT,
            seed: SigningKey::generate()?.seed()?,
            created: now,
            floor,
            links: Vec::new(),
        };
        match private::write(store, &places.signing_key(), &record, Expected::Absent).await {
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
        // What is in the store counts, whoever wrote it.
        let found = Self::read(store, places).await?.ok_or(AuthorityError::Vanished)?;
        found.raised(store, places, floor).await
    }

    /// The same key with this floor, or with its own where that is higher.
    async fn raised(self, store: &dyn Store, places: &Places, floor: Epoch) -> Result<Self, AuthorityError> {
        if self.floor >= floor {
            return Ok(self);
        }
        let record = KeyRecord { floor, ..self.record(self.chain.clone())? };
        private::write(store, &places.signing_key(), &record, self.expected).await?;
        Self::read(store, places).await?.ok_or(AuthorityError::Vanished)
    }

    /// Reads the key, if this store has one.
    pub async fn read(store: &dyn Store, places: &Places) -> Result<Option<Self>, AuthorityError> {
        let (record, expected) = private::read::<KeyRecord>(store, &places.signing_key()).await?;
        let Some(record) = record else { return Ok(None) };
        let chain = match record.format {
            1 => private::read::<ChainRecord>(store, &places.signing_chain()).await?.0.unwrap_or_default().links,
            _ => record.links,
        };
        let key = SigningKey::from_seed(&record.seed)?;
        Ok(Some(Self { key, chain, floor: record.floor, created: record.created, expected }))
    }

    /// The key that sites pin.
    pub fn public(&self) -> &PublicKey {
        self.key.public()
    }

    /// How many keys were there before this one.
    pub fn earlier(&self) -> usize {
        self.chain.len()
    }

    /// Whether this authority has signed with that key, now or before.
    pub(super) fn has_signed_with(&self, key: &KeyId) -> bool {
        self.public().id() == *key || self.chain.iter().any(|link| link.old().as_ref() == Some(key))
    }

    /// Names a successor: sites that trust this key will trust that one, once they see the link.
    pub fn succeed(&self, places: &Places, successor: &PublicKey, now: i64) -> Vec<Link> {
        let link = Link::sign(places.deployment(), &self.key, successor, now);
        self.chain.iter().cloned().chain([link]).collect()
    }

    /// Keeps the chain that leads to this store's key, so that each bundle carries it.
    pub async fn adopt_chain(store: &dyn Store, places: &Places, links: Vec<Link>) -> Result<(), AuthorityError> {
        let own = Self::read(store, places).await?.ok_or(AuthorityError::Vanished)?;
        Ok(private::write(store, &places.signing_key(), &own.record(links)?, own.expected).await?)
    }

    /// Puts a new key in the place of this one, which names it. Where the store did not say whether it was done, it is
    /// asked.
    pub async fn renew(&self, store: &dyn Store, places: &Places, now: i64) -> Result<Self, AuthorityError> {
        let key = SigningKey::generate()?;
        let links = self.succeed(places, key.public(), now);
        let next = Self { key, chain: Vec::new(), floor: self.floor, created: now, expected: self.expected };
        reached("signing-key.made");
        let written = private::write(store, &places.signing_key(), &next.record(links)?, self.expected).await;
        reached("signing-key.written");
        let found = Self::read(store, places).await?.ok_or(AuthorityError::Vanished)?;
        if found.public() == next.public() {
            return Ok(found);
        }
        written?;
        Err(StoreError::Conflict { path: places.signing_key() }.into())
    }

    /// Destroys what the store has kept of earlier keys.
    pub async fn forget_earlier(&self, store: &dyn Store, places: &Places) -> Result<(), StoreError> {
        let path = places.signing_key();
        let newest = match self.expected {
            Expected::Newest(version) => version,
            Expected::Absent => Version(0),
        };
        destroy_before(store, &path, newest).await?;
        // The links of a store of version 1 are in the key's own record by now.
        store.remove(&places.signing_chain()).await?;
        // Named by a key that signs no more.
        store.remove(&places.heir()).await
    }

    /// Whether the key that is in the store now is this one still.
    pub(super) async fn is_newest(&self, store: &dyn Store, places: &Places) -> Result<bool, StoreError> {
        Ok(private::next(store, &places.signing_key()).await? == self.expected)
    }

    fn record(&self, links: Vec<Link>) -> Result<KeyRecord, KeyError> {
        let (seed, created) = (self.key.seed()?, self.created);
        Ok(KeyRecord { format: KeyRecord::FORMAT, seed, created, floor: self.floor, links })
    }
}

async fn destroy_before(store: &dyn Store, path: &RecordPath, newest: Version) -> Result<(), StoreError> {
    let known = store.versions(path).await?;
    let earlier = known.iter().filter(|info| info.version < newest && info.state == VersionState::Present);
    let earlier: Vec<Version> = earlier.map(|info| info.version).collect();
    if earlier.is_empty() { Ok(()) } else { store.destroy(path, &earlier).await }
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

/// Every point at which a test kills a renewal of the key.
pub const POINTS: &[&str] = &["signing-key.made", "signing-key.written"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::succession::{Trust, trust};
    use donjon_drivers::store::{Which, memory::Memory};

    #[tokio::test]
    async fn two_at_once_end_with_one_key() {
        let store = Memory::default();
        let places = Places::new("kolla".parse().unwrap()).unwrap();
        let (one, two) = tokio::join!(Authority::ensure(&store, &places, 1), Authority::ensure(&store, &places, 2));
        assert_eq!(one.unwrap().public(), two.unwrap().public());
    }

    #[tokio::test]
    async fn a_new_key_takes_the_place_of_the_old_one_that_names_it() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        let first = Authority::ensure(&store, &places, 1).await.unwrap();
        let second = first.renew(&store, &places, 2).await.unwrap();
        assert!(matches!(
            first.renew(&store, &places, 2).await,
            Err(AuthorityError::Store(StoreError::Conflict { .. }))
        ));
        let third = second.renew(&store, &places, 3).await.unwrap();
        assert_eq!((third.earlier(), third.created), (2, 3));
        let from = |key: &Authority| trust(places.deployment(), Some(key.public()), &third.chain, third.public());
        assert_eq!(from(&first), Some(Trust::Succeeded { from: *first.public() }));
        assert_eq!(from(&second), Some(Trust::Succeeded { from: *second.public() }));
        assert_eq!(from(&third), Some(Trust::Pinned));
        assert!([&first, &second, &third].iter().all(|key| third.has_signed_with(&key.public().id())));
        assert!(!first.has_signed_with(&third.public().id()));
        assert!(!second.is_newest(&store, &places).await.unwrap() && third.is_newest(&store, &places).await.unwrap());
        third.forget_earlier(&store, &places).await.unwrap();
        for version in [1, 2] {
            let held = store.read(&places.signing_key(), Which::Number(Version(version))).await.unwrap();
            assert!(held.is_none(), "no earlier key is left in version {version}");
        }
        assert_eq!(Authority::ensure(&store, &places, 4).await.unwrap().public(), third.public());
    }
}
