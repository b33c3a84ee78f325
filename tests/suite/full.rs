//! A full disk: told as such, nothing lost, and writes go on once there is room.
//!
//! The disk is a small tmpfs in a mount namespace of its own: the test starts itself again in there.

use donjon::{
    transfer::{
        Places,
        authority::Authority,
        bundle::{Epoch, Recipients, Scope, SealError},
        export::{ExportError, Request, Wanted, export},
    },
    vault::Temporary,
};
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, StoreError, Version, Which, file::File, memory::Memory},
};
use donjon_tests::{
    donjon::Donjon,
    process::wait_for,
    temporary::{Home, holds, write},
    wait::until,
};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// Runs one test of this binary again, on a small disk. `None` inside: there is the disk.
pub(super) fn on_a_small_disk(test: &str, megabytes: u32) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os("DONJON_TEST_DISK") {
        return Some(disk.into());
    }
    let disk = tempfile::tempdir().expect("a temporary folder can be made");
    let own = std::env::current_exe().expect("a process knows its own file");
    let script = format!(
        "mount -t tmpfs -o size={megabytes}m,mode=700 none \"$DONJON_TEST_DISK\" && exec \"$0\" --exact {test} --nocapture"
    );
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c", &script]).arg(own);
    let status = command.env("DONJON_TEST_DISK", disk.path()).status().expect("unshare can be run");
    assert!(status.success(), "on the small disk it failed");
    None
}

fn fill(disk: &Path) -> PathBuf {
    let ballast = disk.join("ballast");
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).expect("a file can be made");
    let chunk = vec![7; 4096];
    while std::io::Write::write(&mut file, &chunk).is_ok_and(|n| n > 0) {}
    ballast
}

fn document(n: u64) -> Document {
    let text = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(100_000));
    Document::from_json(Material::from(text)).expect("an object")
}

/// Writes until the store says why not, and gives back how many were acknowledged.
async fn write_until_full(store: &dyn Store, path: &RecordPath) -> (u64, StoreError) {
    for n in 0..10_000 {
        let expected = if n == 0 { Expected::Absent } else { Expected::Newest(Version(n)) };
        if let Err(error) = store.write(path, &document(n + 1), expected).await {
            return (n, error);
        }
    }
    panic!("the disk never became full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_on_a_full_disk() {
    let Some(disk) = on_a_small_disk("full::a_folder_on_a_full_disk", 4) else { return };
    let store = File::open(&disk.join("store")).await.unwrap();
    let path = "a".parse().unwrap();
    let (written, error) = write_until_full(&store, &path).await;
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(written > 10, "the control: there was room for some: {written}");
    let ballast = fill(&disk);
    let store = File::open(&disk.join("store")).await.unwrap();
    let read = store.read(&path, Which::Latest).await.unwrap().unwrap();
    assert_eq!(read.version, Version(written), "what was acknowledged is there, and nothing else");
    std::fs::remove_file(ballast).unwrap();
    let oldest: Vec<Version> = (1..=written / 2).map(Version).collect();
    store.destroy(&path, &oldest).await.unwrap();
    store.write(&path, &document(0), Expected::Newest(Version(written))).await.unwrap();
}

#[test]
fn a_daemon_without_room_for_audit_lines_answers_nothing_and_warns_before() {
    let test = "full::a_daemon_without_room_for_audit_lines_answers_nothing_and_warns_before";
    let Some(disk) = on_a_small_disk(test, 8) else { return };
    let mut donjon = Donjon::below(&disk);
    // Its own log is on that disk too, and has a line for everything.
    donjon.set("DONJON_LOG", "trace");
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    let get = || donjon.run(&["get", "x"]);
    assert_eq!(get().ok(), "a-value-long-enough");
    let status = donjon.run(&["status"]).ok();
    assert!(status.contains("warning: ") && status.contains("MB left"), "{status}");
    let mut serve = donjon.command(&["serve", "--store", "daemon", "--listen", "127.0.0.1:0"]);
    let mut reader = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(reader.stderr.take().unwrap()).read_line(&mut said).unwrap();
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(said.starts_with("warning: the disk of ") && said.contains("MB left"), "a reader says so, too: {said}");
    let ballast = fill(&disk);
    let mut answered = 0;
    // The last page of the log has some room left.
    let refused = loop {
        match get() {
            ran if ran.code == 0 && answered < 100 => answered += 1,
            ran => break ran,
        }
    };
    let error = refused.failed(6);
    assert!(error.contains("no audit line") && error.contains("No space left"), "{error}");
    assert_eq!(get().failed(6).lines().next(), error.lines().next(), "and it stays so");
    donjon.run(&["list"]).failed(6);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(get().ok(), "a-value-long-enough");
    let verified = donjon.run(&["audit", "verify", "--output", "json"]).json();
    assert_eq!(verified["torn"], 0, "nothing half-written stays: {verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_on_a_full_disk() {
    let Some(disk) = on_a_small_disk("full::a_vault_on_a_full_disk", 80) else { return };
    let home = Home::at(&disk);
    let vault = home.up(None).await;
    write(&vault, 1).await;
    let ballast = fill(&disk);
    let path = "a".parse().unwrap();
    let (written, error) = write_until_full(&vault.store(), &path).await;
    says_why(&vault, error).await;
    let read = vault.store().read(&path, Which::Latest).await;
    // A server that has stepped down meanwhile says that instead.
    let refused = matches!(read, Err(StoreError::Full { .. } | StoreError::Unreachable { .. }));
    assert!(refused, "no audit line, no answer: {read:?}");
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(written, 0);
    until("the server to serve again", Duration::from_secs(20), async || {
        vault.store().read(&donjon_tests::temporary::path(1), Which::Latest).await.ok().flatten()
    })
    .await;
    holds(&vault, [1]).await;
    takes_writes_again(&vault).await;
}

/// The whole command on a Vault without room; DONJON_HOME, where the audit log is, has some.
#[test]
fn what_is_put_into_a_full_vault_is_told_and_not_stored() {
    let test = "full::what_is_put_into_a_full_vault_is_told_and_not_stored";
    let Some(disk) = on_a_small_disk(test, 40) else { return };
    let donjon = Donjon::below(&disk);
    let vault = donjon.home().join("vault");
    donjon_drivers::fs::private_folder(&vault).unwrap();
    // It ends with this mount namespace.
    let mount = ["-t", "tmpfs", "-o", "size=80m,mode=700", "none"];
    assert!(Command::new("mount").args(mount).arg(&vault).status().unwrap().success());
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    let ballast = fill(&vault);
    for name in ["x", "y"] {
        let mut error = String::new();
        // One that steps down in that very moment is one that does not answer.
        wait_for("it to say why", Duration::from_secs(20), || {
            error = donjon.run_with_input(&["put", name], b"another-value-long-enough").failed(6);
            error.contains("full")
        });
        assert!(!error.contains("no audit line"), "the Vault's disk, not ours: {error}");
        assert!(error.contains("state: nothing was written; what is stored is safe"), "{error}");
        assert!(error.contains("make room on the store's disk"), "{error}");
    }
    std::fs::remove_file(ballast).unwrap();
    wait_for("the server to serve again", Duration::from_secs(20), || donjon.run(&["list"]).code == 0);
    assert_eq!(donjon.run(&["get", "x"]).ok(), "a-value-long-enough", "what was refused was not stored");
    donjon.run(&["get", "y"]).failed(4);
    wait_for("it to take writes again", Duration::from_secs(20), || {
        donjon.run_with_input(&["put", "y"], b"a-third-value-long-enough").code == 0
    });
    assert_eq!(donjon.run(&["get", "y"]).ok(), "a-third-value-long-enough");
}

/// Waits until it says that it is full. One that steps down in that very moment leaves the one write open, and says so to
/// the next.
async fn says_why(vault: &Temporary, error: StoreError) {
    if matches!(error, StoreError::Full { .. }) {
        return;
    }
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    let next: RecordPath = "b".parse().unwrap();
    until("it to say why", Duration::from_secs(20), async || {
        let refused = vault.store().write(&next, &document(0), Expected::Absent).await;
        matches!(refused, Err(StoreError::Full { .. })).then_some(())
    })
    .await;
}

/// A server that was out of room steps down itself, more than once, before it leads for good.
async fn takes_writes_again(vault: &Temporary) {
    until("it to take writes again", Duration::from_secs(20), async || {
        let document = Document::plain(&serde_json::json!({"n": 2})).unwrap();
        match vault.store().write(&donjon_tests::temporary::path(2), &document, Expected::Absent).await {
            // One that was not acknowledged may be there all the same.
            Ok(_) | Err(StoreError::Conflict { .. }) => Some(()),
            Err(_) => None,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_fills_its_own_disk() {
    let Some(disk) = on_a_small_disk("full::a_vault_that_fills_its_own_disk", 120) else { return };
    let reserve = disk.join("reserve");
    donjon_drivers::fs::replace(&reserve, &vec![7; 60 << 20]).unwrap();
    let home = Home::at(&disk);
    let vault = home.up(None).await;
    let tending = tokio::spawn(Arc::clone(&vault).tend());
    write(&vault, 1).await;
    let path = "a".parse().unwrap();
    let (written, error) = write_until_full(&vault.store(), &path).await;
    let open = !matches!(error, StoreError::Full { .. });
    says_why(&vault, error).await;
    assert!(written > 10, "the control: there was room for some: {written}");
    std::fs::remove_file(reserve).unwrap();
    // The server has stepped down from leading itself, and leads again a moment later.
    let read = until("the server to serve again", Duration::from_secs(20), async || {
        vault.store().read(&path, Which::Latest).await.ok().flatten()
    });
    let Version(read) = read.await.version;
    assert!(read == written || open && read == written + 1, "what was acknowledged is there, and nothing else: {read}");
    // It may step down once more before it leads for good.
    let first = until("it to answer again", Duration::from_secs(20), async || {
        vault.store().read(&donjon_tests::temporary::path(1), Which::Latest).await.ok()
    });
    assert!(first.await.is_some(), "nothing is lost");
    takes_writes_again(&vault).await;
    tending.abort();
}

/// What has no room in memory goes to the broker's disk, where the audit log has to find room, too.
#[tokio::test]
async fn a_long_bundle_leaves_the_audit_log_its_room() {
    let Some(disk) = on_a_small_disk("full::a_long_bundle_leaves_the_audit_log_its_room", 80) else { return };
    let free = || {
        let disk = rustix::fs::statvfs(&disk).unwrap();
        (disk.f_bavail * disk.f_frsize) >> 20
    };
    let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
    let mut closure = Vec::new();
    for number in 0..24 {
        let path: RecordPath = format!("site1/long_{number}").parse().unwrap();
        let text = format!("{{\"password\":\"{}\"}}", "x".repeat(1_000_000));
        let document = Document::from_json(Material::from(text)).unwrap();
        store.write(&path, &document, Expected::Absent).await.unwrap();
        closure.push(Wanted { path, which: Which::Latest });
    }
    let authority = Authority::ensure(&store, &places, 100).await.unwrap();
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let recipients = Recipients::parse([recipient.as_str()]).unwrap();
    let scope = || Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
    let made = async |closure: &[Wanted]| {
        let (scope, recipients, folder) = (scope(), &recipients, disk.as_path());
        let request = Request { scope, closure, recipients, lifetime: 1000, folder };
        export(&store, &places, &authority, &request, 200).await
    };
    let error = made(&closure).await.unwrap_err();
    let ExportError::Seal(SealError::Room { folder, .. }) = &error else { panic!("{error:?}") };
    assert_eq!((folder, free()), (&disk, 80), "nothing of it is left");
    let bundle = made(&closure[..12]).await.unwrap();
    assert_eq!(bundle.manifest.epoch, Epoch(1), "the one that was not made has none");
    assert!((64..70).contains(&free()), "the control: it is on this disk");
    assert!(bundle.file.bytes().unwrap().len() > 12_000_000);
    drop(bundle);
    assert_eq!(free(), 80);
}
