//! What servers write of a login with an old value: that it was refused, and as whom, but never the value.
//!
//! The control of each: a client that shows a value in the place of its name is found in the same log, and so would be
//! whatever else of a login a server wrote there.

use super::scene::{ADMIN, ADMIN_VALUE, account, declare, driver, material, start};
use donjon_drivers::target::{
    Admin, Login, Target, TargetError,
    keystone::{Administration, Keystone as KeystoneDriver, Limits as KeystoneLimits, Member as KeystoneMember, Scope},
    rabbitmq::{Limits as RabbitLimits, RabbitMq as RabbitDriver},
    redis::{Limits as RedisLimits, Redis as RedisDriver},
};
use donjon_tests::{
    keystone::{ADMIN as CLOUD_ADMIN, Keystone, Setup},
    mariadb::MariaDb,
    rabbitmq::RabbitMq,
    redis::Redis,
    search, wait,
};
use std::{path::Path, time::Duration};

const MISPLACED: &str = "PlaintextCanary4711";
const OLD: &str = "OldValueCanary0815";
const NEW: &str = "NewValueCanary2342";

/// Neither value is in any file of a folder, whole or in parts; nor in what is told besides.
#[track_caller]
fn holds_no_value(folder: &Path, told: &str) {
    for part in [OLD, NEW].into_iter().flat_map(|value| [value, &value[..9], &value[9..]]) {
        let found = search::holding(folder, part.as_bytes());
        assert!(found.is_empty() && !told.contains(part), "{part}: {found:?}");
    }
}

/// Waits until a log tells of something, and says how often.
async fn tells(log: &Path, what: &str, after: usize) -> usize {
    wait::until(what, Duration::from_secs(30), async || {
        let count = std::fs::read_to_string(log).unwrap_or_default().matches(what).count();
        (count > after).then_some(count)
    })
    .await
}

#[tokio::test]
async fn mariadb_writes_who_was_refused_and_never_with_what() {
    let server = start(&[]).await;
    server.account("app", "%", OLD).await;
    server.account("app", "localhost", OLD).await;
    let driver = driver(&server);
    let (node, app) = (&driver.nodes()[0], account("app", "localhost"));
    let among = [account("app", "localhost"), account("app", "%")];
    let (old, new) = (material(OLD), material(NEW));
    assert!(server.try_session(MISPLACED, "x").await.is_none());
    let logs = ["error.log", "general.log"].map(|name| server.folder().join(name));
    for log in &logs {
        tells(log, MISPLACED, 0).await;
    }

    let refused = "Access denied for user 'app'@'localhost' (using password: YES)";
    for (values, tried) in [(&[&new, &old][..], None), (&[&new], Some(&old)), (&[&old], Some(&new))] {
        declare(&driver, &app, values).await.unwrap();
        let Some(tried) = tried else { continue };
        let before = logs.each_ref().map(|log| std::fs::read_to_string(log).unwrap().matches(refused).count());
        assert_eq!(driver.login(node, &app, &among, tried).await.unwrap(), Login::Refused);
        for (log, before) in logs.iter().zip(before) {
            tells(log, refused, before).await;
        }
    }
    holds_no_value(server.folder(), "");
}

#[tokio::test]
async fn rabbitmq_writes_who_was_refused_and_never_with_what() {
    let server = RabbitMq::start_managed();
    server.user(ADMIN, ADMIN_VALUE).await;
    server.user("app", ADMIN_VALUE).await;
    assert!(server.control(&["set_log_level", "debug"]).status.success());
    let driver = RabbitDriver::new(vec![server.member("mq1")], RabbitLimits::default());
    let (keeper, old, new) = (material(ADMIN_VALUE), material(OLD), material(NEW));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let (node, app, log) = (&driver.nodes()[0], account("app", ""), server.folder().join("log"));
    let login = async |user: &str, value: &str| {
        let user = account(user, "");
        driver.login(node, &user, std::slice::from_ref(&user), &material(value)).await.unwrap()
    };
    assert_eq!(login(MISPLACED, "x").await, Login::Refused);
    tells(&log, MISPLACED, 0).await;

    driver.declare(&admin, &app, &[&old]).await.unwrap();
    driver.twin(&admin, &app, &account("app_b", ""), &new).await.unwrap();
    assert_eq!([login("app", OLD).await, login("app_b", NEW).await], [Login::Accepted, Login::Accepted]);
    let refused = "user 'app' - invalid credentials";
    assert_eq!(login("app", NEW).await, Login::Refused);
    let before = tells(&log, refused, 0).await;
    driver.remove(&admin, &app).await.unwrap();
    // As a client, and as an administrator at the API, who shows the value itself.
    assert_eq!(login("app", OLD).await, Login::Refused);
    let before = tells(&log, refused, before).await;
    let asked = driver.survey(&Admin { user: "app", values: &[&old], ..admin }, "app", &[]).await;
    assert!(matches!(asked, Err(TargetError::AdminRefused { .. })), "{asked:?}");
    tells(&log, refused, before).await;
    holds_no_value(server.folder(), "");
}

#[tokio::test]
async fn redis_writes_who_was_refused_and_never_with_what() {
    let keeper = "user keeper on >keeper-value-1 ~* &* +@all";
    let server = Redis::start(&[keeper, "user app on >current-1 ~* +@all", "loglevel debug"]);
    let driver = RedisDriver::new(vec![server.member("r1")], RedisLimits::default());
    let (keeper, old, new) = (material(ADMIN_VALUE), material(OLD), material(NEW));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let (node, app) = (&driver.nodes()[0], account("app", ""));
    let log = || server.say(ADMIN, ADMIN_VALUE, &["ACL", "LOG"]);
    let misplaced = account(MISPLACED, "");
    assert_eq!(driver.login(node, &misplaced, &[], &material("x")).await.unwrap(), Login::Refused);
    assert!(log().contains(MISPLACED), "{}", log());
    for (values, tried) in [(&[&new, &old][..], None), (&[&new], Some(&old)), (&[&old], Some(&new))] {
        driver.declare(&admin, &app, values).await.unwrap();
        let Some(tried) = tried else { continue };
        assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["ACL", "LOG", "RESET"]), "OK");
        assert_eq!(driver.login(node, &app, &[], tried).await.unwrap(), Login::Refused);
        assert!(log().contains("app") && log().contains("auth"), "{}", log());
        holds_no_value(server.folder(), &log());
    }
}

#[tokio::test]
async fn keystone_writes_who_was_refused_and_never_with_what() {
    let database = MariaDb::start().await;
    let lines = "[DEFAULT]\ndebug = true\n".to_owned();
    let keystone = Keystone::start_with(&database, Setup { lines, ..Setup::default() }).await;
    let instance = &keystone.instances[0];
    let member = KeystoneMember { name: "keystone1".into(), auth_url: instance.url(), tls_ca: None };
    let scope = Scope::Project { name: "admin".into(), domain: "Default".into() };
    let administration = Administration { domain: "Default".into(), scope };
    let driver = KeystoneDriver::new(vec![member], "Default", administration, KeystoneLimits::default()).unwrap();
    let (keeper, old, new) = (material(donjon_tests::keystone::ADMIN_VALUE), material(OLD), material(NEW));
    let admin = Admin { user: CLOUD_ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let node = &driver.nodes()[0];
    let app = donjon_drivers::target::Account { user: "app".into(), host: "Default".into() };
    keystone.user("app", "current-1").await;
    let log = instance.repository("log");
    assert!(keystone.token(0, MISPLACED, "x").await.is_err());
    tells(&log, MISPLACED, 0).await;
    assert!(
        !database.holds(MISPLACED.as_bytes()).is_empty(),
        "its database is asked by name, and logs what it is asked"
    );

    let refused = "Authorization failed";
    for (value, tried) in [(&old, &new), (&new, &old)] {
        driver.declare(&admin, &app, &[value]).await.unwrap();
        let before = instance.log().matches(refused).count();
        assert_eq!(driver.login(node, &app, &[], value).await.unwrap(), Login::Accepted);
        assert_eq!(driver.login(node, &app, &[], tried).await.unwrap(), Login::Refused);
        tells(&log, refused, before).await;
    }
    holds_no_value(log.parent().expect("it is in a folder"), "");
    holds_no_value(database.folder(), "");
}
