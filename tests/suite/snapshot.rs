//! `export snapshot` into three real servers: the database itself, re-keyed; what opened it before opens nothing there.

use super::{
    existing,
    overcloud::{DEPLOYMENT, ELECTION, Overcloud, Person},
};
use donjon::{
    transfer::snapshot::{NoSnapshot, POINTS, Snapshot},
    vault::{place::Place, shares},
};
use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected, Store, Which,
        vault::{Address, Call, CallError, Connection, Method, Reason, Trust, Vault},
    },
};
use donjon_tests::{
    cluster::Cluster,
    donjon::{Donjon, Ran, runs},
    openbao::OpenBao,
    process::wait_for,
    wait,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const URL: &str = "mysql+pymysql://keystone:s3cret-4711@10.0.0.11/keystone";

impl Overcloud {
    fn empty(up: &[&str]) -> Self {
        let place = Self::new(DEPLOYMENT, up, Cluster::empty());
        wait_for("three servers that answer", Duration::from_secs(60), || place.carry(&["--plan"]).code == 0);
        place
    }

    fn carry(&self, more: &[&str]) -> Ran {
        self.run(&["export", "snapshot"], &[0, 1, 2], more)
    }

    /// The whole of it, with the new custodians.
    fn export(&self, more: &[&str]) -> Ran {
        let keys: Vec<String> = self.people.iter().map(Person::key).collect();
        let mut all: Vec<&str> = keys.iter().flat_map(|key| ["--custodian", key]).collect();
        let out = self.path("out").display().to_string();
        all.extend(["--out", &out, "--credentials"]);
        all.extend(more);
        self.carry(&all)
    }

    /// The new share that one of the new custodians opens.
    fn new_share(&self, number: usize) -> Material {
        let sealed = std::fs::read(self.path("out/shares").join(format!("{}.age", number + 1))).unwrap();
        Material::new(age::decrypt(&self.people[number].identity, &sealed).unwrap())
    }

    fn token(&self) -> Material {
        Material::new(std::fs::read(self.path("out/broker.token")).unwrap())
    }
}

/// What somebody may have kept of the temporary Vault: a reader's login and token, and the unseal share; and the number of
/// the key that its storage was written with.
struct Kept {
    login: Material,
    token: Material,
    share: Material,
    barrier: u64,
}

impl Kept {
    /// Made as the broker itself, with its own credential.
    async fn from(donjon: &Donjon) -> Self {
        let place = Place::new(&donjon.home().join("vault"));
        let serving: Value = serde_json::from_slice(&std::fs::read(place.process()).unwrap()).unwrap();
        let url = format!("https://127.0.0.1:{}", serving["ports"]["api"]);
        let trust = Trust::Only(std::fs::read(place.authority()).unwrap());
        let vault = Connection::open(&Address { url, trust, namespace: None }).unwrap();
        let post = async |path: &str, value: Value| -> Value {
            let answer = vault.call(Call::post(path, Material::from(value.to_string()))).await.unwrap();
            answer.parse().unwrap_or_default()
        };
        let broker = vault.call(Call::post("auth/approle/login", shares::credential(&place).unwrap())).await.unwrap();
        let broker: Value = broker.parse().unwrap();
        vault.use_token(Material::from(broker["auth"]["client_token"].as_str().unwrap().to_owned()));
        let policy = "path \"donjon/data/site1/keystone_database_password\" { capabilities = [\"read\"] }";
        post("sys/policies/acl/donjon-reader-old", json!({"policy": policy})).await;
        post("auth/approle/role/donjon-reader-old", json!({"token_policies": "donjon-reader-old"})).await;
        let id: Value = vault
            .call(Call::new(Method::Get, "auth/approle/role/donjon-reader-old/role-id"))
            .await
            .unwrap()
            .parse()
            .unwrap();
        let secret = post("auth/approle/role/donjon-reader-old/secret-id", json!({})).await;
        let login = json!({"role_id": id["data"]["role_id"], "secret_id": secret["data"]["secret_id"]});
        let token = post("auth/approle/login", login.clone()).await;
        Self {
            login: Material::from(login.to_string()),
            token: Material::from(token["auth"]["client_token"].as_str().unwrap().to_owned()),
            share: shares::of_host(&place, 0).unwrap(),
            barrier: barrier(&vault).await,
        }
    }

    /// Whether the token reads, and whether the login is one, at a server.
    async fn works(&self, connection: &Connection) -> (bool, bool) {
        let read = Call::new(Method::Get, "donjon/data/site1/keystone_database_password");
        let answered = |answer: Result<_, CallError>| match answer {
            Ok(_) => true,
            Err(CallError::Refused { reason: Reason::Denied | Reason::BadRequest, .. }) => false,
            Err(error) => panic!("neither yes nor no: {error:?}"),
        };
        let read = connection.call_with(&self.token, read).await.map(drop);
        let login = connection.call(Call::post("auth/approle/login", self.login.duplicate())).await.map(drop);
        (answered(read), answered(login))
    }
}

/// The number of the key that a server writes its storage with.
async fn barrier(connection: &Connection) -> u64 {
    let answer = connection.call(Call::new(Method::Get, "sys/key-status")).await.unwrap();
    answer.parse::<Value>().unwrap()["data"]["term"].as_u64().unwrap()
}

#[tokio::test]
async fn the_database_goes_into_a_cluster_and_what_opened_it_opens_nothing_there() {
    let mut place = Overcloud::empty(&[]);
    let kept = Kept::from(&place.donjon).await;
    let planned = place.carry(&["--plan"]).ok();
    assert!(
        planned.contains("empty") && planned.contains("to do") && planned.contains("nothing was changed"),
        "{planned}"
    );
    place.donjon.run(&["generate", "cinder_database_password"]).ok();

    // The control: just before it is revoked, all that was kept works in the cluster.
    place.donjon.kill_daemon();
    place.donjon.set("FAILPOINTS", "snapshot.rekeyed=return");
    place.donjon.up();
    place.donjon.unset("FAILPOINTS");
    let (victim, began) = (place.donjon.daemon().unwrap(), Instant::now());
    let killed = place.export(&[]).failed(6);
    assert!(killed.contains("the daemon did not answer to the end"), "{killed}");
    println!("restored, joined and re-keyed after {} ms", began.elapsed().as_millis());
    wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
    for node in 0..3 {
        assert_eq!(kept.works(&place.cluster.connection(node)).await, (true, true), "node {node}");
    }
    place.donjon.up();
    assert!(place.carry(&["--plan"]).ok().contains("open"), "it says how far it is");
    let fenced = place.donjon.run_with_input(&["put", "keystone_database_password"], b"stray").failed(5);
    assert!(fenced.contains("on its way to a cluster, by snapshot"), "{fenced}");

    let done = place.export(&["--output", "json"]).json();
    assert_eq!((&done["snapshot"]["threshold"], &done["snapshot"]["shares"]), (&json!(2), &json!(3)));
    for node in 0..3 {
        assert_eq!(kept.works(&place.cluster.connection(node)).await, (false, false), "node {node}");
        assert_eq!(place.service(node, "out/keystone"), URL, "node {node}");
        let audit = std::fs::read_to_string(place.cluster.audit_file(node)).unwrap_or_default();
        assert!(audit.contains("auth/approle/login"), "node {node} has written down who logged in there");
    }
    assert!(!place.donjon.home().join("overcloud/snapshot.donjon").exists(), "the file is destroyed");
    let again = place.export(&[]).ok();
    assert!(again.contains("in the cluster already"), "{again}");
    let refused = place.donjon.run(&["rotate", "apply", "keystone_database_password"]).failed(5);
    assert!(refused.contains("the authority is at"), "{refused}");

    // The broker of the overcloud goes on: it signs with a key that comes from the old one, and holds nothing pending.
    place.cluster.use_root(place.token());
    let leader = place.cluster.leader().await;
    assert_eq!(barrier(&place.cluster.connection(leader)).await, kept.barrier + 1, "the barrier key is another one");
    let mut overcloud = Donjon::new();
    overcloud.describe(DEPLOYMENT);
    overcloud.set("BAO_ADDR", &place.cluster.url(0));
    overcloud.set("BAO_CACERT", &place.cluster.authority_file().display().to_string());
    // EXPOSE: the token of a server that lives for one test
    overcloud.set("BAO_TOKEN", place.token().expose_text().unwrap());
    overcloud.up();
    assert_eq!(overcloud.run(&["get", "keystone_database_password"]).ok(), "s3cret-4711");
    let key = place.path("key.pem").display().to_string();
    assert_eq!(
        overcloud.run(&["export", "key", "-o", &key, "--output", "json"]).json()["id"],
        done["snapshot"]["authority"]
    );
    overcloud.run_with_input(&["put", "keystone_database_password"], b"s3cret-4712").ok();
    let store = place.cluster.store(0, "donjon");
    for folder in ["pending", "journal", "ended", "handover"] {
        let held = store.list(&format!("donjon-private/site1/{folder}").parse().unwrap()).await.unwrap();
        assert!(held.is_empty(), "{folder}: {held:?}");
    }
    place.donjon.run(&["down", "--no-search"]).ok();

    // What a server that does not lead answers for a snapshot: all of it, or nothing, which is caught.
    let leader = place.cluster.leader().await;
    let standby = place.cluster.connection((leader + 1) % 3);
    let answer = standby.call(Call::new(Method::Get, "sys/storage/raft/snapshot")).await.unwrap();
    let checked = Snapshot::checked(answer.into_bytes()).map(drop);
    println!("what a standby gives for a snapshot: {checked:?}");
    assert!(matches!(checked, Ok(()) | Err(NoSnapshot::Empty)), "{checked:?}");

    old_shares_open_nothing(&mut place, &kept).await;
    a_killed_leader_is_noticed_for_an_election(&mut place).await;
}

/// Every server once: restarted, tried with the old share, opened with the new ones.
async fn old_shares_open_nothing(place: &mut Overcloud, kept: &Kept) {
    let new = [place.new_share(0), place.new_share(2)];
    for node in 0..3 {
        place.cluster.kill(node);
        place.cluster.start(node);
        let connection = place.cluster.connection(node);
        let body = |share: &Material| Material::from(json!({"key": share.expose_text().unwrap()}).to_string()); // EXPOSE: of one test
        let tried = wait::until("an answer to the old share", Duration::from_secs(60), async || {
            match connection.call(Call::post("sys/unseal", body(&kept.share))).await {
                Ok(answer) => Some(answer.parse::<Value>().unwrap()["sealed"] == false),
                Err(CallError::Refused { .. }) => Some(false),
                Err(_) => None,
            }
        });
        assert!(!tried.await, "the old share opens node {node}");
        connection.call(Call::post("sys/unseal", Material::from(r#"{"reset":true}"#.to_owned()))).await.unwrap();
        place.cluster.unseal_with(node, &new).await;
        place.cluster.leader().await;
    }
    for node in 0..3 {
        wait_for("a service that starts", Duration::from_secs(60), || {
            place.service(node, "out/keystone").contains("s3cret-4712")
        });
    }
}

async fn a_killed_leader_is_noticed_for_an_election(place: &mut Overcloud) {
    let leader = place.cluster.leader().await;
    place.cluster.kill(leader);
    let (began, other) = (Instant::now(), (leader + 1) % 3);
    wait::until("a read after the leader's death", ELECTION, async || {
        let path = "site1/keystone_database_password".parse().unwrap();
        place.cluster.store(other, "donjon").read(&path, Which::Latest).await.ok()
    })
    .await;
    println!("first read {} ms after the leader was killed", began.elapsed().as_millis());
    wait_for("a service that starts", ELECTION, || place.service(other, "out/keystone").contains("s3cret-4712"));
    println!("a service starts again {} ms after the leader was killed", began.elapsed().as_millis());
}

#[tokio::test]
async fn killed_anywhere_it_is_ended_by_the_same_command() {
    let files = tempfile::tempdir().unwrap();
    let (one, two) = (Person::new(&files, "one"), Person::new(&files, "two"));
    let mut place = Overcloud::empty(&["--custodian", &one.key(), "--custodian", &two.key(), "--threshold", "2"]);
    let identities = ["-i", &one.path, "-i", &two.path];
    let open = |place: &Overcloud| {
        place.donjon.run(&["up"]);
        place.donjon.run(&[&["unseal"][..], &identities].concat()).ok();
    };
    let few = place.export(&["-i", &one.path]).failed(3);
    assert!(few.contains("1 of 2 unseal shares"), "{few}");
    for point in POINTS {
        place.donjon.kill_daemon();
        place.donjon.set("FAILPOINTS", &format!("{point}=return"));
        open(&place);
        place.donjon.unset("FAILPOINTS");
        let victim = place.donjon.daemon().expect("it runs");
        let killed = place.export(&identities);
        assert_eq!(killed.code, 6, "{point}: {killed:#?}");
        wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
        open(&place);
        if *point == "snapshot.arrived" {
            let refused = place.donjon.run(&["export", "cancel"]).failed(5);
            assert!(refused.contains("the authority is in the cluster already"), "{refused}");
        }
    }
    let ended = place.export(&identities).ok();
    assert!(ended.contains("in the cluster already"), "{ended}");
    place.cluster.use_root(place.token());
    for node in 0..3 {
        assert_eq!(place.service(node, "out/keystone"), URL, "node {node}");
    }
    place.donjon.run(&["down", "--no-search"]).ok();
}

#[tokio::test]
async fn servers_of_others_and_other_storage_are_left_as_they_are() {
    let mut place = Overcloud::empty(&[]);
    // Every server is looked at before anything is fenced.
    place.cluster.kill(2);
    let refused = place.export(&[]).failed(6);
    assert!(refused.contains("state: nothing was changed"), "{refused}");
    place.donjon.run_with_input(&["put", "keystone_database_password"], b"s3cret-4711").ok();
    let status = || place.donjon.run(&["status"]).ok();
    assert!(!status().contains("the authority"), "{}", status());
    place.cluster.start(2);
    wait_for("three servers that answer", Duration::from_secs(60), || place.carry(&["--plan"]).code == 0);
    let first = place.cluster.connection(0);
    wait::until("a server that is initialised", Duration::from_secs(30), async || {
        let one = r#"{"secret_shares":1,"secret_threshold":1}"#.to_owned();
        first.call(Call::post("sys/init", Material::from(one))).await.ok()
    })
    .await;
    let refused = place.export(&[]).failed(5);
    assert!(refused.contains("was initialised by somebody else") && refused.contains("empty its storage"), "{refused}");
    assert!(
        place.donjon.run(&["status"]).ok().contains("warning: the authority is on its way to a cluster, by snapshot")
    );
    let sealed = place.donjon.home().join("overcloud/snapshot.donjon");
    assert!(std::fs::read(&sealed).unwrap().starts_with(b"donjon-snapshot/1\n"));
    let bad = place.export(&["--recipient", "ssh-ed25519 AAAA"]).failed(2);
    assert!(bad.contains("an SSH key"), "{bad}");
    // Nothing has taken it in, so it is taken back, by a command that needs no cluster.
    place.cluster.kill(0);
    place.donjon.run_with_input(&["put", "keystone_database_password"], b"fenced").failed(5);
    let back = place.donjon.run(&["export", "cancel"]).ok();
    assert!(back.contains("this store rotates and signs again") && back.contains("destroy every copy"), "{back}");
    assert!(!sealed.exists() && !status().contains("the authority"), "{}", status());
    place.donjon.run_with_input(&["put", "keystone_database_password"], b"s3cret-4712").ok();
    assert!(place.donjon.run(&["export", "cancel"]).ok().contains("nothing of it is on its way"));
    // A file that nothing takes over from fences nothing.
    let file = place.path("vault.snapshot").display().to_string();
    assert!(place.donjon.run(&["export", "snapshot", "--file", &file]).failed(2).contains("--address"));
    place.donjon.run_with_input(&["put", "keystone_database_password"], b"s3cret-4713").ok();
}

/// OpenBao: a server that leads removes the devices that its own configuration does not name, so each is asked for its own.
#[tokio::test]
async fn a_server_without_an_audit_device_of_its_own_is_named() {
    let mut place = Overcloud::empty(&[]);
    place.cluster.audited(2, false);
    wait_for("three servers that answer", Duration::from_secs(60), || place.carry(&["--plan"]).code == 0);
    let refused = place.export(&[]).failed(2);
    let named = |node: usize| refused.contains(&format!("configuration of {}", place.cluster.url(node)));
    assert!(named(2) && !named(0) && !named(1), "{refused}");
    assert!(refused.contains("nothing is rotated or signed here"), "{refused}");
    // It is given one. The new custodians open it, as it says.
    place.cluster.audited(2, true);
    let shares = [0, 1].map(|number| {
        let kept = place.donjon.home().join(format!("overcloud/shares/{}.age", number + 1));
        Material::new(age::decrypt(&place.people[number].identity, &std::fs::read(kept).unwrap()).unwrap())
    });
    place.cluster.unseal_with(2, &shares).await;
    place.export(&[]).ok();
    assert_eq!(place.service(2, "out/keystone"), URL);
    place.donjon.run(&["down", "--no-search"]).ok();
}

/// What destroying a login answers: the first time, once it is gone, and to one who may not.
#[tokio::test]
async fn a_server_says_that_a_login_is_gone_in_other_words_than_that_it_may_not_be_destroyed() {
    let server = OpenBao::start().await;
    let call = async |path: &str, body: Value| {
        server.connection().call(Call::post(path, Material::from(body.to_string()))).await
    };
    call("sys/auth/approle", json!({"type": "approle"})).await.unwrap();
    call("auth/approle/role/some", json!({})).await.unwrap();
    let made: Value = call("auth/approle/role/some/secret-id", json!({})).await.unwrap().parse().unwrap();
    let (destroy, accessor) = (
        "auth/approle/role/some/secret-id-accessor/destroy",
        json!({"secret_id_accessor": made["data"]["secret_id_accessor"]}),
    );
    let token: Value = call("auth/token/create", json!({"policies": ["default"]})).await.unwrap().parse().unwrap();
    let token = Material::from(token["auth"]["client_token"].as_str().unwrap().to_owned());
    let body = Material::from(accessor.to_string());
    let denied = server.connection().call_with(&token, Call::post(destroy, body)).await.unwrap_err();
    assert_eq!(denied.reason(), Some(Reason::Denied), "{denied:?}");
    call(destroy, accessor.clone()).await.unwrap();
    let gone = call(destroy, accessor).await.unwrap_err();
    assert_eq!(gone.reason(), Some(Reason::NoAccessor), "{gone:?}");
}

/// A broker on what was carried of a temporary Vault before its end: the mark there is that of its source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_carried_is_made_no_authority_by_taking_it_back() {
    let (server, folder, mut donjon) = (OpenBao::start().await, tempfile::tempdir().unwrap(), Donjon::new());
    existing::uses(&mut donjon, &server, &folder);
    donjon.describe(DEPLOYMENT);
    donjon.up();
    let store = Vault::new(server.connection(), "kv".parse().unwrap());
    let mark = r#"{"format":1,"authority":"moving","to":"a cluster, by snapshot","at":1}"#.to_owned();
    let mark = Document::from_json(Material::from(mark)).unwrap();
    store.write(&"donjon-private/site1/authority".parse().unwrap(), &mark, Expected::Absent).await.unwrap();
    let put = || donjon.run_with_input(&["put", "keystone_database_password"], b"stray");
    assert!(put().failed(5).contains("what was carried of it is no authority"), "{}", put().err);
    let refused = donjon.run(&["export", "cancel"]).failed(5);
    assert!(refused.contains("may be what was carried of one") && refused.contains("nothing was changed"), "{refused}");
    put().failed(5);
    donjon.run(&["export", "cancel", "--lost"]).ok();
    put().ok();
}

#[tokio::test]
async fn a_daemon_that_is_killed_while_it_takes_a_snapshot_leaves_no_device_that_keeps_nothing() {
    let mut place = Overcloud::empty(&[]);
    place.donjon.kill_daemon();
    place.donjon.set("FAILPOINTS", "handover.device-there=return");
    place.donjon.up();
    place.donjon.unset("FAILPOINTS");
    let victim = place.donjon.daemon().expect("it runs");
    assert_eq!(place.export(&[]).code, 6);
    wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
    let configuration = place.donjon.home().join("vault/server.json");
    let has_device = || std::fs::read_to_string(&configuration).unwrap().contains("discard");
    assert!(has_device(), "the control");
    place.donjon.up();
    assert!(!has_device(), "a server that was found is told that it has none");
    place.export(&[]).ok();
    assert!(!has_device());
}
