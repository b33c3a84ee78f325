//! Views are as the deployment file says: made with their secrets, made anew with their templates, and nobody's to put.

use donjon_tests::{donjon::Donjon, wait::until};
use std::time::Duration;

const VIEW: &str = "keystone.database.connection";

fn deployment(host: &str, more: &str) -> String {
    format!(
        "deployment: site1\ncatalogue: kolla-ansible\nviews:\n  {VIEW}: 'mysql://keystone:{{keystone_database_password:url}}@{host}/k'\n\
         roles:\n  keystone: {{reads: [{VIEW}]}}\nsites:\n  edge1: {{roles: [keystone], recipients: []}}\n{more}"
    )
}

async fn reads(donjon: &Donjon, part: &str) {
    until(&format!("the view to have {part}"), Duration::from_secs(20), async || {
        let got = donjon.run(&["get", VIEW]);
        (got.code == 0 && got.out.contains(part)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_view_comes_with_its_secrets_and_follows_its_template() {
    let donjon = Donjon::new();
    donjon.describe(&deployment("db1", ""));
    donjon.up();
    let error = donjon.run(&["get", VIEW]).failed(4);
    assert!(error.contains("it is a view") && error.contains("`keystone_database_password`"), "{error}");
    donjon.run(&["generate"]).ok();
    let value = donjon.run(&["get", "keystone_database_password"]).ok();
    assert_eq!(donjon.run(&["get", VIEW]).ok().trim(), format!("mysql://keystone:{}@db1/k", value.trim()));

    // An export has what the file says at that moment.
    donjon.describe(&deployment("db2", ""));
    let node = age::x25519::Identity::generate();
    let file = donjon.home().join("bundle").display().to_string();
    let recipient = node.to_public().to_string();
    let export = ["export", "bundle", "--site", "edge1", "--role", "keystone", "--recipient", &recipient, "-o", &file];
    donjon.run(&export).ok();
    assert!(donjon.run(&["get", VIEW]).ok().contains("@db2/"));
    // The daemon sees a change by itself, and so does one that comes up after it.
    donjon.describe(&deployment("db3", ""));
    reads(&donjon, "@db3/").await;
    donjon.kill_daemon();
    donjon.describe(&deployment("db4", ""));
    donjon.up();
    reads(&donjon, "@db4/").await;

    let error = donjon.run_with_input(&["put", VIEW], b"something else").failed(2);
    assert!(error.contains("is a view") && error.contains("`keystone_database_password`"), "{error}");
    assert!(donjon.run(&["get", VIEW]).ok().contains("@db4/"));
    let audit = std::fs::read_to_string(donjon.home().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"assemble\""), "what the daemon does by itself has lines, too");
    donjon.run(&["audit", "verify"]).ok();
}

#[test]
fn a_deployer_run_is_not_disturbed_by_a_view() {
    let donjon = Donjon::new();
    donjon.describe(&deployment("db1", ""));
    donjon.up();
    donjon.run(&["generate"]).ok();
    let changed = deployment("db2", "");
    let script = "cat > \"$DONJON_HOME/donjon.yaml\"; sleep 2.5; donjon get keystone_database_password >/dev/null && \
                  donjon status | grep -q 'a deployer run is under way' && \
                  donjon list --output json > \"$DONJON_HOME/listed\"";
    let script = script.replace("donjon get", &format!("{} get", donjon_tests::donjon::binary().display()));
    let script = script.replace("donjon status", &format!("{} status", donjon_tests::donjon::binary().display()));
    let script = script.replace("donjon list", &format!("{} list", donjon_tests::donjon::binary().display()));
    let before = donjon.run(&["list", "--output", "json"]).json()["epoch"].clone();
    donjon.run_with_input(&["run", "--deploy", "--", "sh", "-c", &script], changed.as_bytes()).ok();
    // At its end: once it is over, the view follows.
    let listed = std::fs::read(donjon.home().join("listed")).unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed["epoch"], before, "the run was pinned to it");
}

#[test]
fn a_slip_of_the_pen_in_the_file_is_told() {
    let donjon = Donjon::new();
    donjon.describe(&deployment(
        "db1",
        "services:\n  api: {driver: command, restart: ['true'], started: ['true'], uses: [memcache_secret_kye]}\n",
    ));
    let told = "services.api.uses in donjon.yaml names `memcache_secret_kye`, which nothing has; is `memcache_secret_key` meant?";
    assert!(donjon.run(&["config", "show"]).ok().contains(told));
    donjon.up();
    donjon.run(&["generate"]).ok();
    assert!(donjon.run(&["rotate", "plan", "memcache_secret_key"]).ok().contains(told));
    let applied = donjon.run(&["rotate", "apply", "memcache_secret_key", "--accept-outage"]);
    assert!(applied.err.contains(told), "{applied:#?}");
}
