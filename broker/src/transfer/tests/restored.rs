//! A restore that ends anywhere: what it leaves is no authority, and the same again makes it one.

use super::*;
use crate::transfer::{
    bundle::{Expired, Opened},
    mark::{self, Mark},
    standing::SOON,
};
use async_trait::async_trait;
use donjon_drivers::store::{Capabilities, StoreError, Stored, VersionInfo};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A store that takes so many writes and no more, as if its broker had been killed then.
struct Takes {
    inner: Memory,
    left: AtomicUsize,
}

impl Takes {
    fn writes(left: usize) -> Self {
        Self { inner: Memory::default(), left: AtomicUsize::new(left) }
    }

    fn one_less(&self) -> Result<(), StoreError> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| StoreError::Damaged { path: path("killed"), what: "killed" })
    }
}

#[async_trait]
impl Store for Takes {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        self.inner.read(path, which).await
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        self.one_less()?;
        self.inner.write(path, document, expected).await
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        self.inner.list(folder).await
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        self.inner.versions(path).await
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        self.one_less()?;
        self.inner.destroy(path, versions).await
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        self.one_less()?;
        self.inner.remove(path).await
    }
}

/// The bundle of a site that has exported before, and has a record with a version that was destroyed.
async fn bundle(site: &Site) -> Vec<u8> {
    site.export_edge().await;
    put(&site.store, "kolla/nova_password", "three").await;
    site.store.destroy(&path("kolla/nova_password"), &[Version(1)]).await.unwrap();
    site.export_custodians().await.file.bytes().unwrap()
}

/// As a store opens it that trusts whom it knows, or the first that comes.
async fn open(store: &dyn Store, site: &Site, bundle: &[u8]) -> Opened {
    let checks = Checks { now: 300, ..Checks::default() };
    verify(store, bundle, &checks).await.unwrap().open(&site.identities()).unwrap()
}

async fn opened(site: &Site) -> Opened {
    open(&Memory::default(), site, &bundle(site).await).await
}

#[tokio::test]
async fn a_restore_that_ends_anywhere_leaves_no_authority_and_goes_on() {
    let site = Site::new().await;
    let bundle = bundle(&site).await;
    let (mut ended, mut done) = (0, false);
    while !done {
        let store = Takes::writes(ended);
        let opened = open(&store, &site, &bundle).await;
        done = restore(&store, &site.places, &opened, 300).await.is_ok();
        let stands = elsewhere(&store, &site.places).await.unwrap();
        let has_records = !store.list(&site.places.public_folder()).await.unwrap().is_empty();
        if has_records && !done {
            assert_eq!(stands, Some(Elsewhere::Restoring), "after {ended} writes");
            let authority = Authority::read(&store, &site.places).await.unwrap();
            assert!(authority.is_some_and(|own| own.floor > Epoch(1_000_000)), "its floor is there before its records");
        }
        store.left.store(1000, Ordering::Relaxed);
        let opened = open(&store, &site, &bundle).await;
        let restored = restore(&store, &site.places, &opened, 301).await.unwrap();
        assert_eq!(elsewhere(&store, &site.places).await.unwrap(), None, "after {ended} writes");
        assert!(restored.authority.floor > Epoch(1_000_000), "{:?}", restored.authority);
        for named in ["kolla/database_password", "kolla/nova_password", "kolla/keystone_admin_password"] {
            let at = path(named);
            let here = site.store.read(&at, Which::Latest).await.unwrap().unwrap();
            let there = store.read(&at, Which::Latest).await.unwrap().unwrap();
            assert!(here.document.matches(&there.document) && here.version == there.version, "{named}");
        }
        ended += 1;
    }
    assert!(ended > 8, "the control: it ended in many places, {ended}");
}

#[tokio::test]
async fn a_key_that_is_there_before_signs_above_what_the_old_authority_has_signed() {
    let site = Site::new().await;
    let opened = opened(&site).await;
    let new = Memory::default();
    let before = Authority::ensure(&new, &site.places, 250).await.unwrap();
    assert_eq!(before.floor, Epoch(0), "the control");
    let restored = restore(&new, &site.places, &opened, 300).await.unwrap();
    assert_eq!(restored.authority.public(), before.public());
    assert!(restored.authority.floor > Epoch(1_000_000));
}

#[tokio::test]
async fn what_is_being_restored_is_not_mixed_with_another_bundle() {
    let site = Site::new().await;
    let first = opened(&site).await;
    let second = opened(&site).await;
    let store = Takes::writes(4);
    restore(&store, &site.places, &first, 300).await.unwrap_err();
    assert_eq!(elsewhere(&store, &site.places).await.unwrap(), Some(Elsewhere::Restoring), "the control");
    store.left.store(1000, Ordering::Relaxed);
    let refused = restore(&store, &site.places, &second, 300).await.unwrap_err();
    assert!(matches!(refused, ImportError::OtherBundle), "{refused}");
    restore(&store, &site.places, &first, 300).await.unwrap();
    // Once it is the authority again, it says the same to who asks again, and keeps its mark.
    let marked = mark::read(&store, &site.places).await.unwrap();
    let here = Mark::Here { from: Some(site.authority.public().id()), id: None };
    mark::write(&store, &site.places, &marked, here.clone(), 301).await.unwrap();
    restore(&store, &site.places, &first, 302).await.unwrap();
    assert_eq!(mark::read(&store, &site.places).await.unwrap().mark, Some(here));
}

#[tokio::test]
async fn the_last_bundle_is_none_once_it_has_ended_and_comes_back_where_somebody_says_so() {
    let site = Site::new().await;
    site.drill().await;
    let end = 200 + CUSTODIANS;
    let at = async |now: i64| standing(&site.store, &site.places, now).await.unwrap();
    assert!(at(end - 86_400).await.may_end(), "the control");
    for (now, told) in [(end - 86_399, "ends before it could be carried"), (end + 1, "has ended")] {
        let standing = at(now).await;
        assert!(!standing.may_end() && !standing.comes_back(), "{now}");
        let missing = standing.missing();
        assert!(missing.len() == 1 && missing[0].contains(told), "{missing:?}");
    }
    assert_eq!(at(end - SOON).await.ends_soon(), None);
    assert!(at(end - SOON + 1).await.ends_soon().is_some_and(|told| told.contains("is good until 1970-02-10")));

    let bundle = site.export_custodians().await.file.bytes().unwrap();
    let checks = Checks { now: end + 86_400, ..Checks::default() };
    let refused = verify(&Memory::default(), &bundle, &checks).await.unwrap_err();
    assert!(matches!(refused, ImportError::Bundle(OpenError::Stale(Stale::Expired { .. }))), "{refused}");
    let taken = Checks { expired: Expired::Taken, ..checks };
    let new = Memory::default();
    let opened = verify(&new, &bundle, &taken).await.unwrap().open(&site.identities()).unwrap();
    restore(&new, &site.places, &opened, end + 86_400).await.unwrap();
    assert_eq!(elsewhere(&new, &site.places).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_restored_where_an_authority_is_on_its_way() {
    let site = Site::new().await;
    let opened = opened(&site).await;
    let store = Memory::default();
    let marked = mark::read(&store, &site.places).await.unwrap();
    let waits = Mark::Arriving { from: site.authority.public().id(), id: None, follows: false };
    mark::write(&store, &site.places, &marked, waits, 299).await.unwrap();
    let refused = restore(&store, &site.places, &opened, 300).await.unwrap_err();
    assert!(matches!(refused, ImportError::Elsewhere(Elsewhere::Arriving)), "{refused}");
    assert!(store.list(&site.places.public_folder()).await.unwrap().is_empty());
}
