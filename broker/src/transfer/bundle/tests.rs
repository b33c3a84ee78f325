//! Tests of the format: what is refused, and as what.

use super::{file::Spool, manifest::SealedKey, *};
use crate::transfer::{
    envelope::Envelope,
    key::SigningKey,
    succession::{Link, Trust},
};
use age::x25519;
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, Version},
};
use donjon_policies::name::{DeploymentName, HostName};
use proptest::prelude::*;
use std::{io::Write, path::Path};

struct Made {
    authority: SigningKey,
    identity: x25519::Identity,
    bundle: SealedBundle,
}

fn deployment() -> DeploymentName {
    "kolla".parse().unwrap()
}

fn site(name: &str) -> Scope {
    Scope::Site { site: name.parse().unwrap(), role: "compute".parse().unwrap(), host: None }
}

fn document(value: &str) -> Document {
    Document::from_json(Material::from(format!(r#"{{"password":"{value}"}}"#))).unwrap()
}

fn path(text: &str) -> RecordPath {
    text.parse().unwrap()
}

fn seal(
    scope: Scope,
    recipients: &Recipients,
    items: &[Item<'_>],
    signing: &Signing<'_>,
) -> Result<SealedBundle, SealError> {
    let deployment = deployment();
    let mut sealer = Sealer::begin(&deployment, scope, recipients, items.len(), Path::new("."))?;
    items.iter().try_for_each(|item| sealer.add(item))?;
    sealer.finish(signing)
}

fn make_with(authority: SigningKey, scope: Scope, epoch: u64, chain: &[Link]) -> Made {
    let identity = x25519::Identity::generate();
    let recipients = Recipients::parse([identity.to_public().to_string().as_str()]).unwrap();
    let (first, second) = (path("kolla/database_password"), path("kolla/rabbitmq_password"));
    let (one, two) = (document("canary-one"), document("canary-two"));
    let items = [
        Item { path: &first, version: Version(3), document: &one },
        Item { path: &second, version: Version(1), document: &two },
    ];
    let signing = Signing { epoch: Epoch(epoch), created: 1000, not_after: 2000, authority: &authority, chain };
    let bundle = seal(scope, &recipients, &items, &signing).unwrap();
    Made { authority, identity, bundle }
}

fn make() -> Made {
    make_with(SigningKey::generate().unwrap(), site("edge1"), 5, &[])
}

fn open(made: &Made, file: &[u8], checks: &Checks<'_>) -> Result<Opened, OpenError> {
    Opened::from_file(file, checks, &Identities::one(made.identity.clone()))
}

fn at(now: i64) -> Checks<'static> {
    Checks { now, ..Checks::default() }
}

#[test]
fn a_bundle_gives_back_what_was_put_in() {
    let made = make();
    let opened = open(&made, &made.bundle.file.bytes().unwrap(), &at(1500)).unwrap();
    assert_eq!(opened.trust(), Trust::First);
    assert_eq!(opened.digest(), made.bundle.digest);
    assert!(made.bundle.manifest.receipt_keys.is_empty(), "who is alone needs no second key");
    assert!(opened.receipt_key().matches(&made.bundle.receipt_key));
    let records = opened.into_records();
    assert_eq!(records[0].path, path("kolla/database_password"));
    assert_eq!(records[0].version, Version(3));
    assert!(records[1].document.text().matches(document("canary-two").text()));
}

#[test]
fn each_of_two_recipients_has_a_receipt_key_of_its_own() {
    let identities = [(); 2].map(|()| x25519::Identity::generate());
    let texts = identities.each_ref().map(|identity| identity.to_public().to_string());
    let recipients = Recipients::parse(texts.iter().map(String::as_str)).unwrap();
    let (authority, p, d) = (SigningKey::generate().unwrap(), path("kolla/a"), document("x"));
    let signing = Signing { epoch: Epoch(1), created: 1000, not_after: 2000, authority: &authority, chain: &[] };
    let items = [Item { path: &p, version: Version(1), document: &d }];
    let bundle = seal(site("edge1"), &recipients, &items, &signing).unwrap();
    for (number, identity) in identities.into_iter().enumerate() {
        let opened = Opened::from_file(&bundle.file.bytes().unwrap(), &at(1500), &Identities::one(identity)).unwrap();
        let ReceiptKey { recipient, key } = &bundle.receipt_keys[number];
        let whole = [bundle.receipt_key.expose(), key.expose()].concat(); // EXPOSE: test values
        assert!(*recipient == texts[number] && key.len() == body::KEY);
        assert!(opened.receipt_key().matches(&Material::new(whole)));
    }
}

#[test]
fn receipt_keys_are_as_many_as_recipients_and_none_of_a_single_one() {
    let parsed = |recipients, keys| {
        let file = signed_anew(make(), |manifest| {
            manifest.recipients = recipients;
            manifest.receipt_keys = vec![SealedKey(Vec::new()); keys];
        });
        Sealed::parse(&file).map(drop)
    };
    for (recipients, keys) in [(1, 0), (2, 2), (3, 3)] {
        assert_eq!(parsed(recipients, keys), Ok(()), "the control: {recipients}, {keys}");
    }
    for (recipients, keys) in [(0, 1), (1, 1), (1, 2), (2, 0), (2, 1)] {
        assert!(matches!(parsed(recipients, keys), Err(OpenError::Damaged { .. })), "{recipients}, {keys}");
    }
}

#[test]
fn no_value_and_no_guess_at_one_is_in_clear() {
    let made = make();
    let bytes = made.bundle.file.bytes().unwrap();
    let seen = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    assert!(!seen(b"canary"));
    // The control: with names this search does see what is there.
    let manifest = serde_json::to_vec(&made.bundle.manifest).unwrap();
    assert!(manifest.windows(17).any(|w| w == b"database_password"));
    let again = make_with(made.authority, site("edge1"), 5, &[]);
    let digest = |b: &SealedBundle| b.manifest.entries[0].digest;
    assert_ne!(digest(&made.bundle), digest(&again.bundle), "the digest of one value differs from bundle to bundle");
}

#[test]
fn each_byte_counts() {
    let made = make();
    let bytes = &made.bundle.file.bytes().unwrap();
    for place in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[place] ^= flip;
            let refused = open(&made, &other, &at(1500)).expect_err("an altered bundle");
            let kind = matches!(refused, OpenError::Damaged { .. } | OpenError::Forged { .. } | OpenError::Newer);
            assert!(kind, "byte {place}: {refused}");
        }
    }
}

#[test]
fn a_part_of_a_bundle_and_more_than_a_bundle_are_damaged() {
    let made = make();
    let bytes = &made.bundle.file.bytes().unwrap();
    for end in 0..bytes.len() {
        let refused = open(&made, &bytes[..end], &at(1500)).expect_err("a part");
        assert!(matches!(refused, OpenError::Damaged { .. }), "{end}: {refused}");
    }
    let longer = [bytes.as_slice(), b"\0"].concat();
    assert!(matches!(open(&made, &longer, &at(1500)), Err(OpenError::Damaged { .. })));
    let newer = [b"donjon-bundle/4\n", &bytes[16..]].concat();
    assert_eq!(open(&made, &newer, &at(1500)).unwrap_err(), OpenError::Newer);
    for older in [b"donjon-bundle/1\n", b"donjon-bundle/2\n"] {
        let older = [older, &bytes[16..]].concat();
        assert!(
            matches!(open(&made, &older, &at(1500)), Err(OpenError::Damaged { .. })),
            "the first line is no choice"
        );
    }
}

#[test]
fn another_signer_is_a_forger_unless_the_pinned_key_named_it() {
    let (pinned, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let link = Link::sign(&deployment(), &pinned, other.public(), 900);
    let forged = make_with(SigningKey::generate().unwrap(), site("edge1"), 5, std::slice::from_ref(&link));
    let checks = Checks { pin: Some(pinned.public()), ..at(1500) };
    let refused = open(&forged, &forged.bundle.file.bytes().unwrap(), &checks).unwrap_err();
    assert!(matches!(refused, OpenError::Forged { signer: Some(_), .. }), "{refused}");
    let good = make_with(other, site("edge1"), 5, &[link]);
    let opened = open(&good, &good.bundle.file.bytes().unwrap(), &checks).unwrap();
    assert_eq!(opened.trust(), Trust::Succeeded { from: *pinned.public() });
}

#[test]
fn another_site_role_host_or_deployment_is_foreign() {
    let made = make();
    let refuse = |checks: &Checks<'_>| open(&made, &made.bundle.file.bytes().unwrap(), checks).unwrap_err();
    let (edge1, edge2) = ("edge1".parse().unwrap(), "edge2".parse().unwrap());
    let (compute, control) = ("compute".parse().unwrap(), "control".parse().unwrap());
    let stranger = SigningKey::generate().unwrap();
    let other = "other".parse().unwrap();
    let right = Checks { deployment: Some(&deployment()), site: Some(&edge1), role: Some(&compute), ..at(1500) };
    assert!(open(&made, &made.bundle.file.bytes().unwrap(), &right).is_ok());
    for wrong in [
        Checks { site: Some(&edge2), ..right.clone() },
        Checks { role: Some(&control), ..right.clone() },
        Checks { deployment: Some(&other), ..right.clone() },
        Checks { deployment: Some(&other), pin: Some(stranger.public()), ..right.clone() },
    ] {
        assert!(matches!(refuse(&wrong), OpenError::Foreign(_)), "{wrong:?}");
    }
    let [ctl1, ctl2]: [HostName; 2] = ["ctl1", "ctl2"].map(|name| name.parse().unwrap());
    let of_host = Scope::Site { site: edge1.clone(), role: compute.clone(), host: Some(ctl1.clone()) };
    let of_host = make_with(SigningKey::generate().unwrap(), of_host, 5, &[]);
    let read_by =
        |host| open(&of_host, &of_host.bundle.file.bytes().unwrap(), &Checks { host: Some(host), ..right.clone() });
    assert!(read_by(&ctl1).is_ok());
    assert!(matches!(read_by(&ctl2), Err(OpenError::Foreign(_))), "it is for another host");
    let any = Checks { host: Some(&ctl2), ..right.clone() };
    assert!(open(&made, &made.bundle.file.bytes().unwrap(), &any).is_ok(), "one for every host of the site");
    let custodians = make_with(SigningKey::generate().unwrap(), Scope::Custodians {}, 1, &[]);
    let refused = open(&custodians, &custodians.bundle.file.bytes().unwrap(), &right).unwrap_err();
    assert_eq!(refused.to_string(), "the bundle is foreign: it is for the custodians");
}

#[test]
fn an_older_and_an_ended_bundle_are_stale() {
    let made = make();
    let digest = made.bundle.digest;
    let rival = make().bundle.digest;
    let after = |epoch, digest| Checks { accepted: Some(Accepted { epoch: Epoch(epoch), digest }), ..at(1500) };
    let read = |checks: &Checks<'_>| open(&made, &made.bundle.file.bytes().unwrap(), checks);
    assert!(read(&after(4, rival)).is_ok());
    assert!(read(&after(5, digest)).is_ok(), "the same bundle once more");
    assert!(matches!(read(&after(5, rival)), Err(OpenError::Stale(_))));
    assert!(matches!(read(&after(6, digest)), Err(OpenError::Stale(_))));
    assert!(read(&at(2000)).is_ok());
    assert!(matches!(read(&at(2001)), Err(OpenError::Stale(Stale::Expired { .. }))));
}

#[test]
fn a_wrong_identity_is_told_apart() {
    let made = make();
    let stranger = Identities::one(x25519::Identity::generate());
    let refused = Opened::from_file(&made.bundle.file.bytes().unwrap(), &at(1500), &stranger).unwrap_err();
    assert_eq!(refused, OpenError::WrongIdentity);
}

#[test]
fn a_digest_binds_value_name_site_and_version() {
    let keys = body::Keys::generate().unwrap();
    let (name, deployment) = (deployment(), "other".parse().unwrap());
    let (here, there) = (site("edge1"), site("edge2"));
    let (p, q) = (path("kolla/a"), path("kolla/b"));
    let digest = |d, s, p, v, text| {
        let mut record = Vec::new();
        body::record(&Item { path: p, version: Version(v), document: &document(text) }, &mut record);
        body::Binding::new(&keys, d, s).digest(&record)
    };
    let this = digest(&name, &here, &p, 1, "x");
    assert_eq!(this, digest(&name, &here, &p, 1, "x"));
    for other in [
        digest(&deployment, &here, &p, 1, "x"),
        digest(&name, &there, &p, 1, "x"),
        digest(&name, &here, &q, 1, "x"),
        digest(&name, &here, &p, 2, "x"),
        digest(&name, &here, &p, 1, "y"),
    ] {
        assert_ne!(this, other);
    }
}

/// A bundle whose manifest was changed and signed once more, as another's program might.
fn signed_anew(made: Made, change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let (mut manifest, bytes) = (made.bundle.manifest, made.bundle.file.bytes().unwrap());
    let payload = &bytes[bytes.len() - usize::try_from(manifest.payload.length).unwrap()..];
    change(&mut manifest);
    let signed = serde_json::to_vec(&manifest).unwrap();
    let envelope = Envelope::sign(seal::KIND, signed, &made.authority).to_json();
    let mut spool = Spool::new(0, Path::new("."));
    spool.write_all(payload).unwrap();
    BundleFile::assemble(&envelope, spool).unwrap().bytes().unwrap()
}

/// A bundle whose signature fits and whose record is beyond its scope.
fn signed_with(scope: Scope, at: &str) -> Vec<u8> {
    let made = make_with(SigningKey::generate().unwrap(), scope, 5, &[]);
    signed_anew(made, |manifest| manifest.entries[0].path = path(at))
}

#[test]
fn a_record_under_the_digest_of_another_is_damage_whoever_signed_it() {
    let opened = |change: fn(&mut Manifest)| {
        let made = make();
        let identities = Identities::one(made.identity.clone());
        Opened::from_file(&signed_anew(made, change), &at(1500), &identities).map(drop)
    };
    assert_eq!(opened(|_| ()), Ok(()), "the control");
    let swapped = opened(|manifest| {
        let first = manifest.entries[0].digest;
        manifest.entries[0].digest = manifest.entries[1].digest;
        manifest.entries[1].digest = first;
    });
    assert_eq!(swapped, Err(OpenError::Damaged { what: "a record does not fit its digest" }));
}

#[test]
fn a_record_beyond_the_scope_is_foreign_whoever_signed_it() {
    let verified = |scope, name: &str| {
        let file = signed_with(scope, name);
        Sealed::parse(&file).unwrap().verify(&at(1500)).map(drop)
    };
    for name in ["donjon-private/kolla/signing/key", "donjon-private/kolla/recipients/aa", "other/database_password"] {
        for scope in [site("edge1"), Scope::Custodians {}] {
            // Custodians' bundles carry recipients: what a recipient could open is part of everything.
            let travels = name.contains("recipients") && scope == (Scope::Custodians {});
            match verified(scope, name) {
                Ok(()) => assert!(travels, "{name}"),
                Err(refused) => assert!(
                    !travels && matches!(refused, OpenError::Foreign(Foreign::Record { .. })),
                    "{name}: {refused}"
                ),
            }
        }
    }
    assert_eq!(verified(site("edge1"), "kolla/nova_password"), Ok(()), "the control");
}

#[test]
fn a_record_cannot_be_listed_twice() {
    let authority = SigningKey::generate().unwrap();
    let recipients = Recipients::parse([x25519::Identity::generate().to_public().to_string().as_str()]).unwrap();
    let (p, d) = (path("kolla/a"), document("x"));
    let items = [(); 2].map(|()| Item { path: &p, version: Version(1), document: &d });
    let signing = Signing { epoch: Epoch(1), created: 0, not_after: 1, authority: &authority, chain: &[] };
    let twice = seal(site("edge1"), &recipients, &items, &signing);
    assert!(matches!(twice, Err(SealError::Twice { .. })));
    let stale = Signing { not_after: 0, ..signing };
    assert!(matches!(seal(site("edge1"), &recipients, &items[..1], &stale), Err(SealError::AlreadyStale)));
    let elsewhere = path("other/a");
    let beyond = [Item { path: &elsewhere, version: Version(1), document: &d }];
    assert!(matches!(seal(site("edge1"), &recipients, &beyond, &stale), Err(SealError::Beyond { .. })));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), headed in any::<bool>()) {
        let head: &[u8] = if headed { b"donjon-bundle/3\n\0\0\0\x10" } else { b"" };
        prop_assert!(Sealed::parse(&[head, &bytes].concat()).is_err());
    }

    #[test]
    fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let made = Entry { path: path("kolla/a"), version: Version(1), digest: [0; 32] };
        let body = [b"donjon-body/1\n".as_slice(), &bytes].concat();
        let _ = body::read(&body, &[made]);
    }
}
