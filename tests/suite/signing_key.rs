//! `rotate signing-key` by the program itself: sites follow the links, and go back to no key before.

use donjon::transfer::{
    Places,
    authority::{Authority, POINTS},
    bundle::{Checks, Recipients, Scope},
    export::{Request, Wanted, export},
    import::store::verify,
    key::PublicKey,
    succession::{Link, Trust},
};
use donjon_drivers::{
    fs,
    material::Material,
    store::{Document, Expected, Store, Which, memory::Memory},
};
use donjon_tests::{
    donjon::{Donjon, Ran, runs},
    process::wait_for,
};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// An authority with one site, and folders of its nodes.
struct Central {
    donjon: Donjon,
    files: tempfile::TempDir,
    recipient: String,
}

impl Central {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let recipient = donjon_drivers::identity::make(&files.path().join("identity")).unwrap().to_public().to_string();
        let donjon = Donjon::new();
        donjon.describe(&Self::deployment(&recipient));
        donjon.up();
        donjon.run_with_input(&["put", "database_password"], b"a-value-long-enough").ok();
        Self { donjon, files, recipient }
    }

    fn deployment(recipient: &str) -> String {
        format!(
            "deployment: site1\ncatalogue: kolla-ansible\nroles:\n  compute: {{reads: [database_password]}}\nsites:\n  \
             edge1: {{roles: [compute], recipients: [{recipient}]}}\n"
        )
    }

    fn at(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// A bundle for the site, by whichever key signs now.
    fn export(&self, name: &str) -> String {
        Self::export_from(&self.donjon, &self.at(name))
    }

    fn export_from(donjon: &Donjon, file: &str) -> String {
        donjon.run(&["export", "bundle", "--site", "edge1", "--role", "compute", "-o", file]).ok();
        file.to_owned()
    }

    /// The file of the key that signs now.
    fn key(&self, name: &str) -> String {
        self.donjon.run(&["export", "key", "-o", &self.at(name)]).ok();
        self.at(name)
    }

    fn renew(&self) -> Value {
        self.donjon.run(&["rotate", "signing-key", "--output", "json"]).json()
    }

    /// A node of the site takes a bundle in.
    fn import(&self, node: &str, bundle: &str, more: &[&str]) -> Ran {
        let (identity, folder) = (self.at("identity"), self.at(node));
        let words = ["import", bundle, "-i", &identity, "--into", &folder, "--output", "json"];
        self.donjon.run(&[&words[..], more].concat())
    }

    fn trust(ran: Ran) -> String {
        ran.json()["imported"]["trust"].as_str().unwrap().to_owned()
    }

    /// What a node has pinned.
    fn pin(&self, node: &str) -> String {
        let state: Value =
            serde_json::from_slice(&std::fs::read(self.files.path().join(node).join("node.json")).unwrap()).unwrap();
        state["pin"].as_str().unwrap().to_owned()
    }

    fn pem(&self, name: &str) -> PublicKey {
        PublicKey::from_pem(&std::fs::read(self.at(name)).unwrap()).unwrap()
    }
}

/// The links that a bundle carries.
fn links(bundle: &str) -> Vec<Link> {
    let file = std::fs::read(bundle).unwrap();
    let length = u32::from_be_bytes(file[16..20].try_into().unwrap()) as usize;
    let envelope: Value = serde_json::from_slice(&file[20..20 + length]).unwrap();
    let payload =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, envelope["payload"].as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    let links = manifest["chain"].as_array().unwrap();
    links.iter().map(|link| serde_json::from_value(link.clone()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_follow_the_keys_and_take_none_that_went_before() {
    let central = Central::new();
    let refused = central.donjon.run(&["rotate", "signing-key"]).failed(4);
    assert!(refused.contains("nothing was ever exported"), "{refused}");
    let (first, one) = (central.key("1.pem"), central.export("1.donjon"));
    for node in ["a", "b"] {
        assert_eq!(Central::trust(central.import(node, &one, &["--authority-key", &first])), "pinned");
    }
    let plan = central.donjon.run(&["rotate", "signing-key", "--plan"]).ok();
    let id = central.pem("1.pem").id().to_string();
    assert!(plan.contains(&id) && plan.contains("site `edge1`, role `compute`"), "{plan}");
    central.key("planned.pem");
    assert_eq!(central.pem("planned.pem"), central.pem("1.pem"), "a plan changes nothing");

    // A receipt for what the old key has signed is taken after the change.
    let renewed = central.renew();
    assert_eq!(renewed["signs"].as_str(), Some(id.as_str()));
    let taken = central.donjon.run(&["receipt", &central.at("1.donjon.receipt"), "--output", "json"]).json();
    assert_eq!((&taken["taken"]["imported"], &taken["taken"]["recipients"]), (&1.into(), &1.into()));

    let (second, two) = (central.key("2.pem"), central.export("2.donjon"));
    assert_eq!(Central::trust(central.import("a", &two, &[])), "succeeded");
    assert_eq!(central.pin("a"), central.pem("2.pem").to_string());
    central.donjon.run(&["receipt", &central.at("2.donjon.receipt")]).ok();
    let shown = central.donjon.run(&["rotate", "signing-key"]).ok();
    assert!(shown.contains("renewed: the signing key is") && shown.contains("without a new pin"), "{shown}");
    central.key("3.pem");
    let three = central.export("3.donjon");
    assert_eq!(links(&three).len(), 2);
    // One that has seen the second key, and one that has seen the first alone, since it was away.
    for node in ["a", "b"] {
        assert_eq!(Central::trust(central.import(node, &three, &[])), "succeeded", "{node}");
        assert_eq!(central.pin(node), central.pem("3.pem").to_string());
    }
    let before = std::fs::read(central.files.path().join("a/node.json")).unwrap();
    for earlier in [&one, &two] {
        let refused = central.import("a", earlier, &[]).failed(9);
        assert!(refused.contains("its authority is not the one pinned here"), "{refused}");
    }
    assert_eq!(std::fs::read(central.files.path().join("a/node.json")).unwrap(), before);
    // The control: with the key that it was pinned by, it is too old alone.
    assert!(central.import("a", &two, &["--authority-key", &second]).failed(9).contains("stale"));
    assert_eq!(Central::trust(central.import("c", &three, &["--authority-key", &first])), "succeeded");

    // A key that a stranger says to be the next: as a link after the real ones, and in the place of the last one.
    let audit = std::fs::read_to_string(central.donjon.home().join("audit.jsonl")).unwrap();
    let renewals = audit.lines().filter(|line| line.contains("\"renew_signing_key\"")).count();
    assert_eq!(renewals, 4, "two, each as it began and as it ended");
    let (stranger, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
    let own = Authority::ensure(&stranger, &places, 1).await.unwrap();
    let invented = own.succeed(&places, own.public(), 1);
    let mut real = links(&three);
    for forged in [[real.clone(), invented.clone()].concat(), [vec![real.remove(0)], invented].concat()] {
        Authority::adopt_chain(&stranger, &places, forged).await.unwrap();
        let file = central.at("forged.donjon");
        fs::replace(Path::new(&file), &signed_by(&stranger, &places, &central.recipient).await).unwrap();
        for node in ["a", "b", "c"] {
            let refused = central.import(node, &file, &[]).failed(9);
            assert!(refused.contains("its authority is not the one pinned here"), "{node}: {refused}");
        }
    }
    assert_eq!(std::fs::read(central.files.path().join("a/node.json")).unwrap(), before);
}

/// A newer bundle for the site than any that it has.
async fn signed_by(store: &Memory, places: &Places, recipient: &str) -> Vec<u8> {
    let authority = Authority::read(store, places).await.unwrap().unwrap();
    let path = "site1/database_password".parse().unwrap();
    if store.versions(&path).await.unwrap().is_empty() {
        let document = Document::from_json(Material::from(r#"{"password":"x"}"#.to_owned())).unwrap();
        store.write(&path, &document, Expected::Absent).await.unwrap();
    }
    let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
    let recipients = Recipients::parse([recipient]).unwrap();
    let closure = [Wanted { path, which: Which::Latest }];
    let request =
        Request { scope, closure: &closure, recipients: &recipients, lifetime: 86400, folder: Path::new(".") };
    let mut bundle = Vec::new();
    for _ in 0..9 {
        bundle = export(store, places, &authority, &request, jiff::Timestamp::now().as_second())
            .await
            .unwrap()
            .file
            .bytes()
            .unwrap();
    }
    bundle
}

/// Whoever has an old key, and signs a newer bundle with it.
#[tokio::test]
async fn an_old_key_signs_nothing_for_a_site_that_has_seen_a_newer_one() {
    let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let first = Authority::ensure(&store, &places, 1).await.unwrap();
    let path = "donjon-private/site1/signing/key".parse().unwrap();
    let stolen = store.read(&path, Which::Latest).await.unwrap().unwrap();
    let second = first.renew(&store, &places, 2).await.unwrap();
    let third = second.renew(&store, &places, 3).await.unwrap();
    let thief = Memory::default();
    thief.write(&path, &stolen.document, Expected::Absent).await.unwrap();
    let bundle = signed_by(&thief, &places, &recipient).await;
    let site = Memory::default();
    let now = jiff::Timestamp::now().as_second();
    let pinned = |key: PublicKey| {
        let (site, bundle) = (&site, &bundle);
        async move {
            let checks = Checks { pin: Some(&key), now, ..Checks::default() };
            verify(site, bundle, &checks).await.map(|verified| verified.trust()).map_err(|error| error.to_string())
        }
    };
    assert_eq!(pinned(*first.public()).await, Ok(Trust::Pinned), "the control");
    for key in [second.public(), third.public()] {
        assert!(pinned(*key).await.unwrap_err().contains("forged"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_a_key_whose_bundles_sites_take() {
    let mut central = Central::new();
    let first = central.key("1.pem");
    let mut signs = central.pem("1.pem");
    let one = central.export("1.donjon");
    central.import("a", &one, &["--authority-key", &first]).ok();
    for (point, changed) in POINTS.iter().zip([false, true]) {
        central.donjon.kill_daemon();
        central.donjon.set("FAILPOINTS", &format!("{point}=return"));
        central.donjon.up();
        central.donjon.unset("FAILPOINTS");
        let victim = central.donjon.daemon().expect("it runs");
        assert_eq!(central.donjon.run(&["rotate", "signing-key"]).code, 6, "{point}");
        wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
        central.donjon.up();
        central.key("now.pem");
        assert_eq!(central.pem("now.pem") != signs, changed, "{point}");
        signs = central.pem("now.pem");
        let bundle = central.export("next.donjon");
        central.import("a", &bundle, &[]).ok();
        central.import(&format!("from-the-first-{changed}"), &bundle, &["--authority-key", &first]).ok();
        assert_eq!(central.pin("a"), signs.to_string(), "{point}");
    }
    central.renew();
    central.import("a", &central.export("last.donjon"), &[]).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_authority_goes_on_with_the_links_where_its_bundle_has_an_heir() {
    let central = Central::new();
    let first = central.key("1.pem");
    central.import("a", &central.export("1.donjon"), &["--authority-key", &first]).ok();
    central.renew();
    let custodians = |name: &str, more: &[&str]| {
        let file = central.at(name);
        let words = ["export", "bundle", "--custodians", "--recipient", &central.recipient, "-o", &file];
        central.donjon.run(&[&words[..], more].concat()).ok();
        file
    };
    let with = custodians("with.donjon", &["--with-heir"]);
    let without = custodians("without.donjon", &[]);
    let from = |bundle: &str| {
        let new = Donjon::new();
        new.describe(&Central::deployment(&central.recipient));
        let words = ["up", "--from", bundle, "-i", &central.at("identity"), "--authority-key", &first];
        let told = new.run(&words).ok();
        (Central::export_from(&new, &format!("{bundle}.edge")), told, new)
    };
    let (bundle, told, _one) = from(&without);
    assert!(told.contains("`donjon export key`"), "{told}");
    let refused = central.import("a", &bundle, &[]).failed(9);
    assert!(refused.contains("its authority is not the one pinned here"), "{refused}");
    let (bundle, told, heir) = from(&with);
    assert!(told.contains("sites take its bundles by themselves"), "{told}");
    assert_eq!(links(&bundle).len(), 3, "first to second, to the heir, to the new authority's own");
    assert_eq!(Central::trust(central.import("a", &bundle, &[])), "succeeded");
    // What it exports itself has no heir of before, and the key before it takes no site back.
    let refused = central.import("a", &central.export("back.donjon"), &[]).failed(9);
    assert!(refused.contains("its authority is not the one pinned here"), "{refused}");
    heir.run(&["rotate", "signing-key"]).ok();
    central.import("a", &Central::export_from(&heir, &central.at("later.donjon")), &[]).ok();
}
