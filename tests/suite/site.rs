//! From the deployment host to a site and back, by commands alone: export, import, serve, receipt.

use donjon_tests::{
    castellan::Castellan,
    donjon::{Donjon, Ran},
    process::wait_for,
    tools,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(super) const CONNECTION: &str = "mysql+pymysql://keystone:s3cret-4711@10.0.0.11/keystone";
pub(super) const DEPLOYMENT: &str = "
deployment: site1
catalogue: kolla-ansible
views:
  keystone.database.connection: 'mysql+pymysql://keystone:{keystone_database_password:url}@10.0.0.11/keystone'
roles:
  keystone: {reads: [keystone.database.connection, keystone_database_password]}
  nova: {reads: [nova_database_password]}
sites:
  edge1: {roles: [keystone, nova], recipients: [RECIPIENT]}
";

/// The deployment host, and the files that travel.
pub(super) struct Place {
    pub(super) donjon: Donjon,
    files: tempfile::TempDir,
}

impl Place {
    /// On a store without any secret.
    pub(super) fn empty(up: &[&str]) -> Self {
        let place = Self { donjon: Donjon::new(), files: tempfile::tempdir().unwrap() };
        let recipient = place.identity("node");
        place.donjon.describe(&DEPLOYMENT.replace("RECIPIENT", &recipient));
        place.donjon.run(up).ok();
        place
    }

    fn new() -> Self {
        let place = Self::empty(&["up"]);
        place.put("keystone_database_password", "s3cret-4711");
        place.put("nova_database_password", "not-for-keystone");
        place
    }

    /// Makes an identity file and gives its recipient.
    fn identity(&self, name: &str) -> String {
        use age::secrecy::ExposeSecret;
        let key = age::x25519::Identity::generate();
        let text = format!("# of one test\n{}\n", key.to_string().expose_secret());
        donjon_drivers::fs::replace(&self.path(name), text.as_bytes()).unwrap();
        key.to_public().to_string()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn put(&self, name: &str, value: &str) {
        self.donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }

    #[track_caller]
    pub(super) fn export(&self, file: &str) -> Value {
        self.export_of("keystone", file)
    }

    #[track_caller]
    fn export_of(&self, role: &str, file: &str) -> Value {
        let arguments =
            ["export", "bundle", "--site", "edge1", "--role", role, "-o", &self.text(file), "--output", "json"];
        self.donjon.run(&arguments).json()
    }

    pub(super) fn import(&self, file: &str, more: &[&str]) -> Ran {
        let (file, identity, folder) = (self.text(file), self.text("node"), self.text("folder"));
        self.donjon.run(&[&["import", &file, "-i", &identity, "--into", &folder], more].concat())
    }

    fn receipt(&self, file: &str) -> Ran {
        self.donjon.run(&["receipt", &self.text(file), "--output", "json"])
    }
}

/// `donjon serve`, which ends when dropped.
pub(super) struct Serving {
    child: Child,
    pub(super) url: String,
}

impl Serving {
    pub(super) fn start(place: &Place, store: &str) -> Self {
        let (identity, folder) = (place.text("node"), place.text("folder"));
        let arguments = [
            "serve",
            "--store",
            store,
            "-i",
            &identity,
            "--node",
            &folder,
            "--listen",
            "127.0.0.1:0",
            "--output",
            "json",
        ];
        let mut child = place.donjon.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("it says where it serves");
        Self { child, url: ready["url"].as_str().unwrap().to_owned() }
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already; then it is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `donjon serve` straight from a file that it must refuse: it ends by itself.
fn serves_not(place: &Place, file: &str) -> Ran {
    let (store, identity, folder) = (format!("bundle:{}", place.text(file)), place.text("node"), place.text("folder"));
    let arguments = ["serve", "--store", &store, "-i", &identity, "--node", &folder, "--listen", "127.0.0.1:0"];
    // One that serves all the same ends with this test.
    let mut command = place.donjon.tied_command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it to refuse", Duration::from_secs(20), || child.try_wait().unwrap().is_some());
    Ran::of(&arguments, child.wait_with_output().unwrap())
}

/// What an unchanged service reads as its database URL.
pub(super) fn service(place: &Place, url: &str) -> String {
    let approle = place.path("folder/approle/keystone");
    Castellan { url: url.to_owned(), authority: None, approle }.connection(place.files.path())
}

#[test]
fn a_service_reads_its_url_from_a_bundle_after_the_vault_is_gone() {
    let place = Place::new();
    let exported = place.export("edge1.donjon");
    let names = ["site1/keystone.database.connection", "site1/keystone_database_password", "donjon-public/site1/epoch"];
    assert_eq!(exported["bundle"]["names"], serde_json::json!(names), "its closure and nothing else");
    let planned = place.import("edge1.donjon", &["--plan"]).ok();
    assert!(planned.contains("nothing was changed") && !planned.contains("s3cret"), "{planned}");
    assert!(!place.path("folder/node.json").exists());
    let imported = place.import("edge1.donjon", &["--site", "edge1", "--role", "keystone"]).ok();
    assert!(imported.contains("pinned now because its bundle came first"), "{imported}");
    let receipt = place.receipt("edge1.donjon.receipt").json();
    assert_eq!(receipt["taken"]["imported"], 1);
    // The site has what it reads. What it does not read would be gone, and nobody could rotate any more.
    let refused = place.donjon.run(&["down"]).failed(13);
    assert!(
        refused.contains("is not all safe elsewhere") && refused.contains("there is no custodians' bundle"),
        "{refused}"
    );
    assert_eq!(place.donjon.run(&["get", "nova_database_password"]).ok(), "not-for-keystone", "it still runs");
    place.donjon.run(&["down", "--force", "--no-search"]).ok();

    let mut serving = Serving::start(&place, "bundle");
    assert_eq!(service(&place, &serving.url), CONNECTION);
    let log = std::fs::read_to_string(place.path("folder/audit.jsonl")).unwrap();
    assert!(log.contains("keystone.database.connection") && !log.contains("s3cret"), "{log}");
    // It ends in order, with all that it has told on the disk.
    serving.signal(Signal::TERM);
    serving.child.wait().unwrap();
    drop(serving);
    let verify = ["audit", "verify", "--node", &place.text("folder")];
    assert!(place.donjon.run(&verify).ok().contains("lines hold together"));
    // A log that was moved away is not begun anew as if nothing had been: what is to be done is said, and does it.
    let [log, head] = ["folder/audit.jsonl", "folder/audit.jsonl.head"].map(|name| place.path(name));
    std::fs::rename(&log, place.path("old")).unwrap();
    let gone = place.donjon.run(&verify).failed(9);
    assert!(gone.contains("is gone") && gone.contains("it is known to have gone to line"), "{gone}");
    let error = serves_not(&place, "edge1.donjon").failed(9);
    assert!(error.contains(&format!("the audit log {} does not hold together", log.display())), "{error}");
    assert!(error.contains(&format!("move {} to it, or remove both", head.display())), "{error}");
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_file(&head).unwrap();
    // Nothing says that there has been one.
    place.donjon.run(&verify).failed(4);
    place.donjon.run(&["audit", "verify", "--node", "/nonexistent"]).failed(4);
    // Straight from the file, as the issue has it.
    let serving = Serving::start(&place, &format!("bundle:{}", place.text("edge1.donjon")));
    assert_eq!(service(&place, &serving.url), CONNECTION);
}

#[test]
fn a_new_bundle_is_read_without_a_restart_and_the_end_is_orderly() {
    let place = Place::new();
    place.export("one.donjon");
    place.import("one.donjon", &[]).ok();
    let mut serving = Serving::start(&place, "bundle");
    assert_eq!(service(&place, &serving.url), CONNECTION);
    place.put("keystone_database_password", "another-4712");
    place.export("two.donjon");
    place.import("two.donjon", &[]).ok();
    wait_for("the new bundle", Duration::from_secs(60), || service(&place, &serving.url).contains("another-4712"));
    serving.signal(Signal::TERM);
    assert!(serving.child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_with_a_bundle_is_said_and_changes_nothing() {
    let place = Place::new();
    place.export("one.donjon");
    place.export("two.donjon");
    let planned = place.import("two.donjon", &["--plan"]).ok();
    assert!(planned.contains("nothing was changed") && !place.path("folder").exists(), "{planned}");
    place.import("two.donjon", &[]).ok();
    let state = || std::fs::read(place.path("folder/node.json")).unwrap();
    let before = state();
    let refused = |ran: Ran, code: i32, word: &str| {
        let error = ran.failed(code);
        assert!(error.contains(word) && error.contains("state: nothing was changed"), "{error}");
        assert_eq!(state(), before);
    };
    refused(place.import("one.donjon", &[]), 9, "the bundle is stale: its epoch is 1, and 2 was accepted before");
    let file = std::fs::read(place.path("two.donjon")).unwrap();
    let write = |name: &str, bytes: &[u8]| donjon_drivers::fs::replace(&place.path(name), bytes).unwrap();
    write("short.donjon", &file[..file.len() - 7]);
    refused(place.import("short.donjon", &[]), 9, "the bundle is damaged");
    let mut altered = file.clone();
    *altered.last_mut().unwrap() ^= 1;
    write("altered.donjon", &altered);
    refused(place.import("altered.donjon", &[]), 9, "the bundle is damaged");
    for name in ["short.donjon", "altered.donjon"] {
        refused(serves_not(&place, name), 9, "the bundle is damaged");
    }
    refused(
        place.import("two.donjon", &["--role", "nova"]),
        9,
        "the bundle is foreign: it is for site `edge1`, role `keystone`",
    );
    let other = Place::new();
    other.export("other.donjon");
    std::fs::copy(other.path("other.donjon"), place.path("forged.donjon")).unwrap();
    refused(place.import("forged.donjon", &[]), 9, "the bundle is forged");
    place.identity("stranger");
    let (bundle, identity, folder) = (place.text("two.donjon"), place.text("stranger"), place.text("folder"));
    let ran = place.donjon.run(&["import", &bundle, "-i", &identity, "--into", &folder]);
    refused(ran, 3, "none of the identities given can open the bundle");
    place.import("two.donjon", &[]).ok();
}

#[test]
fn a_receipt_counts_once() {
    let place = Place::new();
    place.export("one.donjon");
    place.import("one.donjon", &[]).ok();
    place.receipt("one.donjon.receipt").ok();
    let again = place.receipt("one.donjon.receipt").ok();
    assert!(again.contains(r#""before":true"#), "{again}");
    place.export("two.donjon");
    let error = place.receipt("one.donjon.receipt").failed(9);
    assert!(error.contains("epoch 2 was exported since"), "{error}");
    let standing = place.donjon.run(&["receipt", "--output", "json"]).json();
    assert_eq!(standing["standing"]["may_end"], false);
    let mut altered = std::fs::read(place.path("one.donjon.receipt")).unwrap();
    altered[200] ^= 1;
    donjon_drivers::fs::replace(&place.path("altered"), &altered).unwrap();
    let error = place.receipt("altered").failed(9);
    assert!(error.contains("damaged") || error.contains("forged"), "{error}");
}

#[test]
fn a_rotation_waits_for_a_site_that_has_the_old_value() {
    let place = Place::new();
    let recipient = place.identity("node");
    let shared = DEPLOYMENT
        .replace("RECIPIENT", &recipient)
        .replace("roles:\n", "roles:\n  cache: {reads: [memcache_secret_key]}\n");
    place.donjon.describe(&shared.replace("roles: [keystone", "roles: [cache, keystone"));
    place.put("memcache_secret_key", "shared-4711");
    let apply = ["rotate", "apply", "memcache_secret_key", "--accept-outage"];
    // It has no bundle yet, so there is nothing to wait for.
    place.donjon.run(&apply).ok();

    let answer = |file: &str| {
        place.export_of("cache", file);
        place.import(file, &[]).ok();
        place.receipt(&format!("{file}.receipt")).ok();
        let waits = place.donjon.run(&["rotate", "resume"]);
        let (identity, folder, drained) = (place.text("node"), place.text("folder"), place.text("drained"));
        let drain = ["drain", "-i", &identity, "--node", &folder, "--no-consumers", "--receipt", &drained];
        place.donjon.run(&drain).ok();
        place.receipt("drained").ok();
        assert!(place.receipt("drained").ok().contains(r#""before":true"#), "it counts once");
        waits
    };
    answer("one.donjon").ok();
    let waits = place.donjon.run(&apply).failed(13);
    assert!(waits.contains("edge1"), "{waits}");
    let status = || place.donjon.run(&["rotate", "status"]);
    assert!(status().out.contains("edge1"), "{:#?}", status());
    assert!(status().err.contains("donjon export bundle") && !status().err.contains("abort"), "{:#?}", status());
    let needed = "donjon export bundle --site edge1 --role cache -o FILE";
    let doctor = place.donjon.run(&["doctor", "memcache_secret_key"]);
    assert!(doctor.out.contains(&format!("next: {needed}")) && !doctor.out.contains("someone"), "{doctor:#?}");
    let kept = place.donjon.run(&["down"]).failed(13);
    assert!(kept.contains("export bundle --custodians") && kept.contains("carries it along"), "{kept}");
    let again = place.donjon.run(&["rotate", "resume"]).failed(13);
    assert!(again.contains(needed) && again.contains("--leave edge1"), "{again}");
    let imported = answer("two.donjon").failed(13);
    assert!(imported.contains("of 1 recipients of epoch 2, 1 have imported and 0 have drained it"), "{imported}");
    // The receipt that came since is known to it.
    assert!(!status().out.contains("0 have drained it") && status().err.contains("rotate resume"), "{:#?}", status());
    place.donjon.run(&["rotate", "resume"]).ok();

    place.donjon.run(&apply).failed(13);
    let audit = || std::fs::read_to_string(place.donjon.home().join("audit.jsonl")).unwrap();
    assert!(!audit().contains("left_site"), "the control");
    let left = place.donjon.run(&["rotate", "resume", "--leave", "edge1"]);
    assert!(left.err.contains("edge1") && left.err.contains("its consumers are cut off"), "{left:#?}");
    left.ok();
    assert!(audit().lines().any(|line| line.contains("left_site") && line.contains("edge1")), "{}", audit());
    place.donjon.run(&["rotate", "status"]).ok();
}

#[test]
fn what_no_rule_grants_is_not_exported() {
    let place = Place::new();
    let export = |site: &str, role: &str, recipient: &[&str]| {
        let file = place.text("x.donjon");
        let base = ["export", "bundle", "--site", site, "--role", role, "-o", &file];
        let ran = place.donjon.run(&[&base[..], recipient].concat());
        assert!(!place.path("x.donjon").exists(), "{ran:?}");
        ran
    };
    assert!(export("edge9", "keystone", &[]).failed(2).contains("names no site `edge9`"));
    assert!(export("edge1", "glance", &[]).failed(2).contains("has no role `glance`"));
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    assert!(export("edge1", "keystone", &["--recipient", ssh]).failed(2).contains("is an SSH key"));
}

#[test]
fn a_key_pinned_by_file_is_believed_and_another_is_not() {
    let (place, other) = (Place::new(), Place::new());
    place.export("one.donjon");
    place.donjon.run(&["export", "key", "-o", &place.text("right.pem")]).ok();
    other.donjon.run(&["export", "key", "-o", &place.text("wrong.pem")]).ok();
    let error = place.import("one.donjon", &["--authority-key", &place.text("wrong.pem")]).failed(9);
    assert!(error.contains("the bundle is forged: its authority is not the one pinned here"), "{error}");
    let imported = place.import("one.donjon", &["--authority-key", &place.text("right.pem")]).ok();
    assert!(!imported.contains("came first"), "{imported}");
}

#[test]
fn a_slip_in_consumers_yaml_is_found_before_anything_is_taken_in() {
    let place = Place::new();
    place.export("one.donjon");
    place.import("one.donjon", &[]).ok();
    place.export("two.donjon");
    let node = || std::fs::read(place.path("folder/node.json")).unwrap();
    let (before, consumers) = (node(), place.path("folder/consumers.yaml"));
    donjon_drivers::fs::replace(&consumers, b"keystone: {reeds: []}").unwrap();
    let error = place.import("two.donjon", &[]).failed(2);
    assert!(error.contains("cannot tell who reads what") && error.contains("the bundle was not taken in"), "{error}");
    assert!(node() == before && !place.path("two.donjon.receipt").exists());
    let error = serves_not(&place, "two.donjon").failed(2);
    assert!(error.contains("cannot tell who reads what") && error.contains("the bundle was not taken in"), "{error}");
    assert!(node() == before, "a reader that is to take it in itself has not, either");
    std::fs::remove_file(&consumers).unwrap();
    // What comes after it is taken in, and the same command once more.
    std::fs::create_dir(place.path("two.donjon.receipt")).unwrap();
    let error = place.import("two.donjon", &[]).failed(1);
    assert!(error.contains("the bundle is taken in") && error.contains("the same command again writes"), "{error}");
    assert!(node() != before);
    std::fs::remove_dir(place.path("two.donjon.receipt")).unwrap();
    place.import("two.donjon", &[]).ok();

    // Of several receipts, each is looked at.
    place.export_of("nova", "nova.donjon");
    let (file, identity, folder) = (place.text("nova.donjon"), place.text("node"), place.text("other"));
    place.donjon.run(&["import", &file, "-i", &identity, "--into", &folder]).ok();
    let [none, old, two, nova] =
        ["none", "one.donjon.receipt", "two.donjon.receipt", "nova.donjon.receipt"].map(|name| place.text(name));
    let error = place.donjon.run(&["receipt", &two, &old, &none, &nova]).failed(9);
    assert!(error.contains("of 4 receipts, 2 were not taken") && error.contains("2 were recorded"), "{error}");
    assert!(error.contains(&format!("{old}: ")) && error.contains(&format!("{none}: cannot read")), "{error}");
    let sites = place.donjon.run(&["receipt", "--output", "json"]).json()["standing"]["sites"].clone();
    assert!(sites.as_array().unwrap().iter().all(|site| site["receipts"] == 1), "{sites}");
    let again = place.donjon.run(&["receipt", &none, &nova]).failed(2);
    assert!(again.contains("nothing was recorded for the others"), "the first one says the code: {again}");
}

#[test]
fn another_donjon_takes_a_bundle_in() {
    let (place, there) = (Place::new(), Donjon::new());
    place.export("one.donjon");
    there.describe("deployment: site1\ncatalogue: kolla-ansible\n");
    there.up();
    let (file, identity) = (place.text("one.donjon"), place.text("node"));
    let planned = there.run(&["import", &file, "-i", &identity, "--plan", "--output", "json"]).json();
    assert_eq!(planned["imported"]["steps"][0]["change"], "create");
    let foreign = there.run(&["import", &file, "-i", &identity, "--site", "edge2"]).failed(9);
    assert!(foreign.contains("the bundle is foreign: it is for site `edge1`"), "{foreign}");
    there.run(&["import", &file, "-i", &identity]).ok();
    assert_eq!(there.run(&["get", "keystone_database_password"]).ok(), "s3cret-4711");
    assert_eq!(place.receipt("one.donjon.receipt").json()["taken"]["act"], "imported");

    // What it took in is changed where the authority is, and lost with it no more than with any other copy.
    let signs = ["export", "bundle", "--custodians", "--recipient", &place.identity("custodian"), "-o", "x.donjon"];
    let changes: [&[&str]; 5] = [
        &["rotate", "apply", "keystone_database_password", "--accept-outage"],
        &["generate", "--catalogue", "kolla-ansible"],
        &["export", "key", "-o", "x.pem"],
        &["rotate", "signing-key"],
        &signs,
    ];
    for words in changes {
        let refused = there.run(words).failed(5);
        assert!(
            refused.contains("takes in the bundles of another one, which is the authority"),
            "{words:?}: {refused}"
        );
    }
    let refused = there.run_with_input(&["put", "keystone_database_password"], b"other").failed(5);
    assert!(refused.contains("do it at the authority, and import its next bundle"), "{refused}");
    assert_eq!(there.run(&["get", "keystone_database_password"]).ok(), "s3cret-4711");
    let status = there.run(&["status"]).ok();
    assert!(status.contains("warning: this store takes in the bundles of another one"), "{status}");
    there.run(&["run", "--deploy", "--", "true"]).ok();
    there.run(&["down"]).ok();
}

#[test]
fn the_vault_ends_when_its_secrets_are_safe_and_comes_back_as_a_new_authority() {
    let place = Place::new();
    let error = place.donjon.run(&["down"]).failed(13);
    assert!(error.contains("is not all safe elsewhere") && error.contains("there is no custodians' bundle"), "{error}");
    let recipient = place.identity("custodian");
    let (bundle, identity) = (place.text("everything.donjon"), place.text("custodian"));
    place.donjon.run(&["export", "bundle", "--custodians", "--recipient", &recipient, "-o", &bundle]).ok();
    assert!(place.donjon.run(&["down"]).failed(13).contains("was never reopened"));

    let new = Donjon::new();
    let key = place.text("authority.pem");
    place.donjon.run(&["export", "key", "-o", &key]).ok();
    let from = ["up", "--from", &bundle, "-i", &identity, "--authority-key", &key];
    let unnamed = new.run(&from).failed(9);
    assert!(unnamed.contains("it is of the deployment `site1`, not of `default`"), "{unnamed}");
    assert!(unnamed.contains("write it first, with `deployment: site1`"), "the cause is a file that is not there");
    assert_eq!(new.daemon(), None, "nothing was started for it");
    new.describe(&DEPLOYMENT.replace("RECIPIENT", &recipient));
    let unknown = new.run(&from[..5]).failed(3);
    assert!(unknown.contains("--trust-first") && unknown.contains("it was signed by"), "{unknown}");
    let stranger = Place::new();
    stranger.donjon.run(&["export", "key", "-o", &place.text("stranger.pem")]).ok();
    let forged = new.run(&[&from[..6], &[&place.text("stranger.pem")]].concat()).failed(9);
    assert!(forged.contains("the bundle is forged: its authority is not the one pinned here"), "{forged}");
    assert_eq!(new.daemon(), None, "nothing was started for it");
    let (file, cut) = (std::fs::read(&bundle).unwrap(), place.text("cut.donjon"));
    let mut altered = file.clone();
    altered[file.len() / 2] ^= 1;
    for bytes in [&file[..file.len() - 7], &altered] {
        donjon_drivers::fs::replace(&place.path("cut.donjon"), bytes).unwrap();
        let damaged = new.run(&["up", "--from", &cut, "-i", &identity, "--authority-key", &key]).failed(9);
        assert!(
            damaged.contains("the bundle is damaged") || damaged.contains("its signature does not fit"),
            "{damaged}"
        );
        assert!(damaged.contains("state: nothing was changed"), "{damaged}");
        assert_eq!(new.daemon(), None, "nothing was started for it");
    }
    new.run(&["up"]).ok();
    let held = new.run(&[&from[..], &["--custodian", &recipient, "--threshold", "1"]].concat()).failed(5);
    assert!(held.contains("not as asked for") && held.contains("it has other custodians, or none"), "{held}");
    new.run(&["get", "keystone_database_password"]).failed(4);
    new.run(&from).ok();
    new.run(&from[..5]).failed(3);
    new.run(&from).ok();
    assert_eq!(new.run(&["get", "keystone_database_password"]).ok(), "s3cret-4711");
    assert_eq!(new.run(&["get", "keystone.database.connection"]).ok(), CONNECTION);

    place.donjon.run(&["receipt", &place.text("everything.donjon.receipt")]).ok();
    place.put("nova_database_password", "changed since");
    assert!(place.donjon.run(&["down"]).failed(13).contains("1 records have changed"));
    place.donjon.run(&["export", "bundle", "--custodians", "--recipient", &recipient, "-o", &bundle]).ok();
    let other = Donjon::new();
    other.describe(&DEPLOYMENT.replace("RECIPIENT", &recipient));
    let first = other.run(&[&from[..5], &["--trust-first"]].concat()).ok();
    assert!(first.contains("trusted as you said"), "{first}");
    place.donjon.run(&["receipt", &place.text("everything.donjon.receipt")]).ok();
    place.donjon.run(&["down", "--no-search"]).ok();
    assert_eq!(other.run(&["get", "nova_database_password"]).ok(), "changed since");

    // The new authority goes on: a value changes, and its bundle is newer than any of the old one's.
    other.run_with_input(&["put", "nova_database_password"], b"later").ok();
    let file = place.text("later.donjon");
    let export = ["export", "bundle", "--site", "edge1", "--role", "nova", "-o", &file, "--output", "json"];
    let exported = other.run(&export).json();
    assert!(exported["bundle"]["epoch"].as_u64().unwrap() > 1_000_000, "{exported}");
}

#[test]
fn a_token_outlives_a_reader_that_was_killed() {
    let place = Place::new();
    place.export("one.donjon");
    place.import("one.donjon", &[]).ok();
    let credential = |name: &str| format!("@{}", place.path("folder/approle/keystone").join(name).display());
    let bao = |url: &str, token: &str, arguments: &[&str]| {
        let mut bao = Command::new(tools::program("bao"));
        bao.args(arguments).env("BAO_ADDR", url).env("BAO_TOKEN", token).env("HOME", place.files.path());
        let output = bao.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let serving = Serving::start(&place, "bundle");
    let (role_id, secret_id) =
        (format!("role_id={}", credential("role-id")), format!("secret_id={}", credential("secret-id")));
    let login = ["write", "-field=token", "auth/approle/login", &role_id, &secret_id];
    let (logged_in, token) = bao(&serving.url, "", &login);
    assert!(logged_in, "{token}");
    // Dropped is killed: nothing is written at its end.
    drop(serving);
    let serving = Serving::start(&place, "bundle");
    let read = ["kv", "get", "-mount=donjon", "-field=password", "site1/keystone_database_password"];
    assert_eq!(bao(&serving.url, &token, &read), (true, "s3cret-4711".to_owned()));
    assert!(!bao(&serving.url, "s.wrong", &read).0, "the control");
    let tokens = std::fs::read_to_string(place.path("folder/tokens")).unwrap();
    assert!(tokens.contains("keystone") && !tokens.contains(&token[2..]), "kept as a digest");
}
