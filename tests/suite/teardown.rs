//! `down` as root: a second process has seen the values in the Vault's memory, and then sees them nowhere.

use donjon::vault::{place, shares};
use donjon_drivers::store::vault::{Address, Call, Connection, Trust};
use donjon_tests::{
    donjon::{Donjon, binary},
    process::{copy_program, tied},
};
use rustix::process::geteuid;
use serde_json::Value;
use std::{
    fs::Permissions,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const DEPLOYMENT: &str = "deployment: site1\ncatalogue: kolla-ansible\n";
const NAMES: [&str; 4] = ["database_password", "nova_database_password", "keystone_ssh_key", "barbican_crypto_key"];

/// A home whose secrets are safe elsewhere: custodians have opened their bundle in a drill.
struct Place {
    donjon: Donjon,
    files: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        use age::secrecy::ExposeSecret;
        assert!(geteuid().is_root(), "only root looks into the memory of others");
        let (mut donjon, files) = (Donjon::new(), tempfile::tempdir().unwrap());
        // What other tests have in the system's own folder for temporary files is not this test's.
        std::fs::create_dir(files.path().join("temporary")).unwrap();
        donjon.set("TMPDIR", &files.path().join("temporary").display().to_string());
        donjon.describe(DEPLOYMENT);
        donjon.up();
        donjon.run(&[&["generate"], &NAMES[..]].concat()).ok();
        let key = age::x25519::Identity::generate();
        let place = Self { donjon, files };
        let identity = key.to_string();
        donjon_drivers::fs::replace(&place.path("custodian"), identity.expose_secret().as_bytes()).unwrap();
        let (bundle, recipient) = (place.text("everything"), key.to_public().to_string());
        place.donjon.run(&["export", "bundle", "--custodians", "--recipient", &recipient, "-o", &bundle]).ok();
        place.donjon.run(&["doctor", "--drill", &bundle, "-i", &place.text("custodian")]).ok();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn traces(look: &Value) -> &Vec<Value> {
    look["look"]["traces"].as_array().unwrap()
}

/// How many requests to a path the Vault's own audit log has that were not refused.
fn answered(log: &Path, path: &str) -> usize {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["type"] == "response" && line["request"]["path"] == path && line["error"].is_null())
        .count()
}

#[tokio::test]
async fn every_token_is_revoked_and_the_vault_sealed_before_it_ends() {
    let place = Place::new();
    let vault = place::Place::new(&place.donjon.home().join("vault"));
    // Tokens that somebody may still have: by the broker's own login, which is on this host.
    let serving: Value = serde_json::from_slice(&std::fs::read(vault.process()).unwrap()).unwrap();
    let url = format!("https://127.0.0.1:{}", serving["ports"]["api"]);
    let trust = Trust::Only(std::fs::read(vault.authority()).unwrap());
    let connection = Connection::open(&Address { url, trust, namespace: None }).unwrap();
    for _ in 0..3 {
        connection.call(Call::post("auth/approle/login", shares::credential(&vault).unwrap())).await.unwrap();
    }
    let log = vault.audit();
    assert!(answered(&log, "auth/approle/login") >= 3, "the control");
    assert_eq!(answered(&log, "auth/token/revoke-accessor"), 0);
    place.donjon.run(&["down", "--no-search"]).ok();
    assert!(answered(&log, "auth/token/revoke-accessor") >= 3, "tokens are revoked one by one");
    let said = std::fs::read_to_string(vault.log()).unwrap();
    assert!(said.contains("vault is sealed"), "it was sealed before it was ended: {said}");
}

#[test]
fn nothing_is_left_and_a_second_process_says_so() {
    let place = Place::new();
    let (daemon, vault) = (place.donjon.daemon().unwrap(), place.donjon.vault().unwrap());
    let down = place.donjon.run(&["down", "--output", "json"]).json();
    let (before, after) = (&down["searched"]["before"], &down["searched"]["after"]);
    println!("before {}\nafter {after}", before["look"]["seconds"]);
    assert_eq!((before["vault"][0].as_i64(), before["daemon"][0].as_i64()), (Some(vault.into()), Some(daemon.into())));
    assert_eq!(before["looked_for"], NAMES.len());
    assert_eq!(before["vault"][1], NAMES.len(), "the control: the Vault holds each of them in its memory");
    assert!(before["control"] == true && after["control"] == true, "the control of the disk");
    assert!(traces(before).iter().all(|trace| trace["process"].is_u64()), "on the disk they are encrypted before, too");
    assert!(traces(after).is_empty(), "{after}");
    for list in ["left", "others"] {
        assert_eq!(down["searched"][list].as_array().map(Vec::len), Some(0), "{list}");
    }
    for look in [before, after] {
        let count = |what: &str| look["look"][what].as_u64().unwrap();
        assert!(count("processes") > 3 && count("memory_bytes") > 1 << 20 && count("files") > 3, "{look}");
    }
    for gone in
        ["vault/raft", "vault/shares", "vault/identity", "vault/credential.age", "vault/state.json", "run/witness"]
    {
        assert!(!place.donjon.home().join(gone).exists(), "{gone}");
    }
}

#[test]
fn what_is_left_is_told_by_name_and_place() {
    let place = Place::new();
    let value = place.donjon.run(&["get", NAMES[0]]).ok();
    let mut consumer = tied("sh");
    let mut consumer = consumer.args(["-c", "read x"]).env("HELD", &value).stdin(Stdio::piped()).spawn().unwrap();
    let copies = [place.donjon.home().join("left.txt"), place.path("temporary/left.txt")];
    for copy in &copies {
        donjon_drivers::fs::replace(copy, format!("x={value}\n").as_bytes()).unwrap();
    }
    let down = place.donjon.run(&["down"]);
    consumer.kill().unwrap();
    consumer.wait().unwrap();
    assert_eq!(down.code, 7, "{down:#?}");
    for copy in &copies {
        let line = format!("left: `{}` in {}", NAMES[0], copy.display());
        assert!(down.out.contains(&line), "{line}: {down:#?}");
    }
    let held = format!("as before: `{}` in process {} (sh), memory, ", NAMES[0], consumer.id());
    assert!(down.out.contains(&held), "{held}: {down:#?}");
    assert!(down.err.contains("values are left") && !format!("{down:?}").contains(&value), "{down:#?}");
    assert_eq!(place.donjon.daemon(), None);
}

#[test]
fn without_root_it_is_said_that_nobody_has_looked() {
    let root = Donjon::new();
    root.up();
    // Programs below the tester's own folders are out of reach of others.
    let program = std::fs::read_link(format!("/proc/{}/exe", root.vault().unwrap())).unwrap();
    let open = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let home = open.path().join("home");
    for (from, name) in [(binary(), "donjon"), (program, "bao")] {
        copy_program(&from, &open.path().join(name));
    }
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    std::fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
    let donjon = |words: &[&str]| {
        let mut command = Command::new(open.path().join("donjon"));
        command.args(words).uid(NOBODY).gid(NOBODY).env_clear().env("PATH", "/usr/bin:/bin").env("DONJON_HOME", &home);
        let output = command.env("DONJON_VAULT_BIN", open.path().join("bao")).current_dir("/").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    donjon(&["up"]);
    donjon(&["generate", NAMES[0]]);
    let told = donjon(&["down", "--force"]);
    let sentence = "nobody has looked for what is left: that takes root, and a daemon of root's: `sudo donjon up`";
    assert!(told.contains(sentence), "{told}");
}

const NOBODY: u32 = 65534;

/// Something mounted, which the kernel lets nobody remove.
struct Mounted(PathBuf);

impl Mounted {
    fn at(folder: PathBuf) -> Self {
        std::fs::create_dir(&folder).unwrap();
        assert!(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&folder).status().unwrap().success());
        Self(folder)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn an_end_that_files_stand_against_is_told_as_an_end_and_finished_later() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    let mounted = Mounted::at(donjon.home().join("vault/raft/mounted"));
    let told = donjon.run(&["down", "--force", "--no-search"]).failed(1);
    let is_over = "the temporary Vault is destroyed, and files of it could not be removed";
    assert!(told.contains(is_over) && told.contains("then `donjon down` again"), "{told}");
    assert!(!donjon.home().join("vault/identity").exists());
    assert!(donjon.run(&["status"]).failed(1).contains(is_over));
    assert!(donjon.run(&["get", "x"]).failed(1).contains(is_over));
    assert!(donjon.run(&["down", "--no-search"]).failed(1).contains(is_over), "as long as it is so");
    drop(mounted);
    // Nothing is in it that would have to be elsewhere.
    donjon.run(&["down", "--no-search"]).ok();
    assert!(!donjon.home().join("vault/raft").exists());
    donjon.up();
    donjon.run(&["get", "x"]).failed(4);
}
