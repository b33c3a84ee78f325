//! What came along with the database and belongs to the old authority goes, and the new one is written.

use super::error::{SnapshotError, there};
use crate::{
    rotation::checkpoint::reached,
    transfer::{
        authority::Authority,
        key::PublicKey,
        mark::{self, Mark, MoveId},
        private::{Places, records_below},
    },
};
use donjon_drivers::store::{Store, StoreError};

/// Removes keys, pending values and journals, makes the new key and links it to the old one, then marks the store as the
/// authority. Where that was done before, nothing is changed.
pub(super) async fn arrive(
    store: &dyn Store,
    places: &Places,
    own: &Authority,
    id: Option<MoveId>,
    now: i64,
) -> Result<PublicKey, SnapshotError> {
    let marked = mark::read(store, places).await.map_err(there)?;
    let from = own.public().id();
    if !matches!(&marked.mark, Some(Mark::Here { from: Some(known), .. }) if *known == from) {
        forget(store, places).await.map_err(there)?;
        reached("snapshot.cleaned");
        let authority = Authority::ensure_above(store, places, own.floor, now).await?;
        let chain = own.succeed(places, authority.public(), now);
        Authority::adopt_chain(store, places, chain).await?;
        mark::write(store, places, &marked, Mark::Here { from: Some(from), id }, now).await.map_err(there)?;
        reached("snapshot.arrived");
    }
    Ok(*Authority::ensure(store, places, now).await?.public())
}

async fn forget(store: &dyn Store, places: &Places) -> Result<(), StoreError> {
    for folder in places.of_the_authority() {
        for record in records_below(store, &folder).await? {
            store.remove(&record).await?;
        }
    }
    store.remove(&places.heir()).await?;
    store.remove(&places.handover()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::{
        material::Material,
        store::{Document, Expected, Which, memory::Memory},
    };

    #[tokio::test]
    async fn what_belongs_to_the_old_authority_goes_and_the_rest_stays() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        let old = Authority::ensure(&store, &places, 1).await.unwrap();
        let path = |name: &str| name.parse().unwrap();
        let gone = ["pending/r/a", "journal/r", "ended/q", "heartbeat/1", "readers/x", "deployers/x", "handover"];
        let stay = ["labels/a", "exports/custodians"];
        let document = || Document::from_json(Material::from(r#"{"v":1}"#.to_owned())).unwrap();
        for name in gone.iter().chain(&stay) {
            let record = path(&format!("donjon-private/kolla/{name}"));
            store.write(&record, &document(), Expected::Absent).await.unwrap();
        }
        store.write(&path("kolla/a"), &document(), Expected::Absent).await.unwrap();
        let key = arrive(&store, &places, &old, None, 2).await.unwrap();
        assert_ne!(key, *old.public(), "the old key does not sign there");
        for name in gone {
            let record = path(&format!("donjon-private/kolla/{name}"));
            assert!(store.versions(&record).await.unwrap().is_empty(), "{name}");
        }
        for name in stay {
            let record = path(&format!("donjon-private/kolla/{name}"));
            assert!(store.read(&record, Which::Latest).await.unwrap().is_some(), "{name}");
        }
        assert!(store.read(&path("kolla/a"), Which::Latest).await.unwrap().is_some());
        assert_eq!(arrive(&store, &places, &old, None, 3).await.unwrap(), key, "a second time nothing is changed");
        let chain = Authority::read(&store, &places).await.unwrap().unwrap().chain;
        let trust = crate::transfer::succession::trust(places.deployment(), Some(old.public()), &chain, &key);
        assert!(matches!(trust, Some(crate::transfer::succession::Trust::Succeeded { .. })), "{trust:?}");
    }
}
