//! The temporary Vault's life, on a real OpenBao: made, killed in every way, brought back, destroyed.

use age::x25519;
use donjon::vault::{Settings, Standing, Step, Temporary, VaultError, Watcher, Why, shares};
use donjon_drivers::{
    material::Material,
    store::{Store, StoreError, Which, vault::Call},
};
use donjon_tests::{
    donjon::{Donjon, runs},
    process::wait_for,
    temporary::{Custodians, Home, holds, kill, path, quiet, replaced, servers_of, stands, write},
    tools,
    wait::until,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_mode_daemon_killed() {
    let home = Home::make();
    let vault = home.up(None).await;
    assert_eq!(vault.standing(), Standing::Ready);
    write(&vault, 1).await;
    let pid = vault.pid();
    drop(vault);
    let vault = home.up(None).await;
    assert_eq!((vault.standing(), vault.pid()), (Standing::Ready, pid), "the server was found again");
    holds(&vault, [1]).await;
    write(&vault, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_mode_vault_killed() {
    let home = Home::make();
    let vault = home.up(None).await;
    let tending = tokio::spawn(Arc::clone(&vault).tend());
    for n in 1..=3 {
        write(&vault, n).await;
        let pid = vault.pid();
        kill(pid);
        replaced(&vault, pid).await;
        holds(&vault, 1..=n).await;
    }
    tending.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_talks_to_its_server_by_a_socket_of_its_own() {
    let home = Home::make();
    let vault = home.up(None).await;
    assert!(vault.connection().is_socket());
    let socket = std::fs::metadata(home.place().socket()).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&socket) & 0o777, 0o600);
    let (pid, port) = (vault.pid(), vault.url());
    kill(pid);
    drop(vault);
    // What the dead one has left is not taken for the new one's.
    let vault = home.up(None).await;
    assert!(vault.connection().is_socket() && vault.pid() != pid);
    assert_eq!(vault.url(), port);
    write(&vault, 1).await;
    holds(&vault, [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_socket_is_reached_over_the_network() {
    // A socket's path would be too long here.
    let deep = tempfile::Builder::new().prefix(&"d".repeat(100)).tempdir().unwrap();
    let home = Home::at(deep.path());
    let vault = home.up(None).await;
    assert!(!vault.connection().is_socket() && !home.place().socket().exists());
    write(&vault, 1).await;
    kill(vault.pid());
    drop(vault);
    // As an earlier Donjon wrote it, whose credential is bound to loopback.
    let state = std::fs::read(home.place().state()).unwrap();
    let mut state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state.as_object_mut().unwrap().remove("reach").unwrap(), "network");
    donjon_drivers::fs::replace(&home.place().state(), state.to_string().as_bytes()).unwrap();
    let vault = home.up(None).await;
    assert!(!vault.connection().is_socket());
    holds(&vault, [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_mode_both_killed() {
    let home = Home::make();
    let vault = home.up(None).await;
    write(&vault, 1).await;
    let (pid, url) = (vault.pid(), vault.url());
    drop(vault);
    kill(pid);
    let vault = home.up(None).await;
    assert_eq!(vault.standing(), Standing::Ready);
    assert_ne!(vault.pid(), pid);
    assert_eq!(vault.url(), url, "clients find it where it was");
    holds(&vault, [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_died_is_replaced() {
    let people = Custodians::three();
    for custody in [None, Some(people.custody())] {
        let home = Home::make();
        let vault = home.up(custody.clone()).await;
        write(&vault, 1).await;
        vault.refresh().await.unwrap();
        holds(&vault, [1]).await;
        let revoke = Call::post("auth/token/revoke-self", Material::from("{}".to_owned()));
        vault.connection().call(revoke).await.unwrap();
        let read = vault.store().read(&path(1), Which::Latest).await;
        assert!(matches!(read, Err(StoreError::Denied { .. })), "the control: {read:?}");
        vault.refresh().await.unwrap();
        if custody.is_some() {
            assert_eq!(vault.standing(), Standing::Waiting { given: 0, needed: 2, why: Why::NoCredential });
            people.open(&home, &vault).await;
        }
        assert_eq!(vault.standing(), Standing::Ready);
        holds(&vault, [1]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_or_destroyed_is_not_brought_back() {
    let home = Home::make();
    let vault = home.up(None).await;
    let tending = tokio::spawn(Arc::clone(&vault).tend());
    write(&vault, 1).await;
    vault.stop().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), tending).await.expect("it is looked after no more").unwrap();
    assert!(servers_of(&home.vault()).is_empty());
    drop(vault);

    let vault = home.up(None).await;
    holds(&vault, [1]).await;
    let tending = tokio::spawn(Arc::clone(&vault).tend());
    vault.destroy().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), tending).await.expect("it is looked after no more").unwrap();
    assert!(servers_of(&home.vault()).is_empty());
    let left: Vec<_> = std::fs::read_dir(home.vault()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".log")), "only logs are left: {left:?}");
    let vault = home.up(None).await;
    assert!(vault.store().read(&path(1), Which::Latest).await.unwrap().is_none(), "the next one is empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custodians_daemon_killed() {
    let (home, people) = (Home::make(), Custodians::three());
    let vault = home.up(Some(people.custody())).await;
    write(&vault, 1).await;
    drop(vault);
    let vault = home.up(None).await;
    assert_eq!(vault.standing(), Standing::Waiting { given: 0, needed: 2, why: Why::NoCredential });
    let read = vault.store().read(&path(1), Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Denied { .. })), "without a credential: {read:?}");
    people.open(&home, &vault).await;
    holds(&vault, [1]).await;
    write(&vault, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custodians_vault_killed() {
    let (home, people) = (Home::make(), Custodians::three());
    let vault = home.up(Some(people.custody())).await;
    let tending = tokio::spawn(Arc::clone(&vault).tend());
    write(&vault, 1).await;
    kill(vault.pid());
    stands(&vault, |standing| matches!(standing, Standing::Waiting { why: Why::Sealed, .. })).await;
    let read = vault.store().read(&path(1), Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Sealed)), "{read:?}");
    people.open(&home, &vault).await;
    holds(&vault, [1]).await;
    tending.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custodians_both_killed() {
    let (home, people) = (Home::make(), Custodians::three());
    let vault = home.up(Some(people.custody())).await;
    write(&vault, 1).await;
    let pid = vault.pid();
    drop(vault);
    kill(pid);
    let vault = home.up(Some(people.custody())).await;
    assert_eq!(vault.standing(), Standing::Waiting { given: 0, needed: 2, why: Why::Sealed });
    people.open(&home, &vault).await;
    holds(&vault, [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_share_is_told_and_does_no_harm() {
    let (home, people, other) = (Home::make(), Custodians::three(), Home::make());
    let vault = home.up(Some(people.custody())).await;
    drop(vault);
    let stranger = x25519::Identity::generate();
    assert!(shares::opened_by(&home.place(), &stranger).unwrap().is_empty(), "a stranger opens no share");
    let elsewhere = other.up(Some(people.custody())).await;
    let vault = home.up(None).await;
    let foreign = vault.offer(people.share(&other, 0)).await;
    assert!(matches!(foreign, Err(VaultError::Share(shares::ShareError::Foreign))), "{foreign:?}");
    vault.offer(people.share(&home, 1)).await.unwrap();
    let twice = vault.offer(people.share(&home, 1)).await;
    assert!(matches!(twice, Err(VaultError::Share(shares::ShareError::Twice))), "{twice:?}");
    assert_eq!(vault.offer(people.share(&home, 0)).await.unwrap(), Standing::Ready);
    drop(elsewhere);
}

/// Stops a bring-up at each of its steps in turn, as a kill would, and brings up again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bring_up_that_ends_half_way_is_made_again() {
    let people = Custodians::three();
    for custody in [None, Some(people.custody())] {
        let mut points = 0;
        for point in 0.. {
            let home = Home::make();
            let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
            let watcher: Watcher = Arc::new(move |step| {
                // The test may have seen enough.
                let _ = told.send(step);
            });
            let bringing = tokio::spawn(Temporary::bring_up(home.settings(custody.clone()), watcher));
            let mut reached = None;
            for _ in 0..=point {
                reached = tells.recv().await;
            }
            bringing.abort();
            let ended = matches!(bringing.await, Ok(Ok(_)));
            let vault = home.up(custody.clone()).await;
            if vault.standing() != Standing::Ready {
                people.open(&home, &vault).await;
            }
            write(&vault, 1).await;
            holds(&vault, [1]).await;
            assert_eq!(servers_of(&home.vault()).len(), 1, "one server runs after {reached:?}");
            vault.destroy().await.unwrap();
            assert!(servers_of(&home.vault()).is_empty());
            points = point;
            if ended || reached == Some(Step::Ready) {
                break;
            }
        }
        assert!(points >= 5, "only {points} steps were seen");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_changed_is_told_and_nothing_is_wiped() {
    let home = Home::make();
    let vault = home.up(None).await;
    write(&vault, 1).await;
    vault.stop().await.unwrap();
    drop(vault);
    let (place, up) = (home.place(), || Temporary::bring_up(home.settings(None), quiet()));

    let people = Custodians::three();
    let other = Temporary::bring_up(home.settings(Some(people.custody())), quiet()).await;
    assert!(matches!(other, Err(VaultError::OtherCustody)), "{other:?}");

    let aside = home.folder.path().join("aside");
    std::fs::rename(place.state(), &aside).unwrap();
    let lost = up().await;
    assert!(matches!(lost, Err(VaultError::Storage { .. })), "the state is lost: {lost:?}");
    std::fs::rename(&aside, place.state()).unwrap();

    std::fs::rename(place.identity(), &aside).unwrap();
    let lost = up().await;
    assert!(matches!(lost, Err(VaultError::Share(_))), "the identity is lost: {lost:?}");
    use age::secrecy::ExposeSecret;
    let stranger = x25519::Identity::generate().to_string();
    // EXPOSE: the key of a test
    donjon_drivers::fs::replace(&place.identity(), stranger.expose_secret().as_bytes()).unwrap();
    let wrong = up().await;
    assert!(matches!(wrong, Err(VaultError::Share(_))), "another identity: {wrong:?}");
    std::fs::rename(&aside, place.identity()).unwrap();

    std::fs::rename(place.storage(), &aside).unwrap();
    let lost = up().await;
    assert!(matches!(lost, Err(VaultError::Storage { .. })), "the storage is lost: {lost:?}");
    assert!(servers_of(&home.vault()).is_empty(), "what was started in vain is ended");
    std::fs::remove_dir_all(place.storage()).unwrap();
    std::fs::rename(&aside, place.storage()).unwrap();

    let vault = up().await.unwrap();
    holds(&vault, [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_replaced_and_a_taken_port_avoided() {
    let home = Home::make();
    let vault = home.up(None).await;
    write(&vault, 1).await;
    let (pid, url) = (vault.pid(), vault.url());
    drop(vault);
    let stopped = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    let vault = home.up(None).await;
    assert_ne!(vault.pid(), pid, "it was ended and another started");
    holds(&vault, [1]).await;

    let pid = vault.pid();
    drop(vault);
    kill(pid);
    let mut taken = None;
    wait_for("the port is free", Duration::from_secs(5), || {
        taken = std::net::TcpListener::bind(url.trim_start_matches("https://")).ok();
        taken.is_some()
    });
    let vault = home.up(None).await;
    assert_ne!(vault.url(), url);
    holds(&vault, [1]).await;
}

#[tokio::test]
async fn without_a_server_program_the_error_says_how_to_get_one() {
    let home = Home::make();
    let settings = Settings { named: None, search: Some("/nowhere".into()), ..home.settings(None) };
    let none = Temporary::bring_up(settings, quiet()).await;
    assert!(matches!(none, Err(VaultError::Binary(_))), "{none:?}");
    let vault = home.up(None).await;
    assert_eq!(vault.standing(), Standing::Ready, "with one, the same home comes up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_audit_log_does_not_grow_without_end() {
    let home = Home::make();
    let vault = home.up(None).await;
    let tending = tokio::spawn(Arc::clone(&vault).tend());
    write(&vault, 1).await;
    let (log, earlier) = (home.place().audit(), home.place().earlier_audit());
    // As if it had written for a long time.
    let grown = std::fs::OpenOptions::new().append(true).open(&log).expect("the server's log is there");
    grown.set_len(65 << 20).expect("a file can be made longer");
    until("a new log", Duration::from_secs(20), async || earlier.exists().then_some(())).await;
    until("lines in it", Duration::from_secs(20), async || {
        let _ = vault.store().read(&path(1), Which::Latest).await;
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"type\":\"response\"")).then_some(())
    })
    .await;
    holds(&vault, [1]).await;
    tending.abort();
}

/// The real `bao`, where nothing but PATH says where it is.
#[test]
fn the_server_program_is_found_on_the_path() {
    let (mut donjon, folder) = (Donjon::new(), tempfile::tempdir().unwrap());
    donjon.unset("DONJON_VAULT_BIN");
    donjon.set("PATH", &folder.path().display().to_string());
    let error = donjon.run(&["up"]).failed(2);
    assert!(error.contains("neither `bao` nor `vault` on PATH"), "the control: {error}");
    std::os::unix::fs::symlink(tools::program("bao"), folder.path().join("bao")).unwrap();
    donjon.set("PATH", &format!("/nowhere:{}", folder.path().display()));
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    assert_eq!(donjon.run(&["get", "x"]).ok(), "a-value-long-enough");
    assert!(runs(donjon.vault().expect("a temporary Vault runs")));
}

#[test]
fn what_the_host_identity_means_is_said_when_it_is_made() {
    let donjon = Donjon::new();
    let identity = donjon.home().join("vault/identity");
    assert!(!identity.exists());
    let said = donjon.run(&["up"]).ok();
    let encrypted = "the unseal share and the broker's credential are encrypted to the identity in";
    for wanted in [
        &format!("note: {encrypted} {}.", identity.display()),
        "Whoever can read that file and the Vault's storage can open the store; `--custodian`, at the first `up` of a home, avoids it.",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
    }
    assert!(identity.is_file(), "what was named is there");
    // Who has custodians has no such file, and is told nothing of one.
    let custodian = x25519::Identity::generate().to_public().to_string();
    let kept = Donjon::new();
    let said = kept.run(&["up", "--custodian", &custodian]).ok();
    assert!(said.contains("donjon is up") && !said.contains("identity"), "{said}");
    assert!(!kept.home().join("vault/identity").exists());
}

#[test]
fn a_name_that_was_changed_in_the_file_hides_no_secret_from_the_end() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], b"a-value-long-enough").ok();
    donjon.describe("deployment: site1\n");
    let changed = donjon.run(&["list"]);
    assert!(changed.code == 0, "a daemon serves what it was started for: {changed:?}");
    donjon.kill_daemon();
    donjon.up();
    let missing = donjon.run(&["get", "database_password"]).failed(4);
    assert!(missing.contains("holds 1 secrets of the deployment `default`"), "{missing}");
    // Nor does it make second values of what servers have, unless that is meant.
    let told = "the store holds 1 secrets of the deployment `default`, and none of `site1`";
    let status = donjon.run(&["status"]).ok();
    assert!(status.contains(&format!("warning: {told}")) && status.contains("put its name back"), "{status}");
    assert!(donjon.run(&["list"]).ok().contains(told));
    let file = donjon.home().join("passwords.yml");
    donjon_drivers::fs::replace(&file, b"keystone_admin_password: a-value-long-enough\n").unwrap();
    let file = file.display().to_string();
    for making in [&["generate", "database_password"][..], &["put", "database_password"], &["adopt", &file]] {
        let refused = donjon.run_with_input(making, b"a-value-long-enough").failed(5);
        assert!(refused.contains(told) && refused.contains("--new-deployment"), "{refused}");
    }
    assert!(donjon.run(&["list"]).ok().contains(told), "nothing was stored");
    let refused = donjon.run(&["down"]).failed(13);
    assert!(refused.contains("1 of `default`"), "{refused}");
    donjon.describe("deployment: site2\n");
    donjon.kill_daemon();
    let said = donjon.run(&["up"]).ok();
    assert!(said.contains("and none of `site2`"), "{said}");
    donjon.run(&["generate", "database_password", "--new-deployment"]).ok();
    donjon.run(&["generate", "keystone_admin_password"]).ok();
    donjon.describe("deployment: default\n");
    donjon.kill_daemon();
    donjon.up();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), "a-value-long-enough");
}

#[test]
fn who_watches_sees_each_change_and_nothing_twice() {
    let donjon = Donjon::new();
    donjon.up();
    let mut watch =
        donjon.tied_command(&["status", "--watch", "--output", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    assert_eq!((first["state"].as_str(), &first["warnings"]), (Some("ready"), &json!([])), "{first}");
    donjon.describe("deploment: x\n");
    let warned = next();
    let warning = warned["warnings"][0].as_str().unwrap();
    assert!(warning.contains("has mistakes") && warning.contains("nothing is rotated"), "{warning}");
    donjon.describe("deployment: another\n");
    let warned = next();
    let warning = warned["warnings"][0].as_str().unwrap();
    assert!(warning.contains("now names `another`") && warning.contains("was started for `default`"), "{warning}");
    donjon.kill_daemon();
    while next()["error"]["message"] != "donjon is not up" {}
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(lines.next().is_none(), "what has not changed is not told again");
}

#[test]
fn in_the_foreground_it_tells_a_person_what_up_tells_and_its_steps_once() {
    let donjon = Donjon::new();
    let mut up = donjon.tied_command(&["up", "--foreground"]);
    let mut up = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    // It lets go of its output once it is up.
    up.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let identity = donjon.home().join("vault/identity");
    assert!(said.starts_with("donjon is up (pid ") && said.contains(&identity.display().to_string()), "{said}");
    assert!(said.contains("this is a new, empty store") && !said.contains('{'), "{said}");
    let second = donjon.run(&["up", "--foreground"]);
    assert_eq!((second.code, second.out.as_str()), (5, ""), "{second:#?}");
    assert!(second.err.contains("end that by SIGTERM"), "{second:#?}");
    donjon.run(&["down", "--force", "--no-search"]).ok();
    up.wait().unwrap();
}
