//! Sentinels that ask for a password of their own: it is another secret, which the deployment file names.

use super::scene::{ADMIN, ADMIN_VALUE, account, material};
use donjon_drivers::target::{
    Admin, Pass, Target, TargetError,
    redis::{Limits, Redis as Driver, Sentinel as Described},
};
use donjon_tests::{
    donjon::Donjon,
    process::wait_for,
    redis::{Redis, Sentinel},
};
use std::time::Duration;

const OWN: &str = "what-a-sentinel-asks-for-0815";
const SECRET: &str = "valkey_sentinel_password";

/// A server that three sentinels watch, each of which is logged in there.
fn start(value: &str) -> (Redis, Vec<Sentinel>) {
    let server = Redis::start(&[&format!("requirepass {value}"), "user keeper on >keeper-value-1 ~* &* +@all"]);
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start_asking(&server, 2, value, OWN)).collect();
    linked(&server, &sentinels);
    (server, sentinels)
}

/// Waits until all are logged in, and agree with each other, for which they let each other in.
fn linked(server: &Redis, sentinels: &[Sentinel]) {
    wait_for("three sentinels at the server", Duration::from_secs(60), || {
        let clients = server.say(ADMIN, ADMIN_VALUE, &["CLIENT", "LIST"]);
        clients.lines().filter(|line| line.contains("name=sentinel-") && line.contains("-cmd ")).count() == 3
    });
    wait_for("them to agree", Duration::from_secs(60), || {
        sentinels[0].say(&["SENTINEL", "CKQUORUM", "kolla"]).starts_with("OK 3")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_asks_for_its_own_password_is_told_with_it_and_a_wrong_one_is_named() {
    let (server, sentinels) = start("current-1");
    let described = |secret: Option<&str>| -> Vec<Described> {
        let named = |one: Described| Described { secret: secret.map(|name| name.parse().unwrap()), ..one };
        sentinels.iter().zip(["s1", "s2", "s3"]).map(|(one, name)| named(one.described(name))).collect()
    };
    let target = |secret| Driver::new(vec![server.member("r1")], Limits::default()).watched_by(described(secret));
    let pass = |value: &str| Pass { secret: SECRET.parse().unwrap(), value: material(value) };
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let (wrong, other) = (pass("another-1"), Pass { secret: "elsewhere".parse().unwrap(), value: material(OWN) });
    let (passes, wrong) = ([pass("another-1"), pass(OWN)], [wrong, other]);
    let admin = |passes| Admin { user: ADMIN, values: &[], fence: None, passes };
    let user = account("default", "");

    for (target, given, told) in [
        (target(None), &passes, "asks for a password of its own (requirepass)"),
        (target(Some(SECRET)), &wrong, "refuses every value of `valkey_sentinel_password` that is stored"),
    ] {
        let admin = Admin { values: &[&keeper], ..admin(given) };
        let survey = target.survey(&admin, "default", &[&current]).await;
        let declared = target.declare(&admin, &user, &[&next, &current]).await;
        for refused in [survey.map(drop), declared] {
            assert!(
                matches!(&refused, Err(TargetError::Unable { node, what }) if node == "s1" && what.contains(told)),
                "{refused:?}"
            );
        }
    }
    // The one before is tried as well: it was changed in the store first.
    let (target, admin) = (target(Some(SECRET)), Admin { values: &[&keeper], ..admin(&passes) });
    assert_eq!(target.named(), [SECRET.parse().unwrap()]);
    assert_eq!(target.survey(&admin, "default", &[&current, &next]).await.unwrap().hazards, []);
    for values in [&[&next, &current][..], &[&next]] {
        target.declare(&admin, &user, values).await.unwrap();
    }
    for sentinel in &sentinels {
        let settings = sentinel.settings();
        assert!(settings.contains("auth-pass kolla next-1"), "{settings}");
    }
    server.say(ADMIN, ADMIN_VALUE, &["CLIENT", "KILL", "TYPE", "normal"]);
    linked(&server, &sentinels);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_password_is_a_secret_that_the_deployment_file_names() {
    const OLD: &str = "the-first-valkey-password-4711";
    let (server, sentinels) = start(OLD);
    let donjon = Donjon::verbose();
    let describe = |secret: &str| {
        let watchers: Vec<String> = sentinels
            .iter()
            .zip(["s1", "s2", "s3"])
            .map(|(one, name)| format!("{{name: {name}, address: 127.0.0.1, port: {}, secret: {secret}}}", one.port))
            .collect();
        donjon.describe(&format!(
            "deployment: site1\ntargets:\n  redis:\n    driver: redis\n    nodes: [{{name: kv1, address: 127.0.0.1, port: {}}}]\n    \
             sentinels: [{}]\n",
            server.port,
            watchers.join(", ")
        ));
    };
    describe(SECRET);
    donjon.up();
    donjon.run_with_input(&["put", "valkey_master_password"], OLD.as_bytes()).ok();
    let apply = ["rotate", "apply", "valkey_master_password"];

    let none = donjon.run(&apply).failed(4);
    assert!(none.contains(&format!("there is no secret `{SECRET}`")), "{none}");
    donjon.run_with_input(&["put", SECRET], b"another-1").ok();
    let wrong = donjon.run(&apply).failed(1);
    assert!(wrong.contains("node s1") && wrong.contains(&format!("refuses every value of `{SECRET}`")), "{wrong}");
    let told = donjon.run(&["doctor", "valkey_master_password"]);
    assert!(told.code == 10 && told.out.contains("node s1: this sentinel refuses"), "{told:?}");
    // What it would keep is not rotated as what it asks for.
    describe("valkey_master_password");
    let same = donjon.run(&apply).failed(8);
    assert!(same.contains("give that server a password of its own"), "{same}");
    describe(SECRET);
    assert_eq!(donjon.run(&["get", "valkey_master_password"]).ok(), OLD);

    donjon.run_with_input(&["put", SECRET], OWN.as_bytes()).ok();
    donjon.run(&["doctor", "valkey_master_password"]).ok();
    let rotated = donjon.run(&[&apply[..], &["--output", "json"]].concat()).json();
    assert_eq!(rotated["rotations"][0]["state"], "retired", "{rotated}");
    let new = donjon.run(&["get", "valkey_master_password"]).ok();
    assert!(sentinels.iter().all(|one| one.settings().contains(&format!("auth-pass kolla {new}"))));
    linked(&server, &sentinels);
    assert_eq!(donjon.tells(&[OWN, OLD, &new]), Vec::<std::path::PathBuf>::new());
}
