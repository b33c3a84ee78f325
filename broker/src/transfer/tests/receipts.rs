//! A receipt that is not to the byte what a node that opened the bundle has signed is refused, and nothing is recorded.

use super::{Site, edge, latest};
use crate::transfer::{
    bundle::{Checks, Epoch, ManifestDigest, Opened, Scope},
    envelope::{Envelope, PayloadType},
    import::{ImportError, node::Node},
    key::SigningKey,
    ledger,
    receipt::{self, Act, Receipt, ReceiptError},
    told,
};
use donjon_drivers::{fs, store::StoreError};
use std::collections::BTreeMap;

/// A site, the second bundle of its edge, and what a node that opened it says.
async fn opened() -> (Site, SigningKey, Receipt) {
    let site = Site::new().await;
    site.export_edge().await;
    let bundle = site.export_edge().await;
    let checks = Checks { now: 300, ..Checks::default() };
    let opened = Opened::from_file(&bundle.file.bytes().unwrap(), &checks, &site.identities()).unwrap();
    let node = SigningKey::generate().unwrap();
    let receipt = Receipt::of(&opened, Act::Imported, &node, 300);
    (site, node, receipt)
}

async fn recorded(site: &Site) -> usize {
    ledger::read(&site.store, &site.places, &edge()).await.unwrap().0.unwrap().receipts.len()
}

#[tokio::test]
async fn each_byte_counts() {
    let (site, node, receipt) = opened().await;
    let file = receipt.to_file(&node);
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for place in 0..file.len() {
        for flip in [0x01, 0x02, 0x20, 0x80] {
            let mut other = file.clone();
            other[place] ^= flip;
            let refused = site.accept(&other).await.expect_err("an altered receipt");
            assert!(
                matches!(refused, ReceiptError::Damaged | ReceiptError::Newer | ReceiptError::Forged { .. }),
                "byte {place}: {refused}"
            );
            *told.entry(refused.to_string()).or_default() += 1;
        }
    }
    for length in 0..file.len() {
        assert!(matches!(site.accept(&file[..length]).await, Err(ReceiptError::Damaged)), "{length}");
    }
    assert!(matches!(site.accept(&[file.as_slice(), b"\0"].concat()).await, Err(ReceiptError::Damaged)));
    assert!(told.len() >= 2, "what cannot be read and what was not signed are told apart: {told:?}");
    assert_eq!(recorded(&site).await, 0, "nothing was recorded");
    site.accept(&file).await.unwrap();
    assert_eq!(recorded(&site).await, 1, "the control: the one that was not altered is");
}

#[tokio::test]
async fn each_field_counts_even_where_the_node_signs_it_anew() {
    let (site, node, receipt) = opened().await;
    let stranger = SigningKey::generate().unwrap();
    let other = |change: &dyn Fn(&mut Receipt)| {
        let mut other = receipt.clone();
        change(&mut other);
        other
    };
    let nowhere = Scope::Site { site: "edge2".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
    let digest = ManifestDigest::of(b"another");
    let never = "it is for a bundle that was never exported";
    let not_opened = "it does not prove that the bundle was opened";
    let cases: [(Receipt, &SigningKey, &str); 10] = [
        (other(&|r| r.format = 2), &node, "cannot be read"),
        (other(&|r| r.deployment = "other".parse().unwrap()), &node, "foreign: it is for the deployment `other`"),
        (other(&|r| r.scope = nowhere.clone()), &node, "no bundle was ever exported for its scope"),
        (other(&|r| r.epoch = Epoch(1)), &node, "stale: it is for epoch 1, and epoch 2 was exported since"),
        (other(&|r| r.epoch = Epoch(3)), &node, never),
        (other(&|r| r.bundle = digest), &node, never),
        (other(&|r| r.act = Act::Drained), &node, not_opened),
        (other(&|r| r.at += 1), &node, not_opened),
        (other(&|r| r.node = *stranger.public()), &stranger, not_opened),
        (other(&|r| r.node = *stranger.public()), &node, "its signature does not fit"),
    ];
    for (changed, signer, told) in cases {
        let refused = site.accept(&changed.to_file(signer)).await.expect_err(told).to_string();
        assert!(refused.contains(told), "{refused} instead of {told}");
    }
    let proof = |byte: usize| other(&|r| r.proof[byte] ^= 1);
    for byte in 0..32 {
        let refused = site.accept(&proof(byte).to_file(&node)).await.unwrap_err().to_string();
        assert!(refused.contains(not_opened), "{refused}");
    }
    let kind = PayloadType("application/vnd.donjon.bundle+json");
    let payload = serde_json::to_vec(&receipt).unwrap();
    let taken_for = [b"donjon-receipt/1\n".as_slice(), &Envelope::sign(kind, payload, &node).to_json()].concat();
    assert!(matches!(site.accept(&taken_for).await, Err(ReceiptError::Forged { .. })), "of another kind");
    assert_eq!(recorded(&site).await, 0);
    let file = receipt.to_file(&node);
    site.accept(&file).await.unwrap();
    let entries = recorded(&site).await;
    let again = receipt::check(&site.store, &site.places, &file).await.unwrap();
    assert!(again.was_before(), "the very one: {again:?}");
    again.record(&site.store, &site.places, 400).await.unwrap();
    assert_eq!(recorded(&site).await, entries, "nothing is recorded twice");
    site.export(edge(), &latest(&["kolla/nova_password"])).await.unwrap();
    assert!(site.accept(&file).await.unwrap_err().to_string().contains("epoch 3 was exported since"));
}

/// Both are found good before either is recorded; the ledger takes one.
#[tokio::test]
async fn of_two_receipts_at_once_one_counts() {
    let (site, node, receipt) = opened().await;
    let file = receipt.to_file(&node);
    let check = || receipt::check(&site.store, &site.places, &file);
    let (one, other) = (check().await.unwrap(), check().await.unwrap());
    let (one, other) =
        tokio::join!(one.record(&site.store, &site.places, 301), other.record(&site.store, &site.places, 302));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let refused = one.and(other).unwrap_err();
    assert!(matches!(refused, ReceiptError::Store(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(recorded(&site).await, 1);
}

#[tokio::test]
async fn what_fails_once_a_bundle_is_taken_in_says_so_and_the_same_bundle_again_gives_the_receipt() {
    let site = Site::new().await;
    let [first, second] = [site.export_edge().await, site.export_edge().await].map(|one| one.file.bytes().unwrap());
    site.import(&first, 300).unwrap();
    let node = site.folder.path().join("node");
    let epoch = || Node::open(&node).unwrap().state().unwrap().current.epoch;
    let told = |error: &ImportError| told::import("m", error).state.unwrap();
    // The node's own key: nothing is taken in without it.
    let key = std::fs::read(node.join("receipt-key")).unwrap();
    fs::replace(&node.join("receipt-key"), b"no key").unwrap();
    let refused = site.import(&second, 300).unwrap_err();
    assert_eq!((told(&refused).as_str(), epoch()), ("nothing was changed", Epoch(1)));
    fs::replace(&node.join("receipt-key"), &key).unwrap();
    // The receipt's own place: the bundle is there by then.
    std::fs::remove_file(node.join("receipt")).unwrap();
    std::fs::create_dir(node.join("receipt")).unwrap();
    let refused = site.import(&second, 300).unwrap_err();
    assert!(matches!(refused, ImportError::After { .. }), "{refused}");
    assert!(told(&refused).starts_with("the bundle is taken in"), "{}", told(&refused));
    assert_eq!(epoch(), Epoch(2));
    std::fs::remove_dir(node.join("receipt")).unwrap();
    let receipt = site.import(&second, 301).unwrap();
    assert_eq!(site.accept(&receipt).await.unwrap().act, Act::Imported);
}
