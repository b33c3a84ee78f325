//! What outlives a binary, of every version that was ever written: read to the letter, and a version to come refused by name.
//! How each file was made stands in its folder.

use donjon::transfer::{
    Places,
    authority::Authority,
    bundle::{Checks, Epoch, Identities, Recipients, Scope},
    drill,
    export::{Request, Wanted, export},
    exposure,
    import::{
        ImportError,
        node::{Node, Reads},
        store::verify,
    },
    key::PublicKey,
    mark,
    receipt::{self, Act, ReceiptError},
    snapshot,
    standing::standing,
    succession::Trust,
};
use donjon_drivers::{
    fs,
    material::Material,
    store::{Document, Expected, RecordPath, Store, Which, memory::Memory},
};
use donjon_tests::donjon::Donjon;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

const LEDGER: &str = "donjon-private/kolla/exports/sites/edge1/compute/any";
const NOW: i64 = 1_795_913_100;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn parsed(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

fn identities(name: &str) -> Identities {
    Identities::parse(&Material::new(read(name))).unwrap()
}

fn key(name: &str) -> PublicKey {
    PublicKey::from_pem(&read(name)).unwrap()
}

fn places() -> Places {
    Places::new("kolla".parse().unwrap()).unwrap()
}

async fn holding(records: &Value) -> Memory {
    let store = Memory::default();
    for (path, record) in records.as_object().unwrap() {
        let document = Document::from_json(Material::from(record.to_string())).unwrap();
        store.write(&path.parse().unwrap(), &document, Expected::Absent).await.unwrap();
    }
    store
}

/// What a store of that time kept, with the link that a move left there.
fn records() -> Value {
    let mut records = parsed("site-v1/records.json");
    records["donjon-private/kolla/signing/chain"] = parsed("chain-v1/chain.json");
    records["donjon-private/kolla/authority"] = json!({"format": 1, "authority": "here", "at": 1});
    records
}

/// Receipts of version 1 for bundles of both versions, by ledgers of both.
#[tokio::test]
async fn receipts_are_taken() {
    let mut ledger = parsed("site-v1/records.json")[LEDGER].clone();
    assert_eq!((ledger["format"].clone(), ledger["receipts"].as_array().unwrap().len()), (json!(2), 1));
    ledger["receipts"] = json!([]);
    let store = holding(&json!({LEDGER: ledger})).await;
    let take = async |file: &[u8]| {
        let checked = receipt::check(&store, &places(), file).await?;
        checked.record(&store, &places(), NOW).await
    };
    let imported = take(&read("site-v1/imported.receipt")).await.unwrap();
    let told = &imported.receipt;
    assert_eq!((told.act, told.epoch, told.records, told.at), (Act::Imported, Epoch(2), 3, 1_795_913_019));
    assert_eq!((imported.recipients, imported.imported, imported.drained), (1, 1, 0));
    let drained = take(&read("site-v1/drained.receipt")).await.unwrap();
    assert_eq!((drained.receipt.act, drained.imported, drained.drained), (Act::Drained, 1, 1));
    assert_eq!(drained.receipt.node, told.node);
    let newer = String::from_utf8(read("site-v1/imported.receipt")).unwrap().replacen("receipt/1", "receipt/2", 1);
    let refused = take(newer.as_bytes()).await.unwrap_err();
    assert!(matches!(refused, ReceiptError::Newer), "{refused}");

    let store = holding(&json!({LEDGER: parsed("receipt-v1/ledger.json")})).await;
    let checked = receipt::check(&store, &places(), &read("receipt-v1/imported.receipt")).await.unwrap();
    let recorded = checked.record(&store, &places(), NOW).await.unwrap();
    assert_eq!((recorded.receipt.at, recorded.receipt.epoch, recorded.imported), (1_700_000_500, Epoch(1), 1));
}

#[test]
fn a_snapshot_is_opened() {
    let (file, authority) = (read("snapshot-v1/snapshot"), key("snapshot-v1/authority.pem"));
    let open =
        |file: &[u8]| snapshot::open(file, &authority, &"kolla".parse().unwrap(), &identities("snapshot-v1/identity"));
    let opened = open(&file).unwrap();
    let digest = "f36e513e1655ddfc3a3e58adf192c9683940f4ee66fe77cf6c92dd18ba0648e5";
    assert_eq!(opened.digest(), digest, "it is the archive that the Vault gave, which is whole");
    let newer = [b"donjon-snapshot/2\n", &file[18..]].concat();
    let refused = open(&newer).unwrap_err();
    assert!(matches!(refused, snapshot::ContainerError::Newer), "{refused}");
}

/// A node's folder, where only its owner can read it.
fn node() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        fs::private_folder(&copy.path().join("node").join(&below)).unwrap();
        for entry in std::fs::read_dir(fixture("site-v1/node").join(&below)).unwrap().map(Result::unwrap) {
            let name = below.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(name),
                false => {
                    fs::replace(&copy.path().join("node").join(&name), &std::fs::read(entry.path()).unwrap()).unwrap();
                }
            }
        }
    }
    fs::replace(&copy.path().join("identity"), &read("site-v1/identity")).unwrap();
    copy
}

#[test]
fn a_node_goes_on_with_both_of_its_bundles() {
    let copy = node();
    let folder = copy.path().join("node");
    let mut node = Node::open(&folder).unwrap();
    let state = node.state().unwrap().clone();
    assert_eq!((state.current.epoch, state.previous.unwrap().epoch), (Epoch(2), Epoch(1)));
    assert_eq!((state.pin, state.imported), (key("site-v1/authority.pem"), 1_795_913_019));
    assert_eq!(node.serving().unwrap(), Some(1_795_913_020 * 1_000_000), "it knows since when it serves");
    let held = |node: &Node| {
        let file = node.read().unwrap();
        let opened = node.verify_read(&file, NOW).unwrap().open(&identities("site-v1/identity")).unwrap();
        let record = opened.records().iter().find(|r| r.path.as_str() == "kolla/database_password").unwrap();
        record.document.parse::<Value>().unwrap()["password"].clone()
    };
    assert_eq!(held(&node), "fixture-three");
    assert_eq!(node.step(Reads::Previous, NOW, None).unwrap().epoch, Epoch(1));
    assert_eq!(held(&node), "fixture-one");
    drop(node);
    for (file, newer) in [("node.json", "\"format\": 2"), ("roles.json", "\"format\": 2")] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        fs::replace(&folder.join(file), text.replacen("\"format\": 1", newer, 1).as_bytes()).unwrap();
    }
    let refused = Node::open(&folder).unwrap_err();
    assert!(matches!(refused, ImportError::NodeNewer { .. }), "{refused}");
    let refused = donjon::reader::Roles::read(&folder.join("roles.json")).unwrap_err();
    assert!(refused.to_string().ends_with("was written by a newer donjon"), "{refused}");
}

/// The program of today on it: what consumers log in with is good, before and after a step back.
#[tokio::test]
async fn a_node_is_served_as_before() {
    struct Ends(Child);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let (copy, donjon) = (node(), Donjon::new());
    let (folder, identity) = (copy.path().join("node"), copy.path().join("identity").display().to_string());
    let words = ["serve", "-i", &identity, "--listen", "127.0.0.1:0", "--output", "json", "--node"];
    let mut command = donjon.command(&[&words[..], &[&folder.display().to_string()]].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let _ends = Ends(child);
    let url = serde_json::from_str::<Value>(&line).unwrap()["url"].as_str().unwrap().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let half = |name: &str| String::from_utf8(read(&format!("site-v1/node/approle/compute/{name}"))).unwrap();
    let body = json!({"role_id": half("role-id"), "secret_id": half("secret-id")}).to_string();
    let answer = client.post(format!("{url}/v1/auth/approle/login")).body(body).send().await.unwrap();
    let token = answer.json::<Value>().await.unwrap()["auth"]["client_token"].as_str().unwrap().to_owned();
    let value = async || {
        let request = client.get(format!("{url}/v1/donjon/data/kolla/database_password"));
        let answer = request.header("X-Vault-Token", &token).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["data"]["data"]["password"].clone()
    };
    assert_eq!(value().await, "fixture-three");
    donjon.run(&["serve", "step", "back", "--node", &folder.display().to_string()]).ok();
    let before = donjon_tests::wait::until("the step back", std::time::Duration::from_secs(10), async || {
        Some(value().await).filter(|value| value != "fixture-three")
    });
    assert_eq!(before.await, "fixture-one");
}

/// Everything that reads a record of this kind, and what the first one says that cannot.
async fn read_all(store: &Memory) -> Result<(), String> {
    let places = places();
    fn failed(error: &dyn std::error::Error) -> String {
        let source = error.source().map(failed).unwrap_or_default();
        format!("{error}: {source}")
    }
    let checks = Checks { now: NOW, ..Checks::default() };
    let bundle = read("site-v1/node/bundles/2-54f5d829468f0dc1.bundle");
    Authority::read(store, &places).await.map_err(|e| failed(&e))?;
    mark::read(store, &places).await.map_err(|e| failed(&e))?;
    standing(store, &places, NOW).await.map_err(|e| failed(&e))?;
    exposure::all(store, &places).await.map_err(|e| failed(&e))?;
    let edge = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
    exposure::effective(store, &places, &edge, Vec::new()).await.map_err(|e| failed(&e))?;
    drill::last(store, &places).await.map_err(|e| failed(&e))?;
    verify(store, &bundle, &checks).await.map(drop).map_err(|e| failed(&e))
}

#[tokio::test]
async fn the_records_of_a_store_are_read() {
    let (store, places) = (holding(&records()).await, places());
    read_all(&store).await.unwrap();
    let authority = Authority::read(&store, &places).await.unwrap().unwrap();
    assert_eq!(*authority.public(), key("site-v1/authority.pem"));
    let standing = standing(&store, &places, NOW).await.unwrap();
    let edge = &standing.sites[0];
    assert_eq!((edge.epoch, edge.receipts, edge.drained, edge.recipients), (Epoch(2), 1, 1, 1));
    let custodians = standing.custodians.unwrap();
    assert_eq!((custodians.epoch, custodians.reopened), (Epoch(1), Some(1_795_913_022)));
    assert_eq!(drill::last(&store, &places).await.unwrap().unwrap().opened_by, 1);
    let all = exposure::all(&store, &places).await.unwrap();
    let named: Vec<_> =
        all.iter().filter_map(|known| Some((known.name.as_deref()?, known.removed.is_some()))).collect();
    assert_eq!(named, [("compute1", false), ("compute2", true)]);
    let of_compute1 = all.iter().find(|known| known.name.as_deref() == Some("compute1")).unwrap();
    let versions: Vec<_> = of_compute1.opened["kolla/database_password"].keys().copied().collect();
    assert_eq!(versions, [1, 2]);
    let effective = exposure::effective(&store, &places, &edge.scope, Vec::new()).await.unwrap();
    assert_eq!(effective.as_slice(), std::slice::from_ref(&of_compute1.recipient));
    // The bundle that was imported there is known, and so is whose it has to be.
    let bundle = read("site-v1/node/bundles/2-54f5d829468f0dc1.bundle");
    let checks = Checks { now: NOW, ..Checks::default() };
    assert_eq!(verify(&store, &bundle, &checks).await.unwrap().trust(), Trust::Pinned);
    let older = read("site-v1/node/bundles/1-e19cf68ca0833388.bundle");
    assert!(verify(&store, &older, &checks).await.unwrap_err().to_string().contains("stale"));

    // What is exported now is taken at a site that has pinned the key before.
    let path: RecordPath = "kolla/x".parse().unwrap();
    store.write(&path, &Document::from_json(Material::from("{}".to_owned())).unwrap(), Expected::Absent).await.unwrap();
    let recipients = Recipients::parse([of_compute1.recipient.as_str()]).unwrap();
    let closure = [Wanted { path, which: Which::Latest }];
    let request = Request {
        scope: edge.scope.clone(),
        closure: &closure,
        recipients: &recipients,
        lifetime: 1000,
        folder: Path::new("."),
    };
    let bundle = export(&store, &places, &authority, &request, NOW).await.unwrap();
    assert_eq!(bundle.manifest.epoch, Epoch(3));
    let (old, site) = (key("chain-v1/old.pem"), Memory::default());
    let checks = Checks { pin: Some(&old), now: NOW, ..Checks::default() };
    assert_eq!(
        verify(&site, &bundle.file.bytes().unwrap(), &checks).await.unwrap().trust(),
        Trust::Succeeded { from: old }
    );
}

#[tokio::test]
async fn a_record_of_a_version_to_come_is_refused_by_name() {
    let known = records();
    // These say by being there all that they say.
    let read: Vec<_> = known
        .as_object()
        .unwrap()
        .keys()
        .filter(|path| !path.contains("/sites/edge1/") || path.contains("/exports/"))
        .collect();
    assert_eq!(read.len(), 12, "{read:?}");
    for path in read {
        let mut newer = known.clone();
        newer[path] = json!({"format": 9, "what": "nobody knows"});
        let refused = read_all(&holding(&newer).await).await.expect_err(path);
        assert!(refused.contains("written by a newer donjon") && refused.contains(path.as_str()), "{path}: {refused}");
    }
}
