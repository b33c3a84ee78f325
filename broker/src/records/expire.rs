//! Destroying previous versions once they have been kept for as long as they were to be.

use super::{
    Layout,
    labels::{self, Kept},
};
use crate::rotation::journal::Held;
use donjon_drivers::store::{Store, StoreError, Version};
use donjon_policies::name::SecretName;

/// Destroys, in the store's sense, every earlier version whose time has come, and says which. `now` is in seconds since 1970.
///
/// The version goes first and its label after it: a crash between the two repeats the destruction, which changes nothing.
pub async fn expire(store: &dyn Store, layout: &Layout, now: i64) -> Result<Vec<(SecretName, Version)>, StoreError> {
    let mut destroyed = Vec::new();
    for name in store.list(&layout.private("labels")).await? {
        let Ok(name) = name.parse::<SecretName>() else { continue };
        let held = labels::read(store, layout, &name).await?;
        let (gone, kept): (Vec<Kept>, Vec<Kept>) = held.labels.kept.iter().partition(|kept| kept.until <= now);
        if gone.is_empty() || held.labels.rotation.is_some() {
            continue;
        }
        let gone: Vec<Version> = gone.iter().map(|kept| kept.version).collect();
        store.destroy(&layout.secret(&name), &gone).await?;
        let after = labels::Labels { kept, ..held.labels.clone() };
        match labels::write(store, layout, &name, &held, &after).await {
            // A rotation has begun meanwhile; it wrote the labels, and the next round sees them.
            Ok(()) | Err(StoreError::Conflict { .. }) => destroyed.extend(gone.into_iter().map(|v| (name.clone(), v))),
            Err(other) => return Err(other),
        }
    }
    Ok(destroyed)
}

/// Removes the journals of rotations that ended long ago, and what a broker that stalled may have left pending of them.
pub async fn forget(store: &dyn Store, layout: &Layout, now: i64) -> Result<(), StoreError> {
    for held in Held::all(store, layout).await? {
        let journal = &held.journal;
        let last = journal.history.last().map_or(0, |(_, at)| at / 1_000_000);
        if !journal.state.ended() || last + REMEMBERED > now {
            continue;
        }
        for secret in journal.names() {
            store.remove(&layout.pending(&journal.id, &secret)).await?;
        }
        store.remove(&layout.journal(&journal.id)).await?;
    }
    Ok(())
}

/// For how long the journal of a rotation that has ended is kept, in seconds: a quarter of a year.
const REMEMBERED: i64 = 90 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::secrets;
    use donjon_drivers::{
        material::Material,
        store::{
            VersionState,
            memory::Memory,
            secret::{Origin, SecretRecord, SecretValue},
        },
    };

    #[tokio::test]
    async fn a_previous_version_is_destroyed_when_its_time_has_come_and_not_before() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let name: SecretName = "x".parse().unwrap();
        for value in ["one", "two", "three"] {
            let value = SecretValue::Whole(Material::from(value.to_owned()));
            let record = SecretRecord { name: name.clone(), value, created: 0, origin: Origin::Put, user: None };
            secrets::write(&store, &layout, &record).await.unwrap();
        }
        let held = labels::read(&store, &layout, &name).await.unwrap();
        let labels = labels::Labels {
            current: Some(Version(3)),
            ..held.labels.clone().keep(Version(1), 100).keep(Version(2), 200)
        };
        labels::write(&store, &layout, &name, &held, &labels).await.unwrap();

        assert_eq!(expire(&store, &layout, 99).await.unwrap(), []);
        assert_eq!(expire(&store, &layout, 100).await.unwrap(), [(name.clone(), Version(1))]);
        assert_eq!(expire(&store, &layout, 101).await.unwrap(), []);
        let states: Vec<_> = store.versions(&layout.secret(&name)).await.unwrap().iter().map(|v| v.state).collect();
        assert_eq!(states, [VersionState::Destroyed, VersionState::Present, VersionState::Present]);
        assert_eq!(expire(&store, &layout, 200).await.unwrap(), [(name.clone(), Version(2))]);
    }
}
