//! A value that feeds two credentials is split while it moves in: from then on each half changes by itself, on real servers.

use super::write;
use donjon_tests::{
    donjon::Donjon,
    keystone::{ADMIN_VALUE, Keystone},
    mariadb::MariaDb,
};
use std::{fs, path::Path};

const ROOT: &str = "the-root-password-of-the-cluster-4711";
const SHARED: &str = "one-value-for-database-and-keystone-0815";

/// TripleO's catalogue, with a name of its own for what Heat's database accepts.
fn own_catalogue(donjon: &Donjon) -> String {
    let sample = |name: &str| donjon.run(&["config", "sample", "--catalogue", name]);
    assert!(sample("tripelo").failed(2).contains("`tripleo`"), "the nearest");
    let text = sample("tripleo").ok();
    let both = "HeatPassword: { class: service-user, accounts: { mariadb: [heat], keystone: [heat, heat-cfn] }, consumers: [heat] }";
    assert!(text.contains(both), "the entry that is to be split");
    let halves = "HeatPassword: { class: keystone-user, accounts: [heat], consumers: [heat] }\n  \
        HeatDatabasePassword: { class: database-user, accounts: [heat], consumers: [heat] }";
    text.replace(both, halves)
}

fn describe(donjon: &Donjon, catalogue: &str, server: &MariaDb, keystone: &Keystone) {
    donjon.describe(&format!(
        "deployment: site1\ncatalogue: {catalogue}\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: \
         127.0.0.1, port: {}, socket: {}}}]}}\n  keystone: {{driver: keystone, nodes: [{{name: ks1, auth_url: {:?}}}]}}\n",
        server.port,
        server.socket().display(),
        keystone.instances[0].url()
    ));
}

fn ended(donjon: &Donjon, words: &[&str], state: &str) {
    let applied = donjon.run(&[&["rotate", "apply", "--output", "json"], words].concat()).json();
    assert_eq!(applied["rotations"][0]["state"], state, "{applied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_halves_of_a_split_value_rotate_each_by_itself() {
    let server = MariaDb::start().await;
    let keystone = Keystone::start(&server).await;
    server.account("root", "localhost", ROOT).await;
    server.account("heat", "%", SHARED).await;
    keystone.user("heat", SHARED).await;
    let donjon = Donjon::new();
    describe(&donjon, "tripleo", &server, &keystone);
    donjon.up();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (file, catalogue) = (folder.path().join("passwords.yaml"), folder.path().join("own.yaml"));
    let path = file.display().to_string();
    let parameters = format!("MysqlRootPassword: {ROOT}\n  AdminPassword: {ADMIN_VALUE}\n  HeatPassword: {SHARED}");
    write(&file, &format!("parameter_defaults:\n  {parameters}\n"));

    // Without --split it is offered; and one value is one rotation, as long as its worse half.
    let offer = "shared: `HeatPassword` feeds 2 credentials (mariadb, keystone), which change together; split it: \
        give OTHER one of them in a catalogue of your own (donjon config sample --catalogue tripleo), then --split HeatPassword=OTHER\n";
    let said = donjon.run(&["adopt", &path]).ok();
    assert!(said.contains(offer), "{said}");
    let refused = donjon.run(&["rotate", "apply", "HeatPassword"]).failed(8);
    assert!(refused.contains("--accept-outage"), "{refused}");

    write(&catalogue, &own_catalogue(&donjon));
    describe(&donjon, &catalogue.display().to_string(), &server, &keystone);
    let words = ["adopt", &path, "--split", "HeatPassword=HeatDatabasePassword", "--replace"];
    let said = donjon.run(&words).ok();
    for absent in ["shared:", "unknown:", "refers to"] {
        assert!(!said.contains(absent), "{said}");
    }
    let next = "reused: HeatPassword, HeatDatabasePassword have one value; split them: donjon rotate apply HeatDatabasePassword\n";
    assert!(said.contains(next), "{said}");
    // Another deployer's file is not read by it.
    let kolla = folder.path().join("passwords.yml");
    write(&kolla, &format!("keystone_admin_password: {ADMIN_VALUE}-{SHARED}\nnova_database_password: {ROOT}\n"));
    let other = donjon.run(&["adopt", &kolla.display().to_string(), "--plan"]).ok();
    assert!(other.contains("nova_database_password") && !other.contains("unknown:"), "{other}");
    let references = fs::read_to_string(&file).expect("it is there");
    let both = "  HeatDatabasePassword: \"DONJON_REF_HeatDatabasePassword_END\"\n  HeatPassword: \"DONJON_REF_HeatPassword_END\"\n";
    assert!(references.contains(both), "{references}");
    assert_eq!(wired(&donjon, folder.path()), ["HeatDatabasePassword", "HeatPassword"]);

    // The database's half: no outage, and Keystone's user is not touched.
    let value = |name: &str| donjon.run(&["get", name]).ok();
    ended(&donjon, &["HeatDatabasePassword"], "retired");
    let database = value("HeatDatabasePassword");
    assert_eq!(value("HeatPassword"), SHARED);
    assert!(server.logs_in("heat", &database).await && !server.logs_in("heat", SHARED).await);
    assert!(keystone.token(0, "heat", SHARED).await.is_ok() && keystone.token(0, "heat", &database).await.is_err());
    // The other, and the database's account is not.
    ended(&donjon, &["HeatPassword", "--accept-outage"], "settled");
    let user = value("HeatPassword");
    assert_eq!(value("HeatDatabasePassword"), database);
    assert!(keystone.token(0, "heat", &user).await.is_ok() && keystone.token(0, "heat", SHARED).await.is_err());
    assert!(server.logs_in("heat", &database).await && !server.logs_in("heat", &user).await);
    for told in [&said, &references, &donjon.log()] {
        assert!([SHARED, &database, &user].iter().all(|value| !told.contains(*value)));
    }
}

/// Which secrets a config-download tree looks up, where heat has carried both references into it.
fn wired(donjon: &Donjon, folder: &Path) -> Vec<String> {
    let tree = folder.join("tree");
    fs::create_dir(&tree).expect("a folder can be made");
    let hieradata = tree.join("heat.yaml");
    write(
        &hieradata,
        "heat::db::mysql::password: DONJON_REF_HeatDatabasePassword_END\n\
         heat::keystone::authtoken::password: DONJON_REF_HeatPassword_END\n",
    );
    donjon.run(&["wire", "tripleo", &tree.display().to_string()]).ok();
    let text = fs::read_to_string(&hieradata).expect("it is there");
    text.lines().map(|line| line.split('\'').nth(3).unwrap_or(line).to_owned()).collect()
}
