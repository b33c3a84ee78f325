//! Destroying previous versions once they have been kept for as long as they were to be.

use super::{
    Layout,
    labels::{self, Kept},
};
use crate::rotation::journal::{Held, Journal};
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

/// Lays the journals of rotations that have ended aside, and removes those that ended long ago, with what a broker that
/// stalled may have left pending of them.
pub async fn forget(store: &dyn Store, layout: &Layout, now: i64) -> Result<(), StoreError> {
    for held in Held::current(store, layout).await?.into_iter().filter(|held| held.journal.state.ended()) {
        held.lay_aside(store, layout).await?;
    }
    for id in store.list(&layout.journals_aside()).await? {
        // A rotation ends after it has begun: most need not be read to be seen to be young.
        if Journal::began(&id).is_some_and(|began| began / 1_000_000 + REMEMBERED > now) {
            continue;
        }
        let path = layout.journal_aside(&id);
        let Some(held) = Held::read_at(store, &path).await? else { continue };
        let last = held.journal.history.last().map_or(0, |(_, at)| at / 1_000_000);
        if last + REMEMBERED > now {
            continue;
        }
        for secret in held.journal.names() {
            store.remove(&layout.pending(&id, &secret)).await?;
        }
        store.remove(&path).await?;
    }
    Ok(())
}

/// For how long the journal of a rotation that has ended is kept, in seconds: a quarter of a year.
const REMEMBERED: i64 = 90 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{records::secrets, rotation::journal::Item};
    use donjon_drivers::{
        material::Material,
        store::{
            Document, Expected, VersionState, Which,
            memory::Memory,
            secret::{Origin, SecretRecord, SecretValue},
        },
    };

    use donjon_policies::transition::{Path, State};

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

    #[tokio::test]
    async fn a_journal_is_laid_aside_when_it_has_ended_and_removed_a_quarter_of_a_year_later() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let secret: SecretName = "x".parse().unwrap();
        let begun = 1_700_000_000_i64;
        let (young, old) = (Journal::id("x", begun * 1_000_000), "x.1".to_owned());
        for id in [&young, &old] {
            let item = Item { secret: secret.clone(), old: Version(1), new: None, credentials: Vec::new() };
            let mut journal = Journal::new(id.clone(), Path::Overlap, vec![item], "a", begun * 1_000_000);
            journal.state = State::Retired;
            journal.history.push((State::Retired, begun * 1_000_000));
            Held::create(&store, &layout, journal).await.unwrap();
            let left = Document::from_json(Material::from("{}".to_owned())).unwrap();
            store.write(&layout.pending(id, &secret), &left, Expected::Absent).await.unwrap();
        }
        let known = async || Held::all(&store, &layout).await.unwrap().len();
        let aside = async || store.list(&layout.journals_aside()).await.unwrap().len();
        let left = async || store.read(&layout.pending(&young, &secret), Which::Latest).await.unwrap().is_some();
        let until = begun + REMEMBERED;
        forget(&store, &layout, until - 1).await.unwrap();
        assert_eq!((known().await, aside().await, left().await), (2, 2, true));
        forget(&store, &layout, until).await.unwrap();
        assert_eq!((known().await, aside().await, left().await), (0, 0, false));
    }
}
