//! The way of a bundle from an authority to a site and back as a receipt, over a store in memory.

mod closures;
mod many;
mod nodes;
mod receipts;
mod restored;
mod stores;

use super::{
    authority::Authority,
    bundle::{Checks, Epoch, Foreign, Identities, OpenError, Recipients, Scope, Stale},
    drill::{DrillError, drill, last},
    export::{Bundle, ExportError, Heir, Request, Wanted, everything, export, for_custodians},
    exposure,
    import::{
        ImportError,
        node::Node,
        own_key::own_key,
        restore::restore,
        store::{Change, apply, followed, plan, verify},
    },
    key::{PublicKey, SigningKey},
    mark::{Elsewhere, elsewhere},
    pin::PinError,
    private::Places,
    receipt::{self, Act, Receipt, ReceiptError},
    retire::retire,
    standing::{Missing, behind, standing},
    succession::Trust,
};
use crate::records::{Layout, epoch};
use age::x25519;
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, Version, Which, memory::Memory},
};
use std::path::Path;

/// How long a custodians' bundle is good, in seconds.
const CUSTODIANS: i64 = 40 * 86_400;

struct Site {
    store: Memory,
    places: Places,
    authority: Authority,
    reader: x25519::Identity,
    folder: tempfile::TempDir,
}

fn path(text: &str) -> RecordPath {
    text.parse().unwrap()
}

async fn put(store: &dyn Store, at: &str, value: &str) -> Version {
    let document = Document::from_json(Material::from(format!(r#"{{"password":"{value}"}}"#))).unwrap();
    let expected = super::private::next(store, &path(at)).await.unwrap();
    store.write(&path(at), &document, expected).await.unwrap()
}

fn latest(paths: &[&str]) -> Vec<Wanted> {
    paths.iter().map(|p| Wanted { path: path(p), which: Which::Latest }).collect()
}

fn edge() -> Scope {
    Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None }
}

impl Site {
    async fn new() -> Self {
        let store = Memory::default();
        let places = Places::new("kolla".parse().unwrap()).unwrap();
        put(&store, "kolla/database_password", "one").await;
        put(&store, "kolla/nova_password", "two").await;
        put(&store, "kolla/keystone_admin_password", "not for the edge").await;
        let authority = Authority::ensure(&store, &places, 100).await.unwrap();
        Self { store, places, authority, reader: x25519::Identity::generate(), folder: tempfile::tempdir().unwrap() }
    }

    async fn export(&self, scope: Scope, closure: &[Wanted]) -> Result<Bundle, ExportError> {
        let recipients = self.recipients();
        let lifetime = if scope == (Scope::Custodians {}) { CUSTODIANS } else { 1000 };
        let request = Request { scope, closure, recipients: &recipients, lifetime, folder: Path::new(".") };
        export(&self.store, &self.places, &self.authority, &request, 200).await
    }

    async fn export_edge(&self) -> Bundle {
        self.export(edge(), &latest(&["kolla/database_password", "kolla/nova_password"])).await.unwrap()
    }

    async fn export_custodians(&self) -> Bundle {
        let closure = for_custodians(&self.store, &self.places, (&self.recipients(), Heir::Stays), 200).await.unwrap();
        self.export(Scope::Custodians {}, &closure).await.unwrap()
    }

    /// Reopens the custodians' bundle, whose last one is made for it.
    async fn drill(&self) {
        let bundle = self.export_custodians().await.file.bytes().unwrap();
        drill(&self.store, &self.places, &self.authority, &bundle, &[self.identities()], 1, 500).await.unwrap();
    }

    fn recipients(&self) -> Recipients {
        Recipients::parse([self.reader.to_public().to_string().as_str()]).unwrap()
    }

    fn identities(&self) -> Identities {
        Identities::one(self.reader.clone())
    }

    fn import(&self, bundle: &[u8], now: i64) -> Result<Vec<u8>, ImportError> {
        let mut node = Node::open(&self.folder.path().join("node")).unwrap();
        let opened = node.verify(bundle, &Checks { now, ..Checks::default() })?.open(&self.identities())?;
        node.accept(bundle, &opened, now)
    }

    async fn accept(&self, receipt: &[u8]) -> Result<Receipt, ReceiptError> {
        receipt::accept(&self.store, &self.places, receipt, 400).await
    }
}

#[tokio::test]
async fn a_bundle_is_exactly_its_closure() {
    let site = Site::new().await;
    let bundle = site.export_edge().await;
    let names: Vec<_> = bundle.manifest.entries.iter().map(|e| e.path.to_string()).collect();
    assert_eq!(names, ["kolla/database_password", "kolla/nova_password"]);
    let refused = site.export(edge(), &latest(&["kolla/database_password", "kolla/a", "kolla/b"])).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store does not hold `kolla/a`, `kolla/b`");
}

#[tokio::test]
async fn a_journal_that_was_laid_aside_meanwhile_is_not_missed_and_a_secret_is() {
    let site = Site::new().await;
    let journal = "donjon-private/kolla/journal/4711";
    put(&site.store, journal, "of a rotation that has just ended").await;
    let closure = everything(&site.store, &site.places).await.unwrap();
    assert!(closure.iter().any(|wanted| wanted.path == path(journal)), "the control: it was to be in the bundle");
    site.store.remove(&path(journal)).await.unwrap();
    let bundle = site.export(Scope::Custodians {}, &closure).await.unwrap();
    assert_eq!(bundle.manifest.entries.len(), closure.len() - 1);
    site.store.remove(&path("kolla/nova_password")).await.unwrap();
    let refused = site.export(Scope::Custodians {}, &closure).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store does not hold `kolla/nova_password`");
}

#[tokio::test]
async fn a_site_takes_each_newer_bundle_and_no_older_one() {
    let site = Site::new().await;
    let first = site.export_edge().await;
    let second = site.export_edge().await;
    assert_eq!((first.manifest.epoch, second.manifest.epoch), (Epoch(1), Epoch(2)));
    site.import(&first.file.bytes().unwrap(), 300).unwrap();
    site.import(&second.file.bytes().unwrap(), 300).unwrap();
    site.import(&second.file.bytes().unwrap(), 301).unwrap();
    let refused = site.import(&first.file.bytes().unwrap(), 302).unwrap_err();
    assert!(matches!(refused, ImportError::Bundle(OpenError::Stale(Stale::Older { .. }))), "{refused}");
    let node = Node::open(&site.folder.path().join("node")).unwrap();
    let state = node.state().unwrap();
    assert_eq!((state.current.epoch, state.previous.unwrap().epoch), (Epoch(2), Epoch(1)));
    assert_eq!(node.current().unwrap().0, second.file.bytes().unwrap(), "the refused file changed nothing");
}

#[tokio::test]
async fn a_site_pins_what_came_first() {
    let (site, stranger) = (Site::new().await, Site::new().await);
    site.import(&site.export_edge().await.file.bytes().unwrap(), 300).unwrap();
    let before = std::fs::read(site.folder.path().join("node/node.json")).unwrap();
    stranger.export_edge().await;
    let forged = stranger.export_edge().await;
    let refused = site.import(&forged.file.bytes().unwrap(), 300).unwrap_err();
    assert!(matches!(refused, ImportError::Bundle(OpenError::Forged { .. })), "{refused}");
    let elsewhere = Scope::Site { site: "edge2".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
    let other = site.export(elsewhere, &latest(&["kolla/nova_password"])).await.unwrap();
    let refused = site.import(&other.file.bytes().unwrap(), 300).unwrap_err();
    assert!(matches!(refused, ImportError::Bundle(OpenError::Foreign(Foreign::Scope { .. }))), "{refused}");
    assert_eq!(std::fs::read(site.folder.path().join("node/node.json")).unwrap(), before);
    // A lost key: the new one is pinned by file.
    let mut node = Node::open(&site.folder.path().join("node")).unwrap();
    let checks = Checks { pin: Some(stranger.authority.public()), now: 300, ..Checks::default() };
    let opened = node.verify(&forged.file.bytes().unwrap(), &checks).unwrap().open(&stranger.identities()).unwrap();
    node.accept(&forged.file.bytes().unwrap(), &opened, 300).unwrap();
    assert_eq!(node.state().unwrap().pin, *stranger.authority.public());
}

#[tokio::test]
async fn one_import_at_a_time() {
    let site = Site::new().await;
    let _first = Node::open(&site.folder.path().join("node")).unwrap();
    assert!(matches!(Node::open(&site.folder.path().join("node")), Err(ImportError::Busy { .. })));
}

#[tokio::test]
async fn a_receipt_counts_once_and_only_for_the_last_bundle() {
    let site = Site::new().await;
    assert!(!standing(&site.store, &site.places, 500).await.unwrap().may_end());
    let first = site.export_edge().await;
    let old = site.import(&first.file.bytes().unwrap(), 300).unwrap();
    let second = site.export_edge().await;
    assert!(matches!(site.accept(&old).await, Err(ReceiptError::Older { .. })));
    let standing_now = standing(&site.store, &site.places, 500).await.unwrap();
    assert_eq!(standing_now.waiting().count(), 1);
    assert!(!standing_now.may_end());
    let receipt = site.import(&second.file.bytes().unwrap(), 300).unwrap();
    let accepted = site.accept(&receipt).await.unwrap();
    assert_eq!((accepted.act, accepted.records), (Act::Imported, 2));
    assert_eq!(site.accept(&receipt).await.unwrap(), accepted, "the very one again");
    let now = standing(&site.store, &site.places, 500).await.unwrap();
    assert_eq!((now.waiting().count(), now.sites[0].receipts), (0, 1));
    assert!(!now.may_end(), "what the site does not read is nowhere else");
}

#[tokio::test]
async fn a_store_may_end_when_the_authority_can_come_back_and_every_recipient_has_its_bundle() {
    let site = Site::new().await;
    let may_end = async || standing(&site.store, &site.places, 500).await.unwrap().may_end();
    let bundle = site.export_edge().await;
    site.export_custodians().await;
    assert!(!may_end().await, "nobody has reopened it");
    site.drill().await;
    assert!(!may_end().await, "the site has nothing yet");
    site.accept(&site.import(&bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
    assert!(may_end().await, "a receipt that comes later is nothing that would be missed");
    put(&site.store, "kolla/keystone_admin_password", "changed since").await;
    assert!(!may_end().await);
}

#[tokio::test]
async fn a_store_may_not_end_while_sites_or_recipients_would_come_back_as_they_were() {
    let site = Site::new().await;
    let otherwise = async || {
        let standing = standing(&site.store, &site.places, 500).await.unwrap();
        assert_eq!(standing.comes_back(), standing.missing().iter().all(|what| !what.starts_with("since")));
        standing.custodians.unwrap().stood_otherwise
    };
    let again = async || {
        site.drill().await;
        assert_eq!(otherwise().await, [""; 0], "another one has it all");
    };
    let recipient = x25519::Identity::generate().to_public().to_string();
    let edge1 = "edge1".parse().unwrap();
    again().await;
    let bundle = site.export_edge().await;
    assert_eq!(otherwise().await, ["a bundle was exported for site `edge1`, role `compute`"]);
    again().await;
    site.accept(&site.import(&bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
    assert_eq!(otherwise().await, [""; 0], "its receipt can be given anew");
    exposure::add(&site.store, &site.places, &recipient, Some("compute7"), Some(&edge1), 100).await.unwrap();
    assert_eq!(otherwise().await, ["the recipient compute7 was added or changed"]);
    again().await;
    exposure::remove(&site.store, &site.places, &recipient, 200).await.unwrap();
    assert_eq!(otherwise().await, ["the recipient compute7 was removed"]);
    again().await;
    retire(&site.store, &site.places, "edge1", 200).await.unwrap();
    assert_eq!(otherwise().await, ["site `edge1`, role `compute` was retired"]);
    again().await;
}

#[tokio::test]
async fn one_identity_counts_once_however_often_it_answers() {
    let (mut site, second) = (Site::new().await, x25519::Identity::generate());
    let both = [&site.reader, &second].map(|identity| identity.to_public().to_string());
    let recipients = Recipients::parse(both.iter().map(String::as_str)).unwrap();
    let closure = latest(&["kolla/database_password"]);
    let request =
        Request { scope: edge(), closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
    let bundle = export(&site.store, &site.places, &site.authority, &request, 200).await.unwrap();
    let paths = [path("kolla/database_password")];
    let waiting = async |site: &Site| {
        let behind = behind(&site.store, &site.places, [&"edge1".parse().unwrap()], &paths).await.unwrap();
        behind.first().map(|behind| match &behind.missing {
            Missing::Drained { imported, drained, recipients, .. } => (*imported, *drained, *recipients),
            Missing::Bundle => panic!("it has the newest"),
        })
    };
    let answer = async |site: &Site| {
        site.accept(&site.import(&bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
        answer_drained(site, &bundle).await;
    };
    answer(&site).await;
    assert_eq!(waiting(&site).await, Some((1, 1, 2)));
    // The same identity in another folder, as of a node that was made anew.
    site.folder = tempfile::tempdir().unwrap();
    site.accept(&site.import(&bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
    assert_eq!(waiting(&site).await, Some((1, 0, 2)), "a node that has it and does not run on it is waited for");
    answer_drained(&site, &bundle).await;
    assert_eq!(waiting(&site).await, Some((1, 1, 2)), "the other recipient has not opened it");
    site.folder = tempfile::tempdir().unwrap();
    site.reader = second;
    answer(&site).await;
    assert_eq!(waiting(&site).await, None);
}

#[tokio::test]
async fn nobody_waits_for_a_host_that_has_left_and_everybody_for_those_that_stay() {
    let (site, leaves) = (Site::new().await, x25519::Identity::generate().to_public().to_string());
    exposure::add(&site.store, &site.places, &leaves, Some("compute7"), None, 100).await.unwrap();
    let both = [site.reader.to_public().to_string(), leaves.clone()];
    let recipients = Recipients::parse(both.iter().map(String::as_str)).unwrap();
    let closure = latest(&["kolla/database_password"]);
    let request =
        Request { scope: edge(), closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
    let bundle = export(&site.store, &site.places, &site.authority, &request, 200).await.unwrap();
    let paths = [path("kolla/database_password")];
    let waiting = async || behind(&site.store, &site.places, [&"edge1".parse().unwrap()], &paths).await.unwrap().len();
    let counts = async || {
        let standing = standing(&site.store, &site.places, 500).await.unwrap();
        standing.sites.first().map(|site| (site.receipts, site.drained, site.recipients))
    };
    let retired = retire(&site.store, &site.places, "compute7", 250).await.unwrap();
    assert_eq!((retired.shared, retired.scopes.len()), (vec![edge()], 0));
    assert_eq!((waiting().await, counts().await), (1, Some((0, 0, 1))), "the other one stays");
    exposure::add(&site.store, &site.places, &both[0], Some("compute8"), None, 100).await.unwrap();
    let told = behind(&site.store, &site.places, [&"edge1".parse().unwrap()], &paths).await.unwrap();
    assert!(told[0].to_string().ends_with("0 have drained it (compute8)"), "{}", told[0]);
    site.accept(&site.import(&bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
    answer_drained(&site, &bundle).await;
    assert_eq!((waiting().await, counts().await), (0, Some((1, 1, 1))));
    put(&site.store, "kolla/database_password", "two").await;
    assert_eq!(waiting().await, 1, "the control");
    let retired = retire(&site.store, &site.places, &both[0], 400).await.unwrap();
    assert_eq!((retired.shared, waiting().await), (vec![edge()], 0), "nobody has it any more");
}

#[tokio::test]
async fn a_host_that_leaves_takes_no_other_along_and_a_site_all_of_its_own() {
    let site = Site::new().await;
    let keys: Vec<String> = (0..3).map(|_| x25519::Identity::generate().to_public().to_string()).collect();
    for (key, name) in keys.iter().zip(["ctl1", "ctl2"]) {
        exposure::add(&site.store, &site.places, key, Some(name), None, 100).await.unwrap();
    }
    // The bundle of one host is encrypted to all recipients of its site, one of which has no name.
    let scope = Scope::Site {
        site: "edge1".parse().unwrap(),
        role: "compute".parse().unwrap(),
        host: Some("ctl1".parse().unwrap()),
    };
    let recipients = Recipients::parse(keys.iter().map(String::as_str)).unwrap();
    let closure = latest(&["kolla/database_password"]);
    let request = Request { scope, closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
    export(&site.store, &site.places, &site.authority, &request, 200).await.unwrap();
    let gone = async |name: &str| {
        let retired = retire(&site.store, &site.places, name, 250).await.unwrap();
        retired.recipients.into_iter().map(|known| known.recipient).collect::<std::collections::BTreeSet<_>>()
    };
    let of = |numbers: &[usize]| numbers.iter().map(|number| keys[*number].clone()).collect();
    assert_eq!(gone("ctl1").await, of(&[0, 2]));
    assert_eq!(gone("edge1").await, of(&[1]));
}

#[tokio::test]
async fn a_site_that_leaves_takes_no_recipient_of_another_site_along() {
    let site = Site::new().await;
    let keys: Vec<String> = (0..4).map(|_| x25519::Identity::generate().to_public().to_string()).collect();
    let [edge1, edge2] = ["edge1", "edge2"].map(|name| name.parse().unwrap());
    let add = async |key: &str, name, of| {
        exposure::add(&site.store, &site.places, key, name, Some(of), 100).await.unwrap();
    };
    // Of both sites; of one that has a bundle elsewhere; of one alone, with a name and without.
    for (key, name) in keys.iter().zip([Some("both"), None, Some("alone"), None]) {
        add(key, name, &edge1).await;
    }
    add(&keys[0], None, &edge2).await;
    let export_to = async |name: &str, keys: &[&String]| {
        let scope = Scope::Site { site: name.parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let recipients = Recipients::parse(keys.iter().map(|key| key.as_str())).unwrap();
        let closure = latest(&["kolla/database_password"]);
        let request =
            Request { scope, closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
        export(&site.store, &site.places, &site.authority, &request, 200).await.unwrap();
    };
    export_to("edge1", &[&keys[0], &keys[1], &keys[3]]).await;
    export_to("edge3", &[&keys[1]]).await;
    let of = async |name: &str| {
        let scope = Scope::Site { site: name.parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let given = vec![keys[1].clone()];
        exposure::effective(&site.store, &site.places, &scope, given).await.unwrap()
    };
    let retired = retire(&site.store, &site.places, "edge1", 250).await.unwrap();
    let names = |known: &[exposure::Known]| -> std::collections::BTreeSet<_> {
        known.iter().map(|known| known.recipient.clone()).collect()
    };
    let keyed = |numbers: [usize; 2]| numbers.iter().map(|number| keys[*number].clone()).collect();
    assert_eq!((names(&retired.kept), names(&retired.recipients)), (keyed([0, 1]), keyed([2, 3])));
    assert_eq!(of("edge2").await, [keys[1].clone(), keys[0].clone()], "what was given, and what was added there");
    assert_eq!(of("edge1").await, [keys[1].clone()], "none that was added");
    let retired = retire(&site.store, &site.places, "both", 260).await.unwrap();
    assert_eq!(retired.recipients.len(), 1, "by its own name it leaves all sites");
    assert_eq!(of("edge2").await, [keys[1].clone()]);
}

async fn answer_drained(site: &Site, bundle: &Bundle) {
    let mut node = Node::open(&site.folder.path().join("node")).unwrap();
    let opened = node.verify_read(&bundle.file.bytes().unwrap(), 300).unwrap().open(&site.identities()).unwrap();
    let drained = node.drained(&opened, Vec::new(), 301).unwrap();
    site.accept(&drained).await.unwrap();
}

#[tokio::test]
async fn of_a_bundle_of_before_a_receipt_speaks_for_one_recipient() {
    let site = Site::new().await;
    site.export_edge().await;
    let (entry, _) = super::ledger::read(&site.store, &site.places, &edge()).await.unwrap();
    let mut json = serde_json::to_value(entry.unwrap()).unwrap();
    json["format"] = 1.into();
    json.as_object_mut().unwrap().remove("receipt_keys").expect("the control");
    json["recipients"] = serde_json::json!(["age1a", "age1b"]);
    let receipt = |node: &str| serde_json::json!({"node": node, "at": 1, "recorded": 1, "drained": 1});
    json["receipts"] = serde_json::json!([receipt(&"00".repeat(32)), receipt(&"01".repeat(32))]);
    let before: super::ledger::Exported = serde_json::from_value(json).unwrap();
    let answered = before.answered();
    assert_eq!((answered.imported, answered.drained), (1, 1));
}

#[tokio::test]
async fn a_receipt_from_someone_who_did_not_open_the_bundle_is_forged() {
    let site = Site::new().await;
    let bundle = site.export_edge().await;
    let receipt_file = site.import(&bundle.file.bytes().unwrap(), 300).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&receipt_file[b"donjon-receipt/1\n".len()..]).unwrap();
    use base64::{Engine, prelude::BASE64_STANDARD};
    let payload = BASE64_STANDARD.decode(json["payload"].as_str().unwrap()).unwrap();
    let good: Receipt = serde_json::from_slice(&payload).unwrap();
    let stranger = SigningKey::generate().unwrap();
    for forged in [
        Receipt { node: *stranger.public(), ..good.clone() },
        Receipt { node: *stranger.public(), at: 301, ..good.clone() },
        Receipt { node: *stranger.public(), epoch: Epoch(7), ..good.clone() },
        Receipt { node: *stranger.public(), scope: Scope::Custodians {}, ..good.clone() },
    ] {
        let refused = site.accept(&forged.to_file(&stranger)).await.unwrap_err();
        assert!(matches!(refused, ReceiptError::Forged { .. }), "{refused}");
    }
    let elsewhere = Receipt { node: *stranger.public(), deployment: "other".parse().unwrap(), ..good.clone() };
    assert!(matches!(site.accept(&elsewhere.to_file(&stranger)).await, Err(ReceiptError::Foreign { .. })));
    assert!(matches!(site.accept(&good.to_file(&stranger)).await, Err(ReceiptError::Forged { .. })));
    for place in 0..receipt_file.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut altered = receipt_file.clone();
            altered[place] ^= flip;
            let refused = site.accept(&altered).await.expect_err("an altered receipt");
            assert!(
                matches!(refused, ReceiptError::Damaged | ReceiptError::Newer | ReceiptError::Forged { .. }),
                "byte {place}: {refused}"
            );
        }
    }
    assert!(site.accept(&receipt_file).await.is_ok(), "the control");
}

#[tokio::test]
async fn a_bundle_says_what_values_are_and_not_who_signs_or_reads() {
    let site = Site::new().await;
    for (scope, at, allowed) in [
        (edge(), "kolla/database_password", true),
        (edge(), "donjon-public/kolla/epoch", true),
        (edge(), "kolla/a/b", true),
        (edge(), "other/database_password", false),
        (edge(), "donjon-private/kolla/signing/key", false),
        (edge(), "donjon-private/kolla/recipients/00", false),
        (edge(), "donjon-private/kolla/labels/database_password", false),
        (edge(), "donjon-private/kolla/pin", false),
        (Scope::Custodians {}, "donjon-private/kolla/recipients/00", true),
        (Scope::Custodians {}, "donjon-private/kolla/signing/key", false),
        (Scope::Custodians {}, "donjon-private/kolla/signing/chain", false),
        (Scope::Custodians {}, "donjon-private/kolla/authority", false),
        (Scope::Custodians {}, "donjon-private/kolla/pin", false),
        (Scope::Custodians {}, "donjon-private/kolla/sites/edge1/00", false),
        (Scope::Custodians {}, "donjon-private/kolla/sites-whole", false),
        (Scope::Custodians {}, "donjon-private/kolla/exports/sites/edge1/compute/any", true),
        (Scope::Custodians {}, "donjon-private/other/labels/x", false),
        (Scope::Custodians {}, "other/database_password", false),
    ] {
        assert_eq!(site.places.travels(&scope).holds(&path(at)), allowed, "{at} for {scope}");
    }
}

#[tokio::test]
async fn a_custodians_bundle_makes_a_new_authority_with_the_same_versions() {
    let site = Site::new().await;
    put(&site.store, "kolla/database_password", "second").await;
    put(&site.store, "kolla/database_password", "third").await;
    site.store.destroy(&path("kolla/database_password"), &[Version(1)]).await.unwrap();
    put(&site.store, "donjon-private/kolla/labels/database_password", "label").await;
    put(&site.store, "donjon-private/kolla/deployers/0123456789abcdef-7", "deployer").await;
    let edge_bundle = site.export_edge().await;
    let bundle = site.export_custodians().await;
    assert!(bundle.manifest.entries.iter().all(|e| !e.path.as_str().contains("/signing/")), "the key never travels");
    let deployer = bundle.manifest.entries.iter().any(|e| e.path.as_str().contains("/deployers/"));
    assert!(!deployer, "who runs beside this store runs beside no other");

    let new = Memory::default();
    let checks = Checks { now: 300, ..Checks::default() };
    let opened = verify(&new, &bundle.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    for _ in 0..2 {
        restore(&new, &site.places, &opened, 300).await.unwrap();
    }
    let read = async |number| new.read(&path("kolla/database_password"), Which::Number(Version(number))).await.unwrap();
    assert!(read(1).await.is_none());
    assert_eq!(read(2).await.unwrap().document.text().expose(), br#"{"password":"second"}"#); // EXPOSE: a test value
    assert_eq!(read(3).await.unwrap().document.text().expose(), br#"{"password":"third"}"#); // EXPOSE: a test value
    assert!(new.read(&path("donjon-private/kolla/labels/database_password"), Which::Latest).await.unwrap().is_some());

    // The old authority learns of it by file, and may then end.
    assert!(!standing(&site.store, &site.places, 500).await.unwrap().may_end());
    let restored = restore(&new, &site.places, &opened, 301).await.unwrap();
    assert_eq!(site.accept(&restored.receipt).await.unwrap().act, Act::Reopened);
    assert!(!standing(&site.store, &site.places, 500).await.unwrap().may_end(), "the site has not answered");
    site.accept(&site.import(&edge_bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
    assert!(standing(&site.store, &site.places, 500).await.unwrap().may_end());
    assert_ne!(restored.authority.public(), site.authority.public());
    assert_eq!(
        verify(&new, &bundle.file.bytes().unwrap(), &checks).await.unwrap().trust(),
        Trust::Pinned,
        "a second run knows whom"
    );

    // Its bundles are newer than all of the old one's.
    let recipients = Recipients::parse([site.reader.to_public().to_string().as_str()]).unwrap();
    let closure = latest(&["kolla/nova_password"]);
    let request =
        Request { scope: edge(), closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
    let next = export(&new, &site.places, &restored.authority, &request, 400).await.unwrap();
    assert!(next.manifest.epoch > Epoch(1_000_000));

    // A value written since would be lost.
    put(&site.store, "kolla/database_password", "fourth").await;
    let now = standing(&site.store, &site.places, 500).await.unwrap();
    assert_eq!(now.custodians.as_ref().unwrap().changed_since, ["kolla/database_password"]);
    assert!(!now.may_end());
}

#[tokio::test]
async fn a_store_with_other_values_is_not_restored_over() {
    let site = Site::new().await;
    let bundle = site.export_custodians().await;
    let new = Memory::default();
    put(&new, "kolla/nova_password", "another").await;
    let checks = Checks { now: 300, ..Checks::default() };
    let opened = verify(&new, &bundle.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    let refused = restore(&new, &site.places, &opened, 300).await.unwrap_err();
    assert!(matches!(refused, ImportError::Occupied { .. }), "{refused}");
    assert!(new.read(&path("kolla/database_password"), Which::Latest).await.unwrap().is_none(), "nothing was written");
}

#[tokio::test]
async fn a_drill_proves_that_the_custodians_can_come_back() {
    let site = Site::new().await;
    let edge_bundle = site.export_edge().await;
    let bundle = site.export_custodians().await;
    let run = async |file: &[u8], identities: Vec<Identities>, needed| {
        drill(&site.store, &site.places, &site.authority, file, &identities, needed, 500).await
    };
    let stranger = || Identities::one(x25519::Identity::generate());
    let nobody = run(&bundle.file.bytes().unwrap(), vec![stranger()], 1).await;
    assert!(matches!(nobody, Err(DrillError::Bundle(OpenError::WrongIdentity))));
    let few = run(&bundle.file.bytes().unwrap(), vec![site.identities(), stranger()], 2).await;
    assert!(matches!(few, Err(DrillError::TooFew { opened: 1, needed: 2 })), "{few:?}");
    assert!(run(&edge_bundle.file.bytes().unwrap(), vec![site.identities()], 1).await.unwrap_err().is_for_a_site());
    site.accept(&site.import(&edge_bundle.file.bytes().unwrap(), 300).unwrap()).await.unwrap();
    assert!(!standing(&site.store, &site.places, 500).await.unwrap().may_end());
    assert_eq!(last(&site.store, &site.places).await.unwrap(), None, "nothing was recorded");
    let drilled = run(&bundle.file.bytes().unwrap(), vec![stranger(), site.identities()], 1).await.unwrap();
    assert_eq!((drilled.age, drilled.opened_by), (300, 1));
    assert!(standing(&site.store, &site.places, 500).await.unwrap().may_end());
    assert_eq!(last(&site.store, &site.places).await.unwrap().map(|last| last.at), Some(500));
    // A newer bundle makes the older one prove nothing, and the last drill is known all the same.
    let newer = site.export_custodians().await;
    let older = run(&bundle.file.bytes().unwrap(), vec![site.identities()], 1).await;
    assert!(matches!(older, Err(DrillError::Receipt(ReceiptError::Older { .. }))), "{older:?}");
    assert_eq!(last(&site.store, &site.places).await.unwrap().map(|last| last.at), Some(500));
    run(&newer.file.bytes().unwrap(), vec![site.identities()], 1).await.unwrap();
}

#[tokio::test]
async fn a_site_follows_the_authority_to_its_next_key() {
    let site = Site::new().await;
    site.import(&site.export_edge().await.file.bytes().unwrap(), 300).unwrap();
    let bundle = site.export_custodians().await;
    let new = Memory::default();
    let checks = Checks { now: 300, ..Checks::default() };
    let opened = verify(&new, &bundle.file.bytes().unwrap(), &checks).await.unwrap().open(&site.identities()).unwrap();
    let restored = restore(&new, &site.places, &opened, 300).await.unwrap();
    let chain = site.authority.succeed(&site.places, restored.authority.public(), 310);
    Authority::adopt_chain(&new, &site.places, chain).await.unwrap();
    let authority = Authority::read(&new, &site.places).await.unwrap().unwrap();
    let recipients = Recipients::parse([site.reader.to_public().to_string().as_str()]).unwrap();
    let closure = latest(&["kolla/nova_password"]);
    let request =
        Request { scope: edge(), closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
    let next = export(&new, &site.places, &authority, &request, 400).await.unwrap();
    site.import(&next.file.bytes().unwrap(), 400).unwrap();
    let retired = site.export_edge().await;
    assert!(matches!(
        site.import(&retired.file.bytes().unwrap(), 400).unwrap_err(),
        ImportError::Bundle(OpenError::Forged { .. })
    ));
}
