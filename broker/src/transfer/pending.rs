//! What became of a value that a bundle held before it was published: custodians' bundles hold what is pending, too.

use super::private::Places;
use crate::rotation::journal::Held;
use donjon_drivers::store::{RecordPath, Store, StoreError, Version};

/// What became of a pending value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// This version of the record that consumers read.
    Published(Version),
    /// Nothing yet: its rotation has not ended.
    Waits,
    /// Nothing: its rotation went back.
    Nothing,
}

/// The record that consumers read, of a value pending at this path, and what became of it; `None` where the path is none of a
/// pending value. `since` is when a bundle held it, in seconds since 1970.
pub(super) async fn became(
    store: &dyn Store,
    places: &Places,
    path: &str,
    since: i64,
) -> Result<Option<(RecordPath, Became)>, StoreError> {
    let Some((rotation, name)) = places.pending_at(path) else { return Ok(None) };
    let public = places.secret(&name);
    let journal = Held::read(store, places.layout(), rotation).await?.map(|held| held.journal);
    let Some(journal) = journal else {
        // A journal is kept for a quarter of a year, laid aside once it has ended. Without it, what was written next may be that
        // value.
        let later = store.versions(&public).await?.into_iter().filter(|info| info.created >= since);
        let next = later.map(|info| info.version).min();
        return Ok(Some((public, next.map_or(Became::Nothing, Became::Published))));
    };
    let published = journal.secrets.iter().find(|item| item.secret == name).and_then(|item| item.new);
    let became = match published {
        Some(version) => Became::Published(version),
        None if journal.state.ended() => Became::Nothing,
        None => Became::Waits,
    };
    Ok(Some((public, became)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::journal::{Item, Journal};
    use donjon_drivers::{
        material::Material,
        store::{Document, Expected, memory::Memory},
    };
    use donjon_policies::{
        name::SecretName,
        transition::{Path, State},
    };

    #[tokio::test]
    async fn a_journal_that_is_laid_aside_tells_what_became_of_a_value() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        let secret: SecretName = "a".parse().unwrap();
        let public = places.secret(&secret);
        for version in 0..3 {
            let document = Document::from_json(Material::from("{}".to_owned())).unwrap();
            let expected = if version == 0 { Expected::Absent } else { Expected::Newest(Version(version)) };
            store.write(&public, &document, expected).await.unwrap();
        }
        for (id, state, new) in [("a.1", State::Retired, Some(Version(2))), ("a.2", State::Aborted, None)] {
            let item = Item { secret: secret.clone(), old: Version(1), new, credentials: Vec::new() };
            let journal = Journal::new(id.to_owned(), Path::Overlap, vec![item], "a", 0);
            let held = Held::create(&store, places.layout(), Journal { state, ..journal }).await.unwrap();
            let path = places.layout().pending(id, &secret);
            let wanted = Some((public.clone(), new.map_or(Became::Nothing, Became::Published)));
            assert_eq!(became(&store, &places, path.as_str(), 0).await.unwrap(), wanted, "{id}");
            held.lay_aside(&store, places.layout()).await.unwrap();
            assert_eq!(became(&store, &places, path.as_str(), 0).await.unwrap(), wanted, "{id}, laid aside");
        }
    }
}
