//! Destroying previous versions once they have been kept for as long as they were to be.

use super::{Layout, labels};
use donjon_drivers::store::{Store, StoreError, Version};
use donjon_policies::name::SecretName;

/// Destroys, in the store's sense, every previous version whose time has come, and says which. `now` is in seconds since 1970.
///
/// The version goes first and its label after it: a crash between the two repeats the destruction, which changes nothing.
pub async fn expire(store: &dyn Store, layout: &Layout, now: i64) -> Result<Vec<(SecretName, Version)>, StoreError> {
    let mut destroyed = Vec::new();
    for name in store.list(&layout.private("labels")).await? {
        let Ok(name) = name.parse::<SecretName>() else { continue };
        let held = labels::read(store, layout, &name).await?;
        let (Some(previous), Some(until)) = (held.labels.previous, held.labels.previous_until) else { continue };
        if until > now || held.labels.rotation.is_some() {
            continue;
        }
        store.destroy(&layout.secret(&name), &[previous]).await?;
        let after = labels::Labels { previous: None, previous_until: None, ..held.labels.clone() };
        match labels::write(store, layout, &name, &held, &after).await {
            // A rotation has begun meanwhile; it wrote the labels, and the next round sees them.
            Ok(()) | Err(StoreError::Conflict { .. }) => destroyed.push((name, previous)),
            Err(other) => return Err(other),
        }
    }
    Ok(destroyed)
}

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
        for value in ["one", "two"] {
            let value = SecretValue::Whole(Material::from(value.to_owned()));
            let record = SecretRecord { name: name.clone(), value, created: 0, origin: Origin::Put };
            secrets::write(&store, &layout, &record).await.unwrap();
        }
        let held = labels::read(&store, &layout, &name).await.unwrap();
        let labels = labels::Labels {
            current: Some(Version(2)),
            previous: Some(Version(1)),
            previous_until: Some(100),
            ..held.labels.clone()
        };
        labels::write(&store, &layout, &name, &held, &labels).await.unwrap();

        assert_eq!(expire(&store, &layout, 99).await.unwrap(), []);
        assert_eq!(expire(&store, &layout, 100).await.unwrap(), [(name.clone(), Version(1))]);
        assert_eq!(expire(&store, &layout, 101).await.unwrap(), []);
        let states: Vec<_> = store.versions(&layout.secret(&name)).await.unwrap().iter().map(|v| v.state).collect();
        assert_eq!(states, [VersionState::Destroyed, VersionState::Present]);
    }
}
