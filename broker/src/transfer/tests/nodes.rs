//! A node's folder: which of its bundles a reader could start with, and for which a receipt is signed.

use super::Site;
use crate::transfer::{
    bundle::{Epoch, Identities, OpenError, Stale},
    import::{
        ImportError,
        node::{Node, Reads},
    },
};
use age::x25519;
use std::sync::Barrier;

#[tokio::test]
async fn a_step_goes_where_a_reader_could_start_and_nowhere_else() {
    let mut site = Site::new().await;
    let first = site.export_edge().await;
    site.import(&first.file.bytes().unwrap(), 300).unwrap();
    // The next one is signed by the next key.
    site.authority = site.authority.renew(&site.store, &site.places, 250).await.unwrap();
    let second = site.export_edge().await;
    site.import(&second.file.bytes().unwrap(), 300).unwrap();
    let (folder, ends) = (site.folder.path().join("node"), first.manifest.not_after);
    let state = || std::fs::read_to_string(folder.join("node.json")).unwrap();
    let before = state();
    let expired = Node::open(&folder).unwrap().step(Reads::Previous, ends + 1, None).unwrap_err();
    assert!(matches!(expired, ImportError::Bundle(OpenError::Stale(Stale::Expired { .. }))), "{expired}");
    // What a node kept of it before the key was kept, too.
    let mut old: serde_json::Value = serde_json::from_str(&before).unwrap();
    old.as_object_mut().unwrap().remove("previous_pin").expect("the control");
    let old = old.to_string();
    donjon_drivers::fs::replace(&folder.join("node.json"), old.as_bytes()).unwrap();
    let unknown = Node::open(&folder).unwrap().step(Reads::Previous, 300, None).unwrap_err();
    assert!(matches!(unknown, ImportError::Bundle(OpenError::Forged { .. })), "{unknown}");
    assert_eq!(state(), old, "nothing was changed");

    donjon_drivers::fs::replace(&folder.join("node.json"), before.as_bytes()).unwrap();
    let mut node = Node::open(&folder).unwrap();
    let stranger = Identities::one(x25519::Identity::generate());
    let other = node.step(Reads::Previous, ends, Some(&stranger)).unwrap_err();
    assert!(matches!(other, ImportError::Bundle(OpenError::WrongIdentity)), "{other}");
    assert_eq!(state(), before, "nothing was changed");
    assert_eq!(node.step(Reads::Previous, ends, Some(&site.identities())).unwrap().epoch, Epoch(1));
    drop(node);
    let file = {
        let node = Node::open(&folder).unwrap();
        let file = node.read().unwrap();
        node.verify_read(&file, 300).unwrap().open(&site.identities()).expect("as a reader does that starts");
        file
    };
    assert_eq!(file, first.file.bytes().unwrap());

    // The next one comes: back leads to what was read, and not to what was stepped away from.
    let third = site.export_edge().await;
    site.import(&third.file.bytes().unwrap(), 300).unwrap();
    let mut node = Node::open(&folder).unwrap();
    let known = node.state().unwrap();
    assert_eq!((known.current.epoch, known.previous.unwrap().epoch), (Epoch(3), Epoch(1)));
    assert_eq!(node.step(Reads::Previous, 300, None).unwrap().epoch, Epoch(1));
    assert_eq!(node.step(Reads::Current, 300, None).unwrap().epoch, Epoch(3));
}

#[tokio::test]
async fn a_node_signs_no_receipt_for_a_bundle_that_another_has_come_after() {
    let site = Site::new().await;
    let first = site.export_edge().await.file.bytes().unwrap();
    site.import(&first, 300).unwrap();
    let mut node = Node::open(&site.folder.path().join("node")).unwrap();
    let looked_at = node.verify_read(&first, 300).unwrap().open(&site.identities()).unwrap();
    node.drained(&looked_at, Vec::new(), 301).expect("the control: it is the newest");
    drop(node);
    let second = site.export_edge().await.file.bytes().unwrap();
    site.import(&second, 302).unwrap();
    let mut node = Node::open(&site.folder.path().join("node")).unwrap();
    let overtaken = node.drained(&looked_at, Vec::new(), 303).unwrap_err();
    assert!(matches!(overtaken, ImportError::Overtaken { .. }), "{overtaken}");
    let newest = node.verify_read(&second, 303).unwrap().open(&site.identities()).unwrap();
    site.accept(&node.drained(&newest, Vec::new(), 304).unwrap()).await.unwrap();
}

#[test]
fn of_two_that_open_a_new_folder_at_once_one_has_it() {
    for _ in 0..300 {
        let place = tempfile::tempdir().unwrap();
        let (folder, both) = (place.path().join("node"), Barrier::new(2));
        let open = || {
            both.wait();
            let opened = Node::open(&folder);
            both.wait();
            opened.is_ok()
        };
        let opened = std::thread::scope(|scope| {
            let other = scope.spawn(open);
            [open(), other.join().unwrap()]
        });
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
    }
}
