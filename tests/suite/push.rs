//! `export vault` into a real cluster of three: shown, resumed, read back, the authority moved and the old store fenced.

use super::{
    existing,
    overcloud::{DEPLOYMENT, ELECTION, Overcloud},
};
use donjon::transfer::{
    Places,
    authority::Authority,
    mark::{self, Mark},
    push::POINTS,
};
use donjon_drivers::{
    material::Material,
    store::{
        Document, Expected, Store, StoreError, Which,
        vault::{Call, Trust, Vault},
    },
};
use donjon_tests::{
    cluster::Cluster,
    donjon::{Donjon, Ran, end, runs},
    openbao::OpenBao,
    process::{Standing, wait_for},
    tools,
};
use serde_json::Value;
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// As [`DEPLOYMENT`], with a second reader.
fn deployment() -> String {
    format!("{DEPLOYMENT}  nova: {{reads: [nova_database_password]}}\n")
}

impl Overcloud {
    async fn serving() -> Self {
        let place = Self::new(&deployment(), &[], Cluster::serving().await);
        for value in ["for-nova", "for-nova-2"] {
            place.donjon.run_with_input(&["put", "nova_database_password"], value.as_bytes()).ok();
        }
        // EXPOSE: the token of a server that lives for one test
        donjon_drivers::fs::replace(&place.path("token"), place.cluster.root().expose()).unwrap();
        place
    }

    fn push(&self, node: usize, more: &[&str]) -> Ran {
        let token = self.path("token").display().to_string();
        self.run(&["export", "vault", "--token-file", &token], &[node], more)
    }

    /// What one of the standbys answers; it follows the leader a moment behind.
    async fn holds(&self, path: &str) -> Option<Value> {
        let (store, path) = (self.cluster.store(2, "donjon"), path.parse().unwrap());
        let read = donjon_tests::wait::until("the standby to follow", Duration::from_secs(60), async || {
            match store.read(&path, Which::Latest).await {
                Ok(read) => Some(read),
                Err(StoreError::Unreachable { .. }) => None,
                Err(error) => panic!("{error:?}"),
            }
        });
        read.await.map(|stored| stored.document.parse().unwrap())
    }
}

/// What kolla's own program writes back from one node of the cluster.
fn kolla(place: &Overcloud, node: usize) -> String {
    let passwords = place.path("passwords.yml");
    donjon_drivers::fs::replace(&passwords, b"nova_database_password:\n").unwrap();
    // EXPOSE: the token of a server that lives for one test
    let token = place.cluster.root().expose_text().unwrap().to_owned();
    let mut readpwd = Command::new(tools::program("kolla-readpwd"));
    readpwd.arg("-p").arg(&passwords).args(["-kv", "donjon", "-kvp", "site1", "-v", &place.cluster.url(node)]);
    let output = readpwd.args(["-t", &token, "-c"]).arg(place.cluster.authority_file()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(passwords).unwrap()
}

#[tokio::test]
async fn everything_goes_into_a_cluster_and_the_old_store_is_fenced() {
    let mut place = Overcloud::serving().await;
    let planned = place.push(0, &["--plan"]).ok();
    for word in ["site1/keystone.database.connection  create", "donjon-reader-nova", "the mount `donjon` would be made"]
    {
        assert!(planned.contains(word), "{planned}");
    }
    assert!(!planned.contains("s3cret") && planned.contains("nothing was changed"), "{planned}");
    assert!(!place.push(0, &["--plan", "--output", "json"]).json()["vault"]["moved"].as_bool().unwrap());

    let folder = place.path("approle").display().to_string();
    let pushed = place.push(1, &["--credentials", &folder, "--output", "json"]).json();
    assert_eq!(pushed["vault"]["verified"], pushed["vault"]["records"].as_array().unwrap().len());
    assert_eq!(place.holds("site1/nova_database_password").await.unwrap()["password"], "for-nova-2");
    for node in 0..3 {
        assert_eq!(
            place.service(node, "approle/keystone"),
            "mysql+pymysql://keystone:s3cret-4711@10.0.0.11/keystone",
            "node {node}"
        );
    }
    assert!(kolla(&place, 0).contains("nova_database_password: for-nova-2"), "{}", kolla(&place, 0));

    for command in [
        &["rotate", "apply", "nova_database_password"][..],
        &["generate", "cinder_database_password"],
        &["export", "bundle", "--custodians", "--recipient", "age1…", "-o", "x"],
        &["export", "key", "-o", "x"],
    ] {
        let refused = place.donjon.run(command).failed(5);
        assert!(
            refused.contains("this store is not the authority") && refused.contains("the authority is at"),
            "{refused}"
        );
    }
    place.donjon.run_with_input(&["put", "nova_database_password"], b"stray").failed(5);
    let again = place.push(2, &["--output", "json"]).json();
    assert_eq!((&again["vault"]["moved"], &again["vault"]["written"]), (&Value::Bool(true), &Value::from(0)));

    // The broker of the overcloud goes on: it signs, and its key comes from the old one.
    let mut overcloud = Donjon::new();
    overcloud.describe(&deployment());
    overcloud.set("BAO_ADDR", &place.cluster.url(0));
    overcloud.set("BAO_CACERT", &place.cluster.authority_file().display().to_string());
    // EXPOSE: the token of a server that lives for one test
    overcloud.set("BAO_TOKEN", place.cluster.root().expose_text().unwrap());
    overcloud.up();
    assert_eq!(overcloud.run(&["get", "keystone_database_password"]).ok(), "s3cret-4711");
    let key = place.path("authority.pem").display().to_string();
    let signs = overcloud.run(&["export", "key", "-o", &key, "--output", "json"]).json();
    assert_eq!(signs["id"], pushed["vault"]["authority"]);
    place.donjon.run(&["down", "--no-search"]).ok();

    // The leader dies: whoever reads through another node waits for an election and no longer.
    let leader = place.cluster.leader().await;
    place.cluster.kill(leader);
    let began = std::time::Instant::now();
    let other = (leader + 1) % 3;
    donjon_tests::wait::until("a read after the leader's death", ELECTION, async || {
        place
            .cluster
            .store(other, "donjon")
            .read(&"site1/nova_database_password".parse().unwrap(), Which::Latest)
            .await
            .ok()
    })
    .await;
    println!("first read {} ms after the leader was killed", began.elapsed().as_millis());
    // A login is a write, and castellan falls back to the default while there is no leader.
    wait_for("a service that starts", ELECTION, || place.service(other, "approle/keystone").ends_with("/keystone"));
    println!("a service starts again {} ms after the leader was killed", began.elapsed().as_millis());
}

#[tokio::test]
async fn a_push_that_was_killed_is_ended_by_the_same_command() {
    let mut place = Overcloud::serving().await;
    for point in POINTS {
        place.donjon.kill_daemon();
        place.donjon.set("FAILPOINTS", &format!("{point}=return"));
        place.donjon.up();
        place.donjon.unset("FAILPOINTS");
        let victim = place.donjon.daemon().expect("it runs");
        place.push(0, &[]).failed(6);
        wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
        place.donjon.up();
        let fenced = *point == "push.fenced" || *point == "push.arrived";
        let put = place.donjon.run_with_input(&["put", "heat_database_password"], point.as_bytes());
        assert_eq!(put.code, if fenced { 5 } else { 0 }, "{point}: {put:#?}");
    }
    let ended = place.push(1, &["--output", "json"]).json();
    assert_eq!(ended["vault"]["moved"], true);
    assert_eq!(place.holds("site1/heat_database_password").await.unwrap()["password"], "push.written");
    place.donjon.run(&["rotate", "apply", "heat_database_password"]).failed(5);
}

/// A store in a folder, and a server that is there already.
struct Single {
    donjon: Donjon,
    server: OpenBao,
    files: tempfile::TempDir,
}

impl Single {
    async fn new() -> Self {
        let (donjon, server, files) = (Donjon::new(), OpenBao::start().await, tempfile::tempdir().unwrap());
        donjon.describe(&deployment());
        donjon.run(&["up", "--store", "file"]).ok();
        donjon.run(&["generate", "heat_database_password", "keystone_ssh_key"]).ok();
        donjon.run_with_input(&["put", "nova_database_password"], b"<for> & nova").ok();
        let Trust::Only(authority) = &server.address().trust else { panic!("the server has its own authority") };
        donjon_drivers::fs::replace(&files.path().join("ca.pem"), authority).unwrap();
        Self { donjon, server, files }
    }

    /// Pushes with a daemon that is killed at a point, and starts another one.
    fn push_killed_at(&mut self, point: &str) {
        end(self.donjon.daemon().unwrap(), rustix::process::Signal::KILL);
        self.donjon.set("FAILPOINTS", &format!("{point}=return"));
        self.donjon.run(&["up", "--store", "file"]).ok();
        self.donjon.unset("FAILPOINTS");
        let victim = self.donjon.daemon().expect("it runs");
        self.run(&["export", "vault"], &self.root()).failed(6);
        wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
        self.donjon.run(&["up", "--store", "file"]).ok();
    }

    /// A command that goes to the server, with a token.
    fn run(&self, words: &[&str], token: &str) -> Ran {
        let at = |name: &str| self.files.path().join(name).display().to_string();
        donjon_drivers::fs::replace(&self.files.path().join("token"), token.as_bytes()).unwrap();
        let (url, authority, token) = (&self.server.address().url, at("ca.pem"), at("token"));
        self.donjon.run(&[words, &["--address", url, "--cacert", &authority, "--token-file", &token]].concat())
    }

    fn root(&self) -> String {
        // EXPOSE: the token of a server that lives for one test
        self.server.root().expose_text().unwrap().to_owned()
    }

    /// Another token there, which may do this.
    async fn token(&self, policy: &str) -> String {
        let post = async |path: &str, body: Value| {
            let call = Call::post(path, Material::from(body.to_string()));
            self.server.connection().call(call).await.unwrap()
        };
        post("sys/policies/acl/some", serde_json::json!({"policy": policy})).await;
        let made: Value = post("auth/token/create", serde_json::json!({"policies": ["some"]})).await.parse().unwrap();
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_folder_goes_into_a_server_that_writes_the_fields_in_another_order() {
    let single = Single::new().await;
    let pushed = single.run(&["export", "vault", "--output", "json"], &single.root()).json();
    assert_eq!(pushed["vault"]["verified"], pushed["vault"]["records"].as_array().unwrap().len());
    assert!(single.run(&["export", "vault", "--output", "json"], &single.root()).json()["vault"]["moved"] == true);
    let store = Vault::new(single.server.connection(), "donjon".parse().unwrap());
    let held = store.read(&"site1/nova_database_password".parse().unwrap(), Which::Latest).await.unwrap().unwrap();
    assert_eq!(held.document.parse::<Value>().unwrap()["password"], "<for> & nova");
}

#[tokio::test]
async fn what_cannot_be_the_same_there_leaves_the_authority_here() {
    let mut single = Single::new().await;
    // A push that came to the fence and no further, and a record there that somebody changed since.
    single.push_killed_at("push.fenced");
    single.donjon.run_with_input(&["put", "heat_database_password"], b"fenced").failed(5);
    let store = Vault::new(single.server.connection(), "donjon".parse().unwrap());
    let path = "site1/nova_database_password".parse().unwrap();
    let newest = store.versions(&path).await.unwrap().last().unwrap().version;
    let stray = Document::from_json(Material::from(r#"{"password":"stray"}"#.to_owned())).unwrap();
    store.write(&path, &stray, Expected::Newest(newest)).await.unwrap();
    let refused = single.run(&["export", "vault"], &single.root()).failed(5);
    assert!(refused.contains("this store is the authority as before"), "{refused}");
    single.donjon.run_with_input(&["put", "heat_database_password"], b"and it is").ok();
}

#[tokio::test]
async fn a_push_is_taken_back_until_it_has_arrived() {
    let mut single = Single::new().await;
    let cancel = ["export", "cancel"];
    assert!(single.donjon.run(&cancel).ok().contains("nothing of it is on its way"));
    let mut put = 0;
    let mut puts = |single: &Single| {
        put += 1;
        single.donjon.run_with_input(&["put", "heat_database_password"], format!("value-{put}").as_bytes())
    };
    // It came as far as its claim there, which alone is taken back.
    single.push_killed_at("push.claimed");
    let store = Vault::new(single.server.connection(), "donjon".parse().unwrap());
    let mark = async || -> Value {
        let path = "donjon-private/site1/authority".parse().unwrap();
        store.read(&path, Which::Latest).await.unwrap().unwrap().document.parse().unwrap()
    };
    assert_eq!(mark().await["authority"], "arriving");
    puts(&single).ok();
    single.run(&cancel, &single.root()).ok();
    assert_eq!(mark().await["authority"], "withdrawn");
    assert!(single.run(&cancel, &single.root()).ok().contains("nothing of it is on its way"));
    single.push_killed_at("push.fenced");
    let refused = puts(&single).failed(5);
    assert!(refused.contains("`donjon export cancel` takes it back"), "{refused}");
    // Whether it has arrived is asked there; what cannot be asked is not believed.
    let unknown = single.donjon.run(&cancel).failed(2);
    assert!(
        unknown.contains("whether the authority has arrived is not known") && unknown.contains("--lost"),
        "{unknown}"
    );
    let elsewhere = single.run(&[&cancel[..], &["--mount", "other"]].concat(), &single.root()).failed(4);
    assert!(
        elsewhere.contains("nothing of this deployment is in the mount `other`") && elsewhere.contains("was wiped"),
        "{elsewhere}"
    );
    // Nor is a token believed that may not look: to it there is no mount.
    for (policy, code) in [
        ("path \"secret/*\" { capabilities = [\"read\"] }", 3),
        ("path \"donjon/data/site1/*\" { capabilities = [\"read\"] }", 3),
        ("path \"other/data/*\" { capabilities = [\"read\"] }", 4),
    ] {
        let mount = if code == 4 { "other" } else { "donjon" };
        let told = single.run(&[&cancel[..], &["--mount", mount]].concat(), &single.token(policy).await).failed(code);
        assert_eq!(told.contains("--lost"), code == 4, "{policy}: {told}");
    }
    puts(&single).failed(5);
    let back = single.run(&cancel, &single.root()).ok();
    assert!(back.contains("this store rotates and signs again"), "{back}");
    puts(&single).ok();
    // The server is gone for good, as somebody says.
    single.push_killed_at("push.fenced");
    single.donjon.run(&[&cancel[..], &["--lost"]].concat()).ok();
    puts(&single).ok();
    let audit = std::fs::read_to_string(single.donjon.home().join("audit.jsonl")).unwrap();
    assert!(
        audit.lines().any(|line| line.contains("\"export\"") && line.contains("cluster_lost")),
        "it is written down"
    );
    // What is there waits for another push, and takes in what came since.
    single.push_killed_at("push.arrived");
    let arrived = single.run(&cancel, &single.root()).failed(5);
    assert!(arrived.contains("the authority is there already"), "{arrived}");
    single.run(&["export", "vault"], &single.root()).ok();
    let gone = single.donjon.run(&[&cancel[..], &["--lost"]].concat()).failed(5);
    assert!(gone.contains("the authority is at"), "{gone}");
    let held = store.read(&"site1/heat_database_password".parse().unwrap(), Which::Latest).await.unwrap().unwrap();
    assert_eq!(held.document.parse::<Value>().unwrap()["password"], "value-5");
}

/// Two brokers share a store: what one of them takes back, the other one does not carry to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_another_broker_takes_back_makes_no_second_authority() {
    let (source, server, folder) = (OpenBao::start().await, OpenBao::start().await, tempfile::tempdir().unwrap());
    let broker = || {
        let mut donjon = Donjon::new();
        existing::uses(&mut donjon, &source, &folder);
        donjon.describe(&deployment());
        donjon
    };
    let (mut first, second) = (broker(), broker());
    first.set("FAILPOINTS", "push.fenced=1*sleep(15000)");
    first.up();
    let daemon = first.daemon().unwrap();
    second.up();
    second.run_with_input(&["put", "nova_database_password"], b"before").ok();
    let files = tempfile::tempdir().unwrap();
    let there = named(&server, &files);
    let words = |what: [&'static str; 2]| what.into_iter().chain(there.iter().map(String::as_str)).collect::<Vec<_>>();
    let mut command = first.command(&words(["export", "vault"]));
    let push = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the fence", Duration::from_secs(60), || second.run(&["status"]).out.contains("on its way to"));
    // However long the other one takes.
    let standing = Standing::still(daemon);
    second.run(&words(["export", "cancel"])).ok();
    second.run_with_input(&["put", "nova_database_password"], b"after").ok();
    drop(standing);
    let late = push.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert_eq!(late.status.code(), Some(5), "{said}");
    assert!(said.contains("or has taken it back"), "{said}");
    let store = Vault::new(server.connection(), "donjon".parse().unwrap());
    let read = async |path: &str| -> Value {
        store.read(&path.parse().unwrap(), Which::Latest).await.unwrap().unwrap().document.parse().unwrap()
    };
    assert_eq!(read("donjon-private/site1/authority").await["authority"], "withdrawn");
    second.run_with_input(&["put", "nova_database_password"], b"and still").ok();
    // The same push begins anew, with what came since.
    second.run(&words(["export", "vault"])).ok();
    assert_eq!(read("donjon-private/site1/authority").await["authority"], "here");
    assert_eq!(read("site1/nova_database_password").await["password"], "and still");
    first.run_with_input(&["put", "nova_database_password"], b"fenced").failed(5);
}

/// How a server is named on the command line, with files in a folder.
pub(super) fn named(server: &OpenBao, files: &tempfile::TempDir) -> Vec<String> {
    let at = |name: &str| files.path().join(name);
    let Trust::Only(authority) = &server.address().trust else { panic!("the server has its own authority") };
    donjon_drivers::fs::replace(&at("ca.pem"), authority).unwrap();
    // EXPOSE: the token of a server that lives for one test
    donjon_drivers::fs::replace(&at("token"), server.root().expose()).unwrap();
    let (authority, token) = (at("ca.pem").display().to_string(), at("token").display().to_string());
    ["--address", &server.address().url, "--cacert", &authority, "--token-file", &token].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn a_plan_shows_what_is_there_in_part_and_what_is_another_there() {
    let mut single = Single::new().await;
    let planned = |single: &Single| {
        let told = single.run(&["export", "vault", "--plan", "--output", "json"], &single.root()).json();
        let records = told["vault"]["records"].as_array().unwrap().clone();
        let change = |name: &str| records.iter().find(|r| r["name"] == name).map(|r| r["change"].clone());
        ["heat", "nova"].map(|of| change(&format!("site1/{of}_database_password")).unwrap())
    };
    assert_eq!(planned(&single), ["create", "create"]);
    // A push that ends behind its first record; then that record goes on here, and another one is there already.
    single.push_killed_at("push.written");
    assert_eq!(planned(&single), ["keep", "create"]);
    single.donjon.run_with_input(&["put", "heat_database_password"], b"another-4711").ok();
    let store = Vault::new(single.server.connection(), "donjon".parse().unwrap());
    let stray = Document::from_json(Material::from(r#"{"password":"stray-4711"}"#.to_owned())).unwrap();
    store.write(&"site1/nova_database_password".parse().unwrap(), &stray, Expected::Absent).await.unwrap();
    assert_eq!(planned(&single), ["extend", "differs"]);
    let told = single.run(&["export", "vault", "--plan"], &single.root()).ok();
    assert!(told.contains("1 to extend") && told.contains("1 that differ") && !told.contains("4711"), "{told}");
}

#[tokio::test]
async fn a_host_has_left_a_vault_only_where_the_token_may_see_it_go() {
    let single = Single::new().await;
    let post = async |path: &str, body: &str| {
        let call = Call::post(path, Material::from(body.to_owned()));
        single.server.connection().call(call).await.unwrap();
    };
    post("sys/auth/approle", r#"{"type":"approle"}"#).await;
    post("auth/approle/role/donjon-reader-nova", "{}").await;
    post("auth/approle/role/donjon-reader-nova/secret-id", r#"{"metadata":"{\"host\":\"edge7\"}"}"#).await;
    let retire = ["retire-host", "edge7", "--output", "json"];
    // It may list what is there, and look at nothing of it.
    let lists = "path \"auth/approle/role\" { capabilities = [\"list\"] }\n\
                 path \"auth/approle/role/+/secret-id\" { capabilities = [\"list\"] }\n\
                 path \"auth/token/accessors\" { capabilities = [\"list\", \"sudo\"] }\n";
    let blind = single.token(lists).await;
    let refused = single.run(&retire, &blind).failed(3);
    assert!(refused.contains("look at a credential there"), "{refused}");
    let revoked = single.run(&retire, &single.root()).json();
    assert_eq!(revoked["revoked"]["credentials"], 1, "it was there all the time: {revoked}");
    single.run(&retire, &single.root()).failed(4);
}

#[tokio::test]
async fn other_records_there_are_left_as_they_are() {
    let place = Overcloud::serving().await;
    let connection = place.cluster.connection(0);
    let mount = r#"{"type":"kv","options":{"version":"2"}}"#.to_owned();
    connection.call(Call::post("sys/mounts/donjon", Material::from(mount))).await.unwrap();
    let other = Document::from_json(Material::from(r#"{"password":"other"}"#.to_owned())).unwrap();
    let (store, path) = (place.cluster.store(0, "donjon"), "site1/nova_database_password".parse().unwrap());
    donjon_tests::wait::until("the mount", Duration::from_secs(30), async || {
        store.write(&path, &other, Expected::Absent).await.ok()
    })
    .await;
    let refused = place.push(0, &[]).failed(5);
    assert!(refused.contains("there are other records at `site1/nova_database_password`"), "{refused}");
    assert_eq!(place.holds("site1/nova_database_password").await.unwrap()["password"], "other");
    assert_eq!(place.holds("site1/keystone_database_password").await, None, "nothing was written");
    place.donjon.run_with_input(&["put", "nova_database_password"], b"still").ok();
}

#[tokio::test]
async fn a_store_is_not_pushed_into_itself_and_one_that_was_is_let_go() {
    let (server, folder, mut donjon) = (OpenBao::start().await, tempfile::tempdir().unwrap(), Donjon::new());
    let token = existing::uses(&mut donjon, &server, &folder);
    donjon.describe(&deployment());
    donjon.up();
    let put = |value: &str| donjon.run_with_input(&["put", "nova_database_password"], value.as_bytes());
    put("first").ok();
    let at = |name: &str| folder.path().join(name).display().to_string();
    donjon_drivers::fs::replace(&folder.path().join("token"), token.as_bytes()).unwrap();
    let (url, authority, token) = (&server.address().url, at("ca.pem"), at("token"));
    let itself = ["export", "vault", "--address", url, "--cacert", &authority, "--token-file", &token, "--mount", "kv"];
    for more in [&[][..], &["--plan"]] {
        let refused = donjon.run(&[&itself[..], more].concat()).failed(2);
        assert!(refused.contains("that store is this one") && refused.contains("nothing was changed"), "{refused}");
        put("as before").ok();
    }
    // As an older donjon has left it.
    let (store, places) =
        (Vault::new(server.connection(), "kv".parse().unwrap()), Places::new("site1".parse().unwrap()));
    let places = places.unwrap();
    let from = Authority::read(&store, &places).await.unwrap().unwrap().public().id();
    let marked = mark::read(&store, &places).await.unwrap();
    let waits = Mark::Arriving { from, id: None, follows: false };
    mark::write(&store, &places, &marked, waits, 1).await.unwrap();
    put("refused").failed(5);
    let told = donjon.run(&["export", "cancel"]).ok();
    assert!(told.contains("this very store") && told.contains("rotates and signs again"), "{told}");
    put("last").ok();
}
