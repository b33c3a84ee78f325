//! What services share and what they keep with it: a cache that is flushed along, and keys of which nothing is left before
//! they go. Through `rotate apply`, on a real memcached and a real Keystone.

use donjon_tests::{donjon::Donjon, keystone::Keystone, mariadb::MariaDb, memcached::Memcached};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, os::unix::fs::MetadataExt, path::Path};

const OLD: &str = "an-old-shared-secret-0815";

#[tokio::test(flavor = "multi_thread")]
async fn memcached_is_flushed_once_every_reader_of_its_key_has_restarted() {
    let mut cache = Memcached::start();
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().display().to_string();
    // What was encrypted with the old key must not outlive it: not even what the last reader wrote before it restarted.
    let flush = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'flush_all\\r\\nquit\\r\\n' >&3 && read -r said <&3 && \
         test \"${{said%?}}\" = OK && echo flush >> {own}/restarts && date +%s%6N > {own}/flush",
        port = cache.port
    );
    let reader = |name: &str, order: u32| {
        let restart = format!(
            "echo {name} >> {own}/restarts; date +%s%6N > {own}/{name}; (exec 3<>/dev/tcp/127.0.0.1/{port} && \
             printf 'set {name} 0 0 3\\r\\nold\\r\\nquit\\r\\n' >&3); true",
            port = cache.port
        );
        service(name, order, &restart, &own)
    };
    let donjon = Donjon::new();
    donjon.describe(&format!(
        "deployment: site1\nservices:\n{}{}{}",
        service("flush", 3, &flush, &own),
        reader("api", 1),
        reader("web", 2)
    ));
    donjon.up();
    donjon.run_with_input(&["put", "memcache_secret_key"], OLD.as_bytes()).ok();
    let words = ["rotate", "apply", "memcache_secret_key", "--accept-outage"];

    // A hook that fails is a consumer that fails: everybody returns to the old value.
    cache.kill();
    donjon.run(&words).failed(1);
    assert_eq!(donjon.run(&["get", "memcache_secret_key"]).ok(), OLD);
    cache.restart();
    // The way back runs the hook as well.
    let back = donjon.run(&["rotate", "resume"]).failed(1);
    assert!(back.contains("flush@local: back on the old value") && back.contains("restored"), "{back}");
    donjon.run(&["rotate", "status"]).ok();
    std::fs::remove_file(folder.path().join("restarts")).unwrap();

    cache.set("token", "encrypted-with-the-old-key");
    assert_eq!(cache.get("token").as_deref(), Some("encrypted-with-the-old-key"), "the control");
    let applied = donjon.run(&[&words[..], &["--output", "json"]].concat()).json();
    assert_eq!(applied["rotations"][0]["state"], "settled", "{applied}");
    let restarts = std::fs::read_to_string(folder.path().join("restarts")).unwrap();
    assert_eq!(restarts.lines().collect::<Vec<_>>(), ["api", "web", "flush"]);
    assert_eq!(["token", "api", "web"].map(|name| cache.get(name)), [const { None }; 3]);
    assert_ne!(donjon.run(&["get", "memcache_secret_key"]).ok(), OLD);
}

fn service(name: &str, order: u32, restart: &str, own: &str) -> String {
    format!(
        "  {name}:\n    driver: command\n    order: {order}\n    restart: [bash, -c, {restart:?}]\n    \
         started: [cat, {own}/{name}]\n    uses: [memcache_secret_key]\n"
    )
}

/// A catalogue of one entry: no deployer has one for Keystone's credential keys as a whole.
const CATALOGUE: &str = "deployer: own
recipe: alphanumeric 32
services: {keystone: [keystone]}
sinks: {}
classes: {}
secrets:
  keystone_credential_keys:
    class: data-key
    recipe: fernet-repository 2
    credentials: [{target: keyring, strategy: keyring, phase: alone}]
    consumers: [keystone]
older: {}
";

fn keys(folder: &Path) -> BTreeMap<u32, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().to_string_lossy().parse().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keystones_credentials_are_migrated_before_a_key_of_theirs_goes() {
    let database = MariaDb::start().await;
    let keystone = Keystone::start(&database).await;
    let user = keystone.user("app", "value-1").await;
    let admin = keystone.admin(0).await;
    let blob = "canary-of-a-credential";
    let body = json!({"credential": {"type": "totp", "user_id": user, "blob": blob}});
    let (status, made) = keystone.call(0, Method::POST, "/v3/credentials", &admin, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v3/credentials/{}", made["credential"]["id"].as_str().unwrap());
    let decrypted = async || {
        let (status, content) = keystone.call(0, Method::GET, &path, &admin, None).await;
        if status == 200 { content["credential"]["blob"].as_str().unwrap().to_owned() } else { status.to_string() }
    };
    assert_eq!(decrypted().await, blob);

    let folder = keystone.instances[0].repository("credential");
    let whose = std::fs::metadata(&folder).unwrap().uid().to_string();
    let migrate =
        keystone.instances[0].manage(&["credential_migrate", "--keystone-user", &whose, "--keystone-group", &whose]);
    let donjon = Donjon::new();
    donjon_drivers::fs::replace(&donjon.home().join("catalogue.yaml"), CATALOGUE.as_bytes()).unwrap();
    let describe = |before_prune: &[String]| {
        donjon.describe(&format!(
            "deployment: site1\ncatalogue: {}\nkeyrings:\n  keystone_credential_keys: {{driver: repository, life: 0, \
             most: 3, before_prune: {before_prune:?}, nodes: [{{name: ks1, path: {}}}]}}\n",
            donjon.home().join("catalogue.yaml").display(),
            folder.display()
        ));
    };
    describe(&migrate);
    donjon.up();
    let found: Map<String, Value> = keys(&folder).into_iter().map(|(at, key)| (at.to_string(), key.into())).collect();
    donjon.run_with_input(&["put", "keystone_credential_keys"], Value::Object(found).to_string().as_bytes()).ok();
    let rotate = || donjon.run(&["rotate", "apply", "keystone_credential_keys", "--output", "json"]);

    // The key that encrypted it goes with the second rotation: it is encrypted anew before.
    let encrypting = keys(&folder).pop_last().unwrap().1;
    for round in 0..2 {
        let applied = rotate().json();
        assert_eq!(applied["rotations"][0]["state"], "retired", "{applied}");
        assert_eq!(decrypted().await, blob, "{round}");
        let stored: BTreeMap<u32, String> =
            serde_json::from_str(&donjon.run(&["get", "keystone_credential_keys"]).ok()).unwrap();
        assert_eq!(keys(&folder), stored);
    }
    assert!(!keys(&folder).values().any(|key| *key == encrypting), "it has gone");

    // Where they cannot be migrated, no key goes, and the rotation waits to be resumed.
    describe(&["false".to_owned()]);
    let before = keys(&folder);
    let failed = rotate().failed(1);
    assert!(failed.contains("no key goes"), "{failed}");
    assert!(before.values().all(|key| keys(&folder).values().any(|held| held == key)), "none went");
    assert_eq!(decrypted().await, blob);
    describe(&migrate);
    donjon.run(&["rotate", "resume"]).ok();
    assert_eq!(decrypted().await, blob);

    // The control: with a migration that does nothing it cannot be decrypted any more.
    describe(&["true".to_owned()]);
    for _ in 0..2 {
        rotate().json();
    }
    assert_eq!(decrypted().await, "500");
}
