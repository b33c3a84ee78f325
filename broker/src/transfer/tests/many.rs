//! Many sites: an export reads what is its own, and the index that lets it do so is whole whatever ended in between.

use super::{Site, latest};
use crate::transfer::{
    bundle::{Checks, Opened, Recipients, Scope},
    export::{Request, everything, export},
    exposure,
    import::restore::restore,
    private::records_below,
    standing::behind,
};
use async_trait::async_trait;
use donjon_drivers::store::{
    Capabilities, Document, Expected, RecordPath, Store, StoreError, Stored, Version, VersionInfo, Which,
    memory::Memory,
};
use donjon_policies::name::SiteName;
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A store that counts what is asked of it, and after so many writes is gone.
struct Counting<'a> {
    inner: &'a Memory,
    asked: AtomicUsize,
    writes_left: AtomicUsize,
}

impl<'a> Counting<'a> {
    fn new(inner: &'a Memory, writes: usize) -> Self {
        Self { inner, asked: AtomicUsize::new(0), writes_left: AtomicUsize::new(writes) }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    fn count(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Counting<'_> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        self.count();
        self.inner.read(path, which).await
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        self.count();
        let left = self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.inner.write(path, document, expected).await,
            Err(_) => Err(StoreError::Answer { path: path.clone(), status: 500 }),
        }
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        self.count();
        self.inner.list(folder).await
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        self.count();
        self.inner.versions(path).await
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        self.inner.destroy(path, versions).await
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        self.inner.remove(path).await
    }
}

fn node() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

fn name(number: usize) -> SiteName {
    format!("edge{number}").parse().unwrap()
}

fn scope(number: usize) -> Scope {
    Scope::Site { site: name(number), role: "compute".parse().unwrap(), host: None }
}

/// As `export bundle` does it: one recipient that was given and those that were added.
async fn export_one(store: &dyn Store, site: &Site, number: usize, given: &str) -> Vec<String> {
    let effective = exposure::effective(store, &site.places, &scope(number), vec![given.to_owned()]).await.unwrap();
    let recipients = Recipients::parse(effective.iter().map(String::as_str)).unwrap();
    let closure = latest(&["kolla/database_password"]);
    let request = Request {
        scope: scope(number),
        closure: &closure,
        recipients: &recipients,
        lifetime: 1000,
        folder: Path::new("."),
    };
    export(store, &site.places, &site.authority, &request, 200).await.unwrap();
    effective
}

/// Forgets the index, as in a store of a donjon that had none.
async fn without_index(site: &Site) {
    let below = |name: &str| format!("donjon-private/kolla/{name}").parse().unwrap();
    for path in records_below(&site.store, &below("sites")).await.unwrap() {
        site.store.remove(&path).await.unwrap();
    }
    site.store.remove(&below("sites-whole")).await.unwrap();
}

#[tokio::test]
async fn what_an_export_asks_of_the_store_does_not_grow_with_the_sites() {
    let site = Site::new().await;
    let store = Counting::new(&site.store, usize::MAX);
    let mut asked = Vec::new();
    for number in 0..60 {
        exposure::add(&store, &site.places, &node(), None, Some(&name(number)), 100).await.unwrap();
        let first = export_one(&store, &site, number, &node()).await;
        store.asked();
        let again = export_one(&store, &site, number, &first[0]).await;
        assert_eq!((again.len(), &again), (2, &first));
        asked.push(store.asked());
    }
    assert_eq!((asked[0], asked[59]), (asked[1], asked[1]), "{asked:?}");
    assert!(asked[0] > 4, "the control: what is asked is counted");
}

#[tokio::test]
async fn what_a_rotation_asks_of_the_store_does_not_grow_with_the_sites_that_it_is_not_about() {
    let site = Site::new().await;
    let store = Counting::new(&site.store, usize::MAX);
    let records = ["kolla/database_password".parse().unwrap()];
    let mut asked = Vec::new();
    for number in 0..40 {
        export_one(&store, &site, number, &node()).await;
        store.asked();
        let behind = behind(&store, &site.places, [&name(0)], &records).await.unwrap();
        assert_eq!(behind.iter().map(|one| one.site.clone()).collect::<Vec<_>>(), [name(0)]);
        asked.push(store.asked());
    }
    assert_eq!(asked[39], asked[0], "{asked:?}");
    let all: Vec<SiteName> = (0..40).map(name).collect();
    let both = behind(&store, &site.places, &all[..2], &records).await.unwrap();
    assert_eq!((both.len(), store.asked() > asked[0]), (2, true), "the control: each site in scope is asked for");
    assert!(behind(&store, &site.places, [&name(77)], &records).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_from_before_the_index_gets_it_and_loses_nobody() {
    let site = Site::new().await;
    let nodes: Vec<String> = (0..6).map(|_| node()).collect();
    for (number, node) in nodes.iter().enumerate() {
        exposure::add(&site.store, &site.places, node, None, Some(&name(number % 2)), 100).await.unwrap();
    }
    exposure::remove(&site.store, &site.places, &nodes[5], 150).await.unwrap();
    let of = async |store: &dyn Store, number| {
        exposure::effective(store, &site.places, &scope(number), Vec::new()).await.map(|mut found| {
            found.sort();
            found
        })
    };
    let sorted = |chosen: &[usize]| {
        let mut chosen: Vec<_> = chosen.iter().map(|one| nodes[*one].clone()).collect();
        chosen.sort();
        chosen
    };
    // It ends after each of its writes in turn, and is run again: it is whole only once everybody is in it.
    for writes in 0.. {
        without_index(&site).await;
        let done = of(&Counting::new(&site.store, writes), 0).await;
        assert_eq!(of(&site.store, 1).await.unwrap(), sorted(&[1, 3]), "after {writes} writes");
        assert_eq!(of(&site.store, 0).await.unwrap(), sorted(&[0, 2, 4]), "after {writes} writes");
        if done.is_ok() {
            assert_eq!(writes, 6, "one for each that is of a site, and one that says that these are all");
            break;
        }
    }
    let store = Counting::new(&site.store, 0);
    assert_eq!(of(&store, 0).await.unwrap(), sorted(&[0, 2, 4]), "nothing is written any more");
    // Its mark and its folder, and three recipients.
    assert_eq!(store.asked(), 2 + 3);
}

#[tokio::test]
async fn one_that_was_half_added_is_no_recipient_and_one_that_was_added_always_is() {
    let site = Site::new().await;
    for writes in 0..=3 {
        let node = node();
        let store = Counting::new(&site.store, writes);
        let added = exposure::add(&store, &site.places, &node, None, Some(&name(0)), 100).await;
        let all = exposure::all(&site.store, &site.places).await.unwrap();
        let told = all.iter().any(|known| known.recipient == node);
        let found = exposure::effective(&site.store, &site.places, &scope(0), Vec::new()).await.unwrap();
        assert_eq!((added.is_ok(), told, found.contains(&node)), (writes > 1, writes > 1, writes > 1), "{writes}");
    }
}

#[tokio::test]
async fn two_brokers_that_make_the_index_at_once_end_with_one() {
    let site = Site::new().await;
    let (early, late) = (node(), node());
    exposure::add(&site.store, &site.places, &early, None, Some(&name(0)), 100).await.unwrap();
    without_index(&site).await;
    let (scope, name) = (scope(0), name(0));
    let ask = || exposure::effective(&site.store, &site.places, &scope, Vec::new());
    let add = exposure::add(&site.store, &site.places, &late, None, Some(&name), 100);
    let (one, two, added) = tokio::join!(ask(), ask(), add);
    assert!(one.unwrap().contains(&early) && two.unwrap().contains(&early) && added.is_ok());
    assert_eq!(ask().await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_index_is_made_anew_where_a_custodians_bundle_arrives() {
    let site = Site::new().await;
    let added = node();
    exposure::add(&site.store, &site.places, &added, None, Some(&name(0)), 100).await.unwrap();
    export_one(&site.store, &site, 0, &node()).await;
    let index = records_below(&site.store, &"donjon-private/kolla/sites".parse().unwrap()).await.unwrap();
    assert_eq!(index.len(), 1, "the control: there is one");
    let bundle = site.export_custodians().await;
    let held = |path: &RecordPath| bundle.manifest.entries.iter().any(|entry| entry.path == *path);
    assert!(!index.iter().any(held) && !held(&site.places.sites_whole()));
    assert!(held(&everything(&site.store, &site.places).await.unwrap()[0].path), "the control: the rest goes along");

    let store = Memory::default();
    let checks = Checks { now: 300, ..Checks::default() };
    let opened = Opened::from_file(&bundle.file.bytes().unwrap(), &checks, &site.identities()).unwrap();
    restore(&store, &site.places, &opened, 300).await.unwrap();
    let found = exposure::effective(&store, &site.places, &scope(0), Vec::new()).await.unwrap();
    assert_eq!(found, [added]);
}

#[tokio::test]
async fn a_custodians_bundle_does_not_grow_with_the_exports_that_were_made() {
    let site = Site::new().await;
    let given = node();
    let mut sizes = Vec::new();
    for _ in 0..40 {
        export_one(&site.store, &site, 0, &given).await;
        sizes.push(everything(&site.store, &site.places).await.unwrap().len());
    }
    assert_eq!(sizes[0], sizes[39]);
    let bundle = site.export_custodians().await;
    let store = Memory::default();
    let checks = Checks { now: 300, ..Checks::default() };
    let opened = Opened::from_file(&bundle.file.bytes().unwrap(), &checks, &site.identities()).unwrap();
    for _ in 0..2 {
        restore(&store, &site.places, &opened, 300).await.unwrap();
    }
    let path = site.places.export(&scope(0));
    assert_eq!(store.versions(&path).await.unwrap().len(), 1);
    let (there, here) = (store.read(&path, Which::Latest).await.unwrap(), site.store.read(&path, Which::Latest).await);
    assert!(there.unwrap().document.matches(&here.unwrap().unwrap().document));
    let known = exposure::all(&store, &site.places).await.unwrap();
    assert!(known.iter().any(|known| known.recipient == given), "what it could open is known there");
}
