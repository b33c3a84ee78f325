//! Every other way to rotate than MySQL root's, on real servers: several secrets as one, twins, two values by hash, a
//! switch, a shared secret, and a value that is known to others.

use donjon_tests::{donjon::Donjon, keystone::Keystone, mariadb::MariaDb, rabbitmq::RabbitMq, redis::Redis};
use std::{collections::BTreeMap, path::Path};
use tempfile::TempDir;

const ROOT: &str = "the-first-root-password-4711";
const OLD: &str = "an-old-service-password-0815";

/// A service that counts its restarts, and whose check is an operator's word that it logs in by itself.
fn counted(name: &str, folder: &Path, order: u32, uses: &str) -> String {
    let restart = format!("echo {name} >> {0}/restarts; date +%s%6N > {0}/{name}.started", folder.display());
    format!(
        "  {name}:\n    driver: command\n    order: {order}\n    restart: [sh, -c, {restart:?}]\n    started: [cat, {}/{name}.started]\n    settle: 20\n    proof: check\n    check: ['true']\n    uses: [{uses}]\n",
        folder.display()
    )
}

fn restarts(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("restarts")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn mariadb(server: &MariaDb) -> String {
    format!(
        "  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}\n",
        server.port,
        server.socket().display()
    )
}

async fn site(server: &MariaDb, more: &str) -> (Donjon, TempDir) {
    server.account("root", "localhost", ROOT).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let donjon = Donjon::new();
    donjon.describe(&format!("deployment: site1\ntargets:\n{}{more}", mariadb(server)));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], ROOT.as_bytes()).ok();
    (donjon, folder)
}

fn ended(donjon: &Donjon, words: &[&str], state: &str) {
    let applied = donjon.run(&[words, &["--output", "json"]].concat()).json();
    assert_eq!(applied["rotations"][0]["state"], state, "{applied}");
    donjon.run(&["rotate", "status"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_secrets_rotate_as_one_and_their_consumer_restarts_once() {
    let server = MariaDb::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let service = counted("api", folder.path(), 1, "nova_database_password, nova_api_database_password");
    let (donjon, _own) = site(&server, &format!("services:\n{service}")).await;
    for user in ["nova", "nova_api"] {
        server.account(user, "%", OLD).await;
        donjon.run_with_input(&["put", &format!("{user}_database_password")], OLD.as_bytes()).ok();
    }
    ended(&donjon, &["rotate", "apply", "nova_database_password", "nova_api_database_password"], "retired");
    assert_eq!(restarts(folder.path()), ["api"]);
    for user in ["nova", "nova_api"] {
        let new = donjon.run(&["get", &format!("{user}_database_password")]).ok();
        assert!(server.logs_in(user, &new).await && !server.logs_in(user, OLD).await, "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_later_rotation_is_found_before_the_first_begins() {
    let server = MariaDb::start().await;
    let (donjon, _own) = site(&server, "  rabbit: {driver: rabbitmq, nodes: [{name: mq1, address: 127.0.0.1, port: 1, management_port: 1}]}\ncatalogue: tripleo\n").await;
    donjon.run_with_input(&["put", "MysqlRootPassword"], ROOT.as_bytes()).ok();
    donjon.run_with_input(&["put", "RpcPassword"], OLD.as_bytes()).ok();
    let refused = donjon.run(&["rotate", "apply", "MysqlRootPassword", "RpcPassword"]).failed(2);
    assert!(refused.contains("who changes accounts on `rabbit`?"), "{refused}");
    assert_eq!(donjon.run(&["get", "MysqlRootPassword"]).ok(), ROOT, "nothing has begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compromised_is_removed_first_and_its_sessions_end() {
    let server = MariaDb::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let service = counted("api", folder.path(), 1, "nova_database_password");
    let (donjon, _own) = site(&server, &format!("services:\n{service}")).await;
    server.account("nova", "%", OLD).await;
    donjon.run_with_input(&["put", "nova_database_password"], OLD.as_bytes()).ok();
    let thief = server.session("nova", OLD).await;
    let words = ["rotate", "apply", "nova_database_password", "--compromised"];
    donjon.run(&words).failed(8);
    ended(&donjon, &[&words[..], &["--accept-outage"]].concat(), "settled");
    let new = donjon.run(&["get", "nova_database_password"]).ok();
    assert!(server.logs_in("nova", &new).await && !server.logs_in("nova", OLD).await);
    assert!(!thief.is_open().await, "a session that was opened with the old value has ended");
    assert_eq!(restarts(folder.path()), ["api"]);
}

/// While it waits for a person, a deployer's own run sets what its files have.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_compromised_does_not_come_back_while_a_consumer_fails() {
    let server = MariaDb::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let well = folder.path().join("well");
    let check = format!("check: [test, -e, {}]", well.display());
    let service = counted("api", folder.path(), 1, "nova_database_password")
        .replace("check: ['true']", &check)
        .replace("settle: 20", "settle: 1");
    let (donjon, _own) = site(&server, &format!("services:\n{service}")).await;
    server.account("nova", "%", OLD).await;
    donjon.run_with_input(&["put", "nova_database_password"], OLD.as_bytes()).ok();
    donjon.run(&["rotate", "apply", "nova_database_password", "--compromised", "--accept-outage"]).failed(1);
    assert!(!server.logs_in("nova", OLD).await);

    server.account("nova", "%", OLD).await;
    let thief = server.session("nova", OLD).await;
    let resumed = donjon.run(&["rotate", "resume"]).failed(1);
    assert!(resumed.contains("set an old value again"), "{resumed}");
    let new = donjon.run(&["get", "nova_database_password"]).ok();
    assert!(
        server.logs_in("nova", &new).await && !server.logs_in("nova", OLD).await,
        "though the consumer fails still"
    );
    assert!(!thief.is_open().await, "a session that was opened meanwhile has ended");

    donjon_drivers::fs::replace(&well, b"").expect("it can be written");
    ended(&donjon, &["rotate", "resume"], "settled");
    assert!(server.logs_in("nova", &new).await && !server.logs_in("nova", OLD).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_secret_restarts_its_readers_in_order_with_its_hook_and_needs_a_word() {
    let server = MariaDb::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // What has to happen beside restarts, such as flushing memcached, is a service that is a command.
    let services: String = [("flush", 3), ("web", 2), ("api", 1)]
        .iter()
        .map(|(name, order)| counted(name, folder.path(), *order, "memcache_secret_key"))
        .collect();
    let (donjon, _own) = site(&server, &format!("services:\n{services}")).await;
    donjon.run_with_input(&["put", "memcache_secret_key"], OLD.as_bytes()).ok();
    let refused = donjon.run(&["rotate", "apply", "memcache_secret_key"]).failed(8);
    assert!(refused.contains("--accept-outage"), "{refused}");
    assert!(restarts(folder.path()).is_empty());
    ended(&donjon, &["rotate", "apply", "memcache_secret_key", "--accept-outage"], "settled");
    assert_eq!(restarts(folder.path()), ["api", "web", "flush"]);
    assert_ne!(donjon.run(&["get", "memcache_secret_key"]).ok(), OLD);
    assert_eq!(donjon.run(&["get", "memcache_secret_key", "--version", "previous"]).ok(), OLD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rabbitmq_user_gets_a_twin_and_its_view_the_name() {
    let (server, rabbit) = (MariaDb::start().await, RabbitMq::start_managed());
    let member = rabbit.member("mq1");
    rabbit.user("openstack", OLD).await;
    let more = format!(
        "  rabbit: {{driver: rabbitmq, nodes: [{{name: mq1, address: 127.0.0.1, port: {}, management_port: {}}}]}}\nviews:\n  transport_url: 'rabbit://{{rabbitmq_password:user:openstack}}:{{rabbitmq_password:url}}@127.0.0.1:{}//'\n",
        member.port, member.management_port, member.port
    );
    let (donjon, _own) = site(&server, &more).await;
    donjon.run_with_input(&["put", "rabbitmq_password"], OLD.as_bytes()).ok();
    for (user, gone) in [("openstack_b", "openstack"), ("openstack", "openstack_b")] {
        ended(&donjon, &["rotate", "apply", "rabbitmq_password"], "retired");
        let new = donjon.run(&["get", "rabbitmq_password"]).ok();
        assert_eq!(
            donjon.run(&["get", "transport_url"]).ok(),
            format!("rabbit://{user}:{new}@127.0.0.1:{}//", member.port)
        );
        drop(rabbit.session(user, &new));
        // A value that a person gives is one of the user that there is now.
        let given = format!("{OLD}-given-for-{user}");
        rabbit.user(user, &given).await;
        donjon.run_with_input(&["put", "rabbitmq_password"], given.as_bytes()).ok();
        assert_eq!(
            donjon.run(&["get", "transport_url"]).ok(),
            format!("rabbit://{user}:{given}@127.0.0.1:{}//", member.port)
        );
        let users = rabbit.api("GET", "users", None).await.to_string();
        assert!(users.contains(&format!("\"{user}\"")) && !users.contains(&format!("\"{gone}\"")), "{users}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_accepts_both_until_its_reader_has_restarted() {
    let (server, redis) = (MariaDb::start().await, Redis::start(&[&format!("user default on >{OLD} ~* &* +@all")]));
    let member = redis.member("kv1");
    let more =
        format!("  redis: {{driver: redis, nodes: [{{name: kv1, address: 127.0.0.1, port: {}}}]}}\n", member.port);
    let (donjon, _own) = site(&server, &more).await;
    donjon.run_with_input(&["put", "valkey_master_password"], OLD.as_bytes()).ok();
    ended(&donjon, &["rotate", "apply", "valkey_master_password"], "retired");
    let new = donjon.run(&["get", "valkey_master_password"]).ok();
    assert_eq!(redis.say("default", &new, &["PING"]), "PONG");
    assert_ne!(redis.say("default", OLD, &["PING"]), "PONG");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystone_user_is_switched_or_gets_a_twin_as_the_site_says() {
    let server = MariaDb::start().await;
    let keystone = Keystone::start(&server).await;
    keystone.user("nova", OLD).await;
    let target = format!(
        "  keystone: {{driver: keystone, nodes: [{{name: ks1, auth_url: {:?}}}]}}\n",
        keystone.instances[0].url()
    );
    let (donjon, _own) = site(&server, &target).await;
    donjon.run_with_input(&["put", "nova_keystone_password"], OLD.as_bytes()).ok();
    donjon.run_with_input(&["put", "keystone_admin_password"], donjon_tests::keystone::ADMIN_VALUE.as_bytes()).ok();
    let token = keystone.token(0, "nova", OLD).await.expect("the old value works");
    let words = ["rotate", "apply", "nova_keystone_password"];
    donjon.run(&words).failed(8);
    ended(&donjon, &[&words[..], &["--accept-outage"]].concat(), "settled");
    let new = donjon.run(&["get", "nova_keystone_password"]).ok();
    assert!(keystone.token(0, "nova", &new).await.is_ok() && keystone.token(0, "nova", OLD).await.is_err());
    assert!(!keystone.accepts(0, &token).await, "a cutover ends the user's tokens");

    donjon.describe(&format!(
        "deployment: site1\ntargets:\n{}{target}strategies: {{nova_keystone_password: dual-user}}\n",
        mariadb(&server)
    ));
    ended(&donjon, &words, "retired");
    let twin = donjon.run(&["get", "nova_keystone_password"]).ok();
    assert!(keystone.token(0, "nova_b", &twin).await.is_ok() && keystone.token(0, "nova", &new).await.is_err());
}

/// The keys that lie in a folder, by index.
fn keys(folder: &Path) -> BTreeMap<u32, String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read"));
    entries
        .map(|entry| {
            let index = entry.file_name().to_string_lossy().parse().expect("a number");
            (index, std::fs::read_to_string(entry.path()).expect("it can be read"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fernet_keys_are_on_every_node_before_one_signs_with_them_and_go_when_nothing_is_left_of_them() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder can be made"));
    let nodes: Vec<String> = folders
        .iter()
        .enumerate()
        .map(|(at, folder)| format!("{{name: ctl{at}, path: {}}}", folder.path().display()))
        .collect();
    let describe = |donjon: &Donjon, life: u32| {
        donjon.describe(&format!(
            "deployment: site1\ncatalogue: tripleo\nkeyrings:\n  KeystoneFernetKeys: {{driver: repository, life: {life}, most: 3, nodes: [{}]}}\n",
            nodes.join(", ")
        ));
    };
    let mut donjon = Donjon::new();
    describe(&donjon, 0);
    donjon.up();
    donjon.run(&["generate", "KeystoneFernetKeys"]).ok();
    let stored: BTreeMap<u32, String> =
        serde_json::from_str(&donjon.run(&["get", "KeystoneFernetKeys"]).ok()).expect("a repository");
    for folder in &folders {
        for (index, key) in &stored {
            donjon_drivers::fs::replace(&folder.path().join(index.to_string()), key.as_bytes()).expect("it is ours");
        }
    }

    ended(&donjon, &["rotate", "apply", "KeystoneFernetKeys"], "retired");
    for folder in &folders {
        let now = keys(folder.path());
        assert_eq!(now.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(
            (&now[&1], &now[&2]),
            (&stored[&1], &stored[&0]),
            "the staged key signs now, and the old one is there"
        );
    }

    // Killed once every node has the key, and once each signs with it: it goes on, and nobody can go back any more.
    for point in ["rotation.keys-added", "rotation.keys-promoted"] {
        donjon.kill_daemon();
        donjon.set("FAILPOINTS", &format!("{point}=return"));
        donjon.up();
        donjon.unset("FAILPOINTS");
        assert_ne!(donjon.run(&["rotate", "apply", "KeystoneFernetKeys"]).code, 0, "{point}");
        donjon.up();
        let status = donjon.run(&["status"]).ok();
        assert!(status.contains("the rotation of `KeystoneFernetKeys` has not ended"), "{status}");
        if point == "rotation.keys-promoted" {
            donjon.run(&["rotate", "abort"]).failed(5);
        }
        donjon.run(&["rotate", "resume"]).ok();
        let stored = donjon.run(&["get", "KeystoneFernetKeys"]).ok();
        let stored: BTreeMap<u32, String> = serde_json::from_str(&stored).expect("a repository");
        assert!(folders.iter().all(|folder| keys(folder.path()) == stored), "{point}");
    }

    // What the oldest signed may still be alive, so it waits.
    describe(&donjon, 1_000_000);
    let waits = donjon.run(&["rotate", "apply", "KeystoneFernetKeys"]).failed(13);
    assert!(waits.contains("lives for"), "{waits}");
    donjon.run(&["rotate", "status"]).failed(13);
    describe(&donjon, 0);
    donjon.run(&["rotate", "resume"]).ok();
    assert_eq!(keys(folders[0].path()), keys(folders[1].path()));
}

/// And whoever cannot be reached keeps nobody else from going back.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_hangs_takes_everybody_back() {
    let server = MariaDb::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let at = folder.path().display();
    let restart = format!(
        "test -e {at}/hung || {{ touch {at}/hung; rm {at}/far; exec sleep 60; }}; echo api >> {at}/restarts; date +%s%6N > {at}/started"
    );
    let services = format!(
        "services:\n\
         \u{20} api: {{driver: command, order: 1, restart: [sh, -c, {restart:?}], started: [cat, {at}/started], restart_timeout: 1, \
         settle: 20, proof: check, check: ['true'], uses: [database_password]}}\n\
         \u{20} far: {{driver: command, restart: ['true'], started: [{at}/far], order: 2, uses: [database_password]}}\n"
    );
    // It can be asked before anything changes, and not afterwards.
    std::os::unix::fs::symlink("/usr/bin/true", folder.path().join("far")).expect("it can be made");
    let (donjon, _own) = site(&server, &services).await;
    let stopped = donjon.run(&["rotate", "apply", "database_password"]).failed(6);
    assert!(stopped.contains("--leave SERVICE@HOST"), "{stopped}");
    assert_eq!(restarts(folder.path()), ["api"], "it went back, though the other one cannot");
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), ROOT);
    assert!(server.logs_in("root", ROOT).await);
    let back = donjon.run(&["rotate", "resume", "--leave", "far@local"]).failed(1);
    assert!(back.contains("was not rotated") && back.contains("did not end within 1 s"), "{back}");
    donjon.run(&["rotate", "status"]).ok();
    assert_eq!(donjon.run(&["get", "database_password"]).ok(), ROOT);
}
