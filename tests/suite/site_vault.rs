//! A site that has a Vault of its own: a bundle goes into it, castellan and kolla read there, and the role reads no more.

use super::{
    drained::{self, two_services},
    site::{CONNECTION, DEPLOYMENT},
};
use donjon_drivers::{
    material::Material,
    store::{
        Store, StoreError, Which,
        vault::{Call, CallError, Connection, Method, Vault},
    },
};
use donjon_tests::{
    castellan::Castellan,
    donjon::{Donjon, Ran},
    openbao::OpenBao,
    process::write_program,
    tools,
};
use std::{path::PathBuf, process::Command, sync::Arc};

/// The deployment host, the Vault of the site, and the files that travel.
struct Place {
    donjon: Donjon,
    server: OpenBao,
    files: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let place = Self::of(DEPLOYMENT).await;
        place.put("keystone_database_password", "s3cret-4711");
        place.put("nova_database_password", "not-for-keystone");
        place
    }

    async fn of(deployment: &str) -> Self {
        use age::secrecy::ExposeSecret;
        let place = Self { donjon: Donjon::new(), server: OpenBao::start().await, files: tempfile::tempdir().unwrap() };
        let key = age::x25519::Identity::generate();
        place.file("node", key.to_string().expose_secret().as_bytes());
        place.file("token", place.server.root().expose()); // EXPOSE: the token of a server that lives for one test
        place.donjon.describe(&deployment.replace("RECIPIENT", &key.to_public().to_string()));
        place.donjon.up();
        place
    }

    fn put(&self, name: &str, value: &str) {
        self.donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }

    fn file(&self, name: &str, content: &[u8]) {
        donjon_drivers::fs::replace(&self.path(name), content).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    #[track_caller]
    fn export(&self, role: &str, file: &str) {
        let words = ["export", "bundle", "--site", "edge1", "--role", role, "-o", &self.text(file)];
        let ran = self.donjon.run(&words);
        assert!(ran.err.contains("records read"), "it says how far it is: {ran:#?}");
        ran.ok();
    }

    fn import(&self, file: &str, more: &[&str]) -> Ran {
        let (file, identity, token) = (self.text(file), self.text("node"), self.text("token"));
        let (url, authority) = (self.server.address().url.clone(), self.server.authority().display().to_string());
        let into =
            ["import", &file, "-i", &identity, "--address", &url, "--cacert", &authority, "--token-file", &token];
        self.donjon.run(&[&into, more].concat())
    }

    async fn holds(&self, name: &str) -> Option<serde_json::Value> {
        let store = Vault::new(self.server.connection(), "donjon".parse().unwrap());
        let read = store.read(&format!("site1/{name}").parse().unwrap(), Which::Latest).await.unwrap();
        read.map(|stored| stored.document.parse().unwrap())
    }

    /// As a consumer with the credential of a role.
    async fn log_in(&self, role: &str) -> Vault {
        let read = |name: &str| std::fs::read_to_string(self.path(&format!("approle/{role}/{name}"))).unwrap();
        let (role_id, secret_id) = (read("role-id"), read("secret-id"));
        let body = serde_json::json!({"role_id": role_id, "secret_id": secret_id}).to_string();
        let connection = Connection::open(self.server.address()).unwrap();
        #[derive(serde::Deserialize)]
        struct LoggedIn {
            auth: Auth,
        }
        #[derive(serde::Deserialize)]
        struct Auth {
            client_token: Material,
        }
        let answer = connection.call(Call::post("auth/approle/login", Material::from(body))).await.unwrap();
        connection.use_token(answer.parse::<LoggedIn>().unwrap().auth.client_token);
        Vault::new(Arc::new(connection), "donjon".parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_goes_into_the_vault_of_a_site_and_its_role_reads_it_and_no_more() {
    let place = Place::new().await;
    place.export("keystone", "one.donjon");
    let planned = place.import("one.donjon", &["--plan"]).ok();
    for word in ["site1/keystone.database.connection", "donjon-reader-keystone", "create", "nothing was changed"] {
        assert!(planned.contains(word), "{word}: {planned}");
    }
    assert!(!planned.contains("s3cret"), "{planned}");
    let mounts = place.server.connection().call(Call::new(Method::Get, "sys/internal/ui/mounts/donjon")).await;
    assert!(matches!(mounts, Err(CallError::Refused { .. })), "nothing was made: {mounts:?}");

    let approle = place.text("approle");
    let done = place.import("one.donjon", &["--credentials", &approle, "--output", "json"]).json();
    assert_eq!(done["imported"]["trust"], "first");
    assert_eq!(place.holds("keystone_database_password").await.unwrap()["password"], "s3cret-4711");
    assert_eq!(place.holds("nova_database_password").await, None, "what the role does not read is not there");

    // castellan and kolla's own program, unchanged.
    let (url, authority) = (place.server.address().url.clone(), Some(place.server.authority()));
    let service = Castellan { url: url.clone(), authority, approle: place.path("approle/keystone") };
    assert_eq!(service.connection(place.files.path()), CONNECTION);
    place.file("passwords.yml", b"keystone_database_password:\n");
    let mut readpwd = Command::new(tools::program("kolla-readpwd"));
    readpwd.arg("-p").arg(place.path("passwords.yml")).args(["-kv", "donjon", "-kvp", "site1", "-v", &url, "-t"]);
    // EXPOSE: the token of a server that lives for one test
    readpwd.arg(place.server.root().expose_text().unwrap()).arg("-c").arg(place.server.authority());
    let output = readpwd.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = std::fs::read_to_string(place.path("passwords.yml")).unwrap();
    assert_eq!(read.trim(), "keystone_database_password: s3cret-4711");

    // The receipt counts, and a role of another bundle reads its own alone.
    let receipt = place.donjon.run(&["receipt", &place.text("one.donjon.receipt"), "--output", "json"]).json();
    assert_eq!(receipt["taken"]["act"], "imported");
    assert_eq!([&receipt["taken"]["recipients"], &receipt["taken"]["imported"]], [1, 1]);
    place.export("nova", "nova.donjon");
    place.import("nova.donjon", &["--credentials", &approle]).ok();
    let (nova, keystone) = (place.log_in("nova").await, place.log_in("keystone").await);
    let (own, other) =
        ("site1/nova_database_password".parse().unwrap(), "site1/keystone_database_password".parse().unwrap());
    assert!(nova.read(&own, Which::Latest).await.unwrap().is_some(), "the control");
    assert!(keystone.read(&other, Which::Latest).await.unwrap().is_some(), "the control");
    for (reader, path) in [(&nova, &other), (&keystone, &own)] {
        let refused = reader.read(path, Which::Latest).await;
        assert!(matches!(refused, Err(StoreError::Denied { .. })), "{refused:?}");
    }

    // The next epoch, the same once more, an older one, a forged one: the store stays as it is where it is refused.
    place.put("keystone_database_password", "s3cret-4712");
    place.export("keystone", "two.donjon");
    let done = place.import("two.donjon", &["--output", "json"]).json();
    let changes: Vec<_> = done["imported"]["steps"].as_array().unwrap().iter().map(|step| &step["change"]).collect();
    assert_eq!(changes, ["replace", "replace", "keep"], "its own count of publications goes on");
    assert_eq!(done["imported"]["grants"][0]["change"], "keep");
    assert_eq!(place.holds("keystone_database_password").await.unwrap()["password"], "s3cret-4712");
    assert!(place.import("one.donjon", &[]).failed(9).contains("stale"));
    let mut altered = std::fs::read(place.path("two.donjon")).unwrap();
    *altered.last_mut().unwrap() ^= 1;
    place.file("three.donjon", &altered);
    assert!(place.import("three.donjon", &[]).failed(9).contains("damaged"));
    assert!(place.import("two.donjon", &["--site", "edge2"]).failed(9).contains("foreign"));
    assert_eq!(place.holds("keystone_database_password").await.unwrap()["password"], "s3cret-4712");
}

/// `drain` of the node beside that Vault.
fn drain(place: &Place, node: &Donjon, bundle: &str, more: &[&str]) -> Ran {
    let (bundle, identity, token) = (place.text(bundle), place.text("node"), place.text("token"));
    let (url, authority) = (place.server.address().url.clone(), place.server.authority().display().to_string());
    let words = ["drain", "-i", &identity, "--bundle", &bundle, "--address", &url, "--cacert", &authority];
    node.run(&[&words[..], &["--token-file", &token, "--output", "json"], more].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_with_its_own_vault_has_drained_when_its_services_have_logged_in_there_anew() {
    let (place, node) = (Place::of(drained::DEPLOYMENT).await, Donjon::new());
    place.put("memcache_secret_key", "shared-4711");
    let bao = tools::program("bao").display().to_string();
    let script = drained::SERVICE.replace("FOLDER", &place.files.path().display().to_string());
    let script = script.replace("node/approle", "approle").replace("PROGRAM", &bao);
    write_program(&place.path("service"), &script);
    place.file("url", place.server.address().url.as_bytes());
    place.file("ca.pem", &std::fs::read(place.server.authority()).unwrap());
    node.describe(&two_services(&place.text("service")));
    place.export("cache", "one");
    place.import("one", &["--credentials", &place.text("approle")]).ok();
    place.donjon.run(&["receipt", &place.text("one.receipt")]).ok();

    std::fs::File::create_new(place.path("web.mute")).unwrap();
    let behind = drain(&place, &node, "one", &["--restart"]).failed(13);
    let no_login = "web@local has restarted and not been seen to log in";
    assert!(behind.contains(no_login) && !behind.contains("api@"), "{behind}");
    std::fs::remove_file(place.path("web.mute")).unwrap();
    assert!(!place.path("one.drained").exists(), "nothing was signed");
    // It was restarted, and is not restarted again.
    assert!(drain(&place, &node, "one", &["--restart"]).failed(13).contains(no_login));
    assert!(Command::new(place.path("service")).args(["web", "restart"]).status().unwrap().success());
    let drained = drain(&place, &node, "one", &["--restart"]).json();
    assert_eq!(drained["consumers"].as_array().unwrap().len(), 2);
    // The same bundle once more changes nothing, and what has restarted since has restarted.
    place.import("one", &[]).ok();
    assert!(drain(&place, &node, "one", &[]).json()["receipt"].as_str().unwrap().ends_with("one.drained"));
    let taken = place.donjon.run(&["receipt", &place.text("one.drained"), "--output", "json"]).json();
    assert_eq!([&taken["taken"]["imported"], &taken["taken"]["drained"]], [1, 1]);

    // A new value waits for it, and an old receipt, an old bundle and a service that has not restarted are no answer.
    place.donjon.run(&["rotate", "apply", "memcache_secret_key", "--accept-outage"]).failed(13);
    place.export("cache", "two");
    assert!(drain(&place, &node, "two", &[]).failed(13).contains("the Vault of the site has another bundle"));
    // Nor where nobody there reads it.
    let (nobody, has_not) = (Donjon::new(), "the Vault of the site has another bundle");
    nobody.describe("deployment: site1\n");
    assert!(drain(&place, &nobody, "two", &["--no-consumers"]).failed(13).contains(has_not));
    assert!(!place.path("two.drained").exists());
    place.import("two", &[]).ok();
    place.donjon.run(&["receipt", &place.text("two.receipt")]).ok();
    assert!(place.donjon.run(&["receipt", &place.text("one.drained")]).failed(9).contains("stale"));
    assert!(drain(&place, &node, "one", &[]).failed(9).contains("stale"));
    let behind = drain(&place, &node, "two", &[]).failed(13);
    assert!(behind.contains("api@local has not restarted since the bundle is served"), "{behind}");
    place.donjon.run(&["rotate", "resume"]).failed(13);
    let missing = node.run(&["drain", "-i", &place.text("node"), "--address", "https://127.0.0.1:1"]).failed(2);
    assert!(missing.contains("--bundle FILE"), "{missing}");
    drain(&place, &node, "two", &["--restart"]).ok();
    place.donjon.run(&["receipt", &place.text("two.drained")]).ok();
    place.donjon.run(&["rotate", "resume"]).ok();
}
