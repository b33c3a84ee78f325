//! A bundle on its way into another store.

use super::*;
use crate::transfer::{
    exposure::Newest,
    mark::{self, Mark},
    private,
};

#[tokio::test]
async fn another_store_takes_a_bundle_in_once_and_goes_on_where_it_stopped() {
    let site = Site::new().await;
    let bundle = site.export_edge().await;
    let there = Memory::default();
    put(&there, "kolla/database_password", "one").await;
    let checks = Checks { now: 300, ..Checks::default() };
    let opened =
        verify(&there, &bundle.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    let planned = plan(&there, &opened).await.unwrap();
    let changes: Vec<_> = planned.steps.iter().map(|s| s.change).collect();
    assert_eq!(changes, [Change::Keep, Change::Create]);
    // Someone writes between plan and act: nothing of theirs is overwritten.
    put(&there, "kolla/nova_password", "theirs").await;
    let refused = apply(&there, &opened, &planned, 300).await.unwrap_err();
    assert!(matches!(refused, ImportError::TakenBack { wanted: 2, .. }), "{refused}");
    let planned = plan(&there, &opened).await.unwrap();
    assert_eq!(planned.steps[1].change, Change::Replace);
    assert_eq!(apply(&there, &opened, &planned, 300).await.unwrap(), 1);
    let older = site.export_edge().await;
    let newer = site.export_edge().await;
    let opened = verify(&there, &newer.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    let planned = plan(&there, &opened).await.unwrap();
    assert_eq!(apply(&there, &opened, &planned, 300).await.unwrap(), 0);
    let refused = verify(&there, &older.file.bytes().unwrap(), &checks).await.unwrap_err();
    assert!(matches!(refused, ImportError::Bundle(OpenError::Stale(_))), "{refused}");
}

#[tokio::test]
async fn a_store_takes_a_bundle_in_as_a_whole_or_has_what_it_had() {
    let site = Site::new().await;
    let names = ["kolla/database_password", "kolla/keystone_password", "kolla/nova_password"];
    put(&site.store, names[1], "new").await;
    let bundle = site.export(edge(), &latest(&names)).await.unwrap();
    let there = Memory::default();
    for value in ["first", "old"] {
        put(&there, names[1], value).await;
    }
    let checks = Checks { now: 300, ..Checks::default() };
    let opened =
        verify(&there, &bundle.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    let planned = plan(&there, &opened).await.unwrap();
    // The last one has changed since: two were written before that is seen.
    let theirs = put(&there, names[2], "theirs").await;
    let refused = apply(&there, &opened, &planned, 300).await.unwrap_err();
    assert!(matches!(refused, ImportError::TakenBack { wanted: 3, .. }), "{refused}");
    let held = async |name: &str| there.read(&path(name), Which::Latest).await.unwrap();
    let text = |value: &str| format!(r#"{{"password":"{value}"}}"#).into_bytes();
    assert!(held(names[0]).await.is_none(), "it was not there");
    assert_eq!(held(names[1]).await.unwrap().document.text().expose(), text("old")); // EXPOSE: a test value
    assert!(there.versions(&path(names[1])).await.unwrap().len() > 2, "the control: it had been written");
    assert_eq!(held(names[2]).await.unwrap().version, theirs);
    assert_eq!(take(&there, &site, &bundle, None).await.unwrap(), 3);
    assert_eq!(held(names[1]).await.unwrap().document.text().expose(), text("new")); // EXPOSE: a test value
}

#[tokio::test]
async fn a_store_that_takes_bundles_in_goes_on_with_its_own_count_of_publications() {
    let site = Site::new().await;
    let layout = Layout::new("kolla".parse().unwrap()).unwrap();
    for _ in 0..5 {
        epoch::bump(&site.store, &layout).await.unwrap();
    }
    let bundle = site.export(edge(), &latest(&["kolla/nova_password", "donjon-public/kolla/epoch"])).await.unwrap();
    for (own, then) in [(0, 6), (2, 3)] {
        let there = Memory::default();
        for _ in 0..own {
            epoch::bump(&there, &layout).await.unwrap();
        }
        take(&there, &site, &bundle, None).await.unwrap();
        assert_eq!(epoch::read(&there, &layout).await.unwrap(), then);
        assert!(there.read(&path("kolla/nova_password"), Which::Latest).await.unwrap().is_some(), "the control");
        take(&there, &site, &bundle, None).await.unwrap();
        assert_eq!(epoch::read(&there, &layout).await.unwrap(), then, "nothing is new");
    }
}

#[tokio::test]
async fn what_was_written_and_not_told_is_told_by_the_next_run() {
    let site = Site::new().await;
    let layout = Layout::new("kolla".parse().unwrap()).unwrap();
    let bundle = site.export(edge(), &latest(&["kolla/nova_password"])).await.unwrap();
    let there = Memory::default();
    // As an import leaves it that dies after its last record.
    let held = site.store.read(&path("kolla/nova_password"), Which::Latest).await.unwrap().unwrap();
    there.write(&path("kolla/nova_password"), &held.document, Expected::Absent).await.unwrap();
    assert_eq!(take(&there, &site, &bundle, None).await.unwrap(), 0);
    assert_eq!(epoch::read(&there, &layout).await.unwrap(), 1);
}

#[tokio::test]
async fn an_older_bundle_of_another_role_brings_no_earlier_value_back() {
    let site = Site::new().await;
    let shared = ["kolla/nova_password", "kolla/database_password"];
    let older = site.export(edge(), &latest(&shared)).await.unwrap();
    put(&site.store, "kolla/nova_password", "the next one").await;
    let network = Scope::Site { site: "edge1".parse().unwrap(), role: "network".parse().unwrap(), host: None };
    let newer = site.export(network, &latest(&["kolla/nova_password"])).await.unwrap();
    let value = async |store: &dyn Store| {
        let held = store.read(&path("kolla/nova_password"), Which::Latest).await.unwrap().unwrap();
        held.document.parse::<serde_json::Value>().unwrap()["password"].clone()
    };
    let there = Memory::default();
    take(&there, &site, &newer, None).await.unwrap();
    assert_eq!(take(&there, &site, &older, None).await.unwrap(), 1, "what it has besides is taken in");
    assert_eq!(value(&there).await, "the next one");
    // The authority itself has it in a later version.
    take(&site.store, &site, &older, None).await.unwrap();
    assert_eq!(value(&site.store).await, "the next one");
    // In the order in which they were made, both are taken in.
    let there = Memory::default();
    take(&there, &site, &older, None).await.unwrap();
    take(&there, &site, &newer, None).await.unwrap();
    assert_eq!(value(&there).await, "the next one");
}

fn another_edge() -> Scope {
    Scope::Site { site: "edge2".parse().unwrap(), role: "compute".parse().unwrap(), host: None }
}

/// Takes a bundle into a store.
async fn take(store: &dyn Store, from: &Site, bundle: &Bundle, pin: Option<&PublicKey>) -> Result<usize, ImportError> {
    let checks = Checks { pin, now: 300, ..Checks::default() };
    let opened = verify(store, &bundle.file.bytes().unwrap(), &checks).await?.open(&from.identities())?;
    apply(store, &opened, &plan(store, &opened).await?, 300).await
}

fn forged(taken: Result<usize, ImportError>) {
    let refused = taken.expect_err("a forged bundle");
    assert!(matches!(refused, ImportError::Bundle(OpenError::Forged { signer: Some(_), .. })), "{refused}");
}

#[tokio::test]
async fn one_authority_is_pinned_for_every_scope_of_a_store() {
    let (ours, forger) = (Site::new().await, Site::new().await);
    let names = latest(&["kolla/database_password"]);
    let theirs = forger.export(another_edge(), &names).await.unwrap();
    let there = Memory::default();
    take(&there, &ours, &ours.export_edge().await, None).await.unwrap();
    forged(take(&there, &forger, &theirs, None).await);
    let held = there.read(&path("kolla/database_password"), Which::Latest).await.unwrap().unwrap();
    assert_eq!(held.document.text().expose(), br#"{"password":"one"}"#); // EXPOSE: a test value
    take(&there, &ours, &ours.export(another_edge(), &names).await.unwrap(), None).await.unwrap();
    // A lost key: the new one is given by file, and is the store's from then on.
    let newer = forger.export(another_edge(), &names).await.unwrap();
    take(&there, &forger, &newer, Some(forger.authority.public())).await.unwrap();
    forged(take(&there, &ours, &ours.export_edge().await, None).await);
}

#[tokio::test]
async fn a_store_that_signs_trusts_nobody_because_he_came_first() {
    let (ours, forger) = (Site::new().await, Site::new().await);
    forged(take(&ours.store, &forger, &forger.export_edge().await, None).await);
    take(&ours.store, &forger, &forger.export_edge().await, Some(forger.authority.public())).await.unwrap();
}

#[tokio::test]
async fn an_empty_store_that_takes_a_bundle_in_follows_and_no_other_does() {
    let site = Site::new().await;
    let bundle = site.export_edge().await;
    let there = Memory::default();
    assert_eq!(elsewhere(&there, &site.places).await.unwrap(), None, "the control");
    for _ in 0..2 {
        take(&there, &site, &bundle, None).await.unwrap();
        assert_eq!(elsewhere(&there, &site.places).await.unwrap(), Some(Elsewhere::Following));
    }
    let followed = followed(&there, &site.places).await.unwrap();
    assert!(followed.contains("kolla/database_password"), "{followed:?}");
    // It signs receipts, and has no key of an authority.
    let (one, two) = tokio::join!(own_key(&there, &site.places, 1), own_key(&there, &site.places, 2));
    assert_eq!(one.unwrap().public(), two.unwrap().public());
    assert!(Authority::read(&there, &site.places).await.unwrap().is_none());

    let occupied = Memory::default();
    put(&occupied, "kolla/keystone_password", "its own").await;
    take(&occupied, &site, &bundle, None).await.unwrap();
    assert_eq!(elsewhere(&occupied, &site.places).await.unwrap(), None, "it has values of its own");
    take(&site.store, &site, &bundle, None).await.unwrap();
    assert_eq!(elsewhere(&site.store, &site.places).await.unwrap(), None, "the authority itself");
}

#[tokio::test]
async fn a_store_that_followed_and_becomes_the_authority_follows_nobody() {
    let site = Site::new().await;
    let there = Memory::default();
    take(&there, &site, &site.export_edge().await, None).await.unwrap();
    let custodians = site.export_custodians().await;
    let checks = Checks { now: 300, ..Checks::default() };
    let opened =
        verify(&there, &custodians.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    // Also where a push into it was taken back.
    let marked = mark::read(&there, &site.places).await.unwrap();
    let from = site.authority.public().id();
    let withdrawn = Mark::Withdrawn { from, id: None, follows: true };
    mark::write(&there, &site.places, &marked, withdrawn, 300).await.unwrap();
    assert_eq!(elsewhere(&there, &site.places).await.unwrap(), Some(Elsewhere::Following));
    restore(&there, &site.places, &opened, 300).await.unwrap();
    assert_eq!(elsewhere(&there, &site.places).await.unwrap(), None);
}

#[tokio::test]
async fn who_comes_back_from_a_bundle_knows_who_else_could_open_it() {
    let site = Site::new().await;
    let bundle = site.export_custodians().await;
    let there = Memory::default();
    let checks = Checks { now: 300, ..Checks::default() };
    let file = bundle.file.bytes().unwrap();
    let opened = verify(&there, &file, &checks).await.unwrap().open(&site.identities()).unwrap();
    restore(&there, &site.places, &opened, 300).await.unwrap();
    let known = exposure::all(&there, &site.places).await.unwrap();
    let recipients: Vec<_> = known.iter().map(|known| known.recipient.clone()).collect();
    assert_eq!(recipients, [site.reader.to_public().to_string()]);
    let exposed = exposure::exposed(&there, &site.places, &known[0], &mut Newest::default()).await.unwrap();
    let exposed: Vec<_> = exposed.iter().map(|one| (one.path.as_str(), one.in_use)).collect();
    let of_all = ["kolla/database_password", "kolla/keystone_admin_password", "kolla/nova_password"];
    assert_eq!(exposed, of_all.map(|path| (path, true)));
}

#[tokio::test]
async fn what_was_pinned_scope_by_scope_is_pinned_still() {
    let (ours, forger) = (Site::new().await, Site::new().await);
    let there = Memory::default();
    let pin = |authority: &Authority| serde_json::json!({"format": 1, "pin": authority.public(), "epoch": 1, "digest": "00".repeat(32), "at": 1});
    let note = async |at: &str, authority: &Authority| {
        let at = path(&format!("donjon-private/kolla/imports/{at}/compute/any"));
        let expected = private::next(&there, &at).await.unwrap();
        private::write(&there, &at, &pin(authority), expected).await.unwrap();
    };
    note("edge9", &ours.authority).await;
    forged(take(&there, &forger, &forger.export_edge().await, None).await);
    note("edge8", &forger.authority).await;
    let refused = take(&there, &ours, &ours.export_edge().await, None).await.unwrap_err();
    assert!(matches!(refused, ImportError::Pin(PinError::Several)), "{refused}");
    take(&there, &ours, &ours.export_edge().await, Some(ours.authority.public())).await.unwrap();
    forged(
        take(&there, &forger, &forger.export(another_edge(), &latest(&["kolla/nova_password"])).await.unwrap(), None)
            .await,
    );
}

#[tokio::test]
async fn of_two_that_both_came_first_one_is_pinned() {
    let (one, two) = (Site::new().await, Site::new().await);
    let there = Memory::default();
    let open = async |site: &Site, scope| {
        let bundle = site.export(scope, &latest(&["kolla/database_password"])).await.unwrap();
        let checks = Checks { now: 300, ..Checks::default() };
        verify(&there, &bundle.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap()
    };
    let (first, second) = (open(&one, edge()).await, open(&two, another_edge()).await);
    apply(&there, &first, &plan(&there, &first).await.unwrap(), 300).await.unwrap();
    let refused = apply(&there, &second, &plan(&there, &second).await.unwrap(), 300).await.unwrap_err();
    assert!(matches!(refused, ImportError::Store { written: 0, .. }), "{refused}");
}
