//! Stores: the conformance kit and the failures of each, on real servers.

use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected, Store, StoreError, Version, VersionState, Which, conformance,
        vault::{Address, Connection, Trust, Vault},
    },
};
use donjon_tests::openbao::OpenBao;
use std::{sync::Arc, time::Duration};

fn document(text: &str) -> Document {
    Document::from_json(Material::from(text.to_owned())).expect("the test wrote an object")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_vault_keeps_every_rule() {
    let server = OpenBao::start().await;
    conformance::check(&server.store(), &"kit".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_vault_that_cannot_answer_is_an_error_and_never_none() {
    let mut server = OpenBao::start().await;
    let store = server.store();
    let path = "a/b".parse().unwrap();
    store.write(&path, &document(r#"{"n":1}"#), Expected::Absent).await.unwrap();

    let elsewhere = Vault::new(server.connection(), "nowhere".parse().unwrap());
    let read = elsewhere.read(&path, Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Answer { status: 404, .. })), "a mount that is not there: {read:?}");
    let listed = elsewhere.list(&path).await;
    assert!(matches!(listed, Err(StoreError::Answer { status: 404, .. })), "{listed:?}");

    let stranger = server.connection();
    stranger.use_token(Material::from("s.wrong".to_owned()));
    let stranger = Vault::new(stranger, "kv".parse().unwrap());
    let read = stranger.read(&path, Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Denied { .. })), "a wrong token: {read:?}");
    let written = stranger.write(&path, &document("{}"), Expected::Newest(Version(1))).await;
    assert!(matches!(written, Err(StoreError::Denied { .. })), "{written:?}");

    server.seal().await;
    let read = store.read(&path, Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Sealed)), "sealed: {read:?}");
    server.unseal().await;
    assert!(store.read(&path, Which::Latest).await.unwrap().is_some());

    server.kill();
    let read = store.read(&path, Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Unreachable { .. })), "gone: {read:?}");
    let listed = store.list(&path).await;
    assert!(matches!(listed, Err(StoreError::Unreachable { .. })), "{listed:?}");
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not_believed() {
    let server = OpenBao::start().await;
    let other = OpenBao::start().await;
    let path = "a".parse().unwrap();
    for trust in [other.address().trust.clone(), Trust::System] {
        let connection = Connection::open(&Address { trust, ..server.address().clone() }).unwrap();
        connection.use_token(server.root().duplicate());
        let read = Vault::new(Arc::new(connection), "kv".parse().unwrap()).read(&path, Which::Latest).await;
        assert!(matches!(read, Err(StoreError::Unreachable { .. })), "{read:?}");
    }
    assert!(server.store().read(&path, Which::Latest).await.unwrap().is_none(), "the control: the right one answers");
}

#[tokio::test]
async fn a_server_that_hangs_is_unreachable_within_the_bound() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let address = Address { url, trust: Trust::System, namespace: None };
    let connection = Connection::open_within(&address, Duration::from_millis(300)).unwrap();
    let store = Vault::new(Arc::new(connection), "kv".parse().unwrap());
    let started = std::time::Instant::now();
    let read = store.read(&"a".parse().unwrap(), Which::Latest).await;
    assert!(matches!(read, Err(StoreError::Unreachable { .. })), "{read:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_version_deleted_by_someone_else_is_gone_and_its_number_known() {
    use donjon_drivers::store::vault::{Call, Method};
    let server = OpenBao::start().await;
    let store = server.store();
    let path = "a".parse().unwrap();
    store.write(&path, &document(r#"{"n":1}"#), Expected::Absent).await.unwrap();
    server.connection().call(Call::new(Method::Delete, "kv/data/a")).await.unwrap();
    assert!(store.read(&path, Which::Latest).await.unwrap().is_none());
    assert!(store.read(&path, Which::Number(Version(1))).await.unwrap().is_none());
    let versions = store.versions(&path).await.unwrap();
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].state, VersionState::Destroyed);
    assert!(versions[0].created > 1_700_000_000, "the time of writing is known");
}

/// Four processes write one record of one folder; each says which versions it got.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_for_a_folder_never_win_together() {
    use donjon_drivers::store::file::File;
    if let Some(folder) = std::env::var_os("DONJON_TEST_RACE") {
        let store = File::open(std::path::Path::new(&folder)).await.unwrap();
        let path = "a".parse().unwrap();
        let mut won = 0;
        while won < 25 {
            let newest = store.versions(&path).await.unwrap().last().map(|v| v.version);
            let expected = newest.map_or(Expected::Absent, Expected::Newest);
            match store.write(&path, &document(&format!("{{\"by\":{}}}", std::process::id())), expected).await {
                Ok(version) => {
                    println!("won {version}");
                    won += 1;
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let racers: Vec<std::process::Child> = (0..4)
        .map(|_| {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let test = "stores::processes_that_race_for_a_folder_never_win_together";
            command.args(["--exact", test, "--nocapture"]).env("DONJON_TEST_RACE", &folder);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut versions = Vec::new();
    for racer in racers {
        let output = racer.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        versions.extend(text.lines().filter_map(|line| line.strip_prefix("won ")?.parse::<u64>().ok()));
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=100).collect::<Vec<u64>>(), "every version was won once");
}
