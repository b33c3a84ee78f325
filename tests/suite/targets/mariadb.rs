//! What the MariaDB driver sees, changes and proves.

use super::scene::{ADMIN, ADMIN_VALUE, account, declare, driver, material, session, start, survey};
use donjon_drivers::{
    material::Material,
    target::{
        Admin, Began, Login, Node, Target, TargetError, conformance,
        mariadb::{Limits, MariaDb as Driver},
    },
};
use donjon_tests::{
    mariadb::{MariaDb, native_hash},
    search,
};
use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

async fn conforms(server: &MariaDb, user: &str) {
    let (driver, keeper) = (driver(server), material(ADMIN_VALUE));
    let scene = conformance::Scene {
        target: &driver,
        admin: Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] },
        user,
        current: &material("current-1"),
        next: &material("next-1"),
    };
    if let Err(violation) = conformance::check(&scene, async |_: &Node| session(server, user, "current-1").await).await
    {
        panic!("{violation:?}");
    }
    conformance::check_texts(&scene).await.unwrap_or_else(|violation| panic!("{violation:?}"));
    let written = search::in_any_form(server.folder(), &conformance::TEXTS);
    assert_eq!(written, [] as [std::path::PathBuf; 0], "no server writes it down");
}

#[tokio::test]
async fn native_accounts_conform() {
    let server = start(&[]).await;
    for host in ["localhost", "127.0.0.1", "127.0.0.%", "%"] {
        server.account("app", host, "current-1").await;
    }
    conforms(&server, "app").await;
}

#[tokio::test]
async fn native_accounts_conform_where_names_are_not_resolved() {
    let server = start(&["--skip-name-resolve"]).await;
    for host in ["localhost", "127.0.0.1", "%"] {
        server.account("app", host, "current-1").await;
    }
    conforms(&server, "app").await;
    let driver = driver(&server);
    let among = survey(&driver, "app", &[]).await.entries;
    for host in ["localhost", "127.0.0.1", "%"] {
        let login = driver.login(&driver.nodes()[0], &account("app", host), &among, &material("current-1")).await;
        assert_eq!(login.unwrap(), Login::Accepted, "{host}");
    }
}

#[tokio::test]
async fn ed25519_accounts_change_one_value_at_a_time() {
    let server = start(&["--plugin-load-add=auth_ed25519"]).await;
    server.sql("CREATE USER app@'%' IDENTIFIED VIA ed25519 USING PASSWORD('old-1')").await;
    let (driver, app) = (driver(&server), account("app", "%"));
    let (old, new) = (material("old-1"), material("new-1"));
    let hazards = survey(&driver, "app", &[&old]).await.hazards;
    assert!(hazards.len() == 1 && hazards[0].what.contains("ed25519"), "{hazards:?}");
    let two = declare(&driver, &app, &[&new, &old]).await;
    assert!(matches!(&two, Err(TargetError::Unable { what, .. }) if what.contains("one value at a time")), "{two:?}");
    let login = async |value: &Material| {
        driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), value).await.unwrap()
    };
    assert_eq!([login(&old).await, login(&new).await], [Login::Accepted, Login::Refused]);
    declare(&driver, &app, &[&new]).await.unwrap();
    assert_eq!([login(&old).await, login(&new).await], [Login::Refused, Login::Accepted]);
}

#[tokio::test]
async fn each_entry_is_tried_from_where_it_alone_answers() {
    let server = start(&[]).await;
    // Each entry has a value of its own, so that an answer by another one would show.
    let hosts = ["localhost", "%", "127.0.0.%", "127.0.0.3", "127.0.0.1", "::1", "192.0.2.7"];
    for host in hosts {
        server.account("app", host, &format!("value-{host}")).await;
    }
    let driver = driver(&server);
    let among = survey(&driver, "app", &[]).await.entries;
    assert_eq!(among.len(), hosts.len());
    for host in ["localhost", "%", "127.0.0.%", "127.0.0.3"] {
        for tried in hosts {
            let login = driver
                .login(&driver.nodes()[0], &account("app", host), &among, &material(&format!("value-{tried}")))
                .await
                .unwrap();
            let expected = if tried == host { Login::Accepted } else { Login::Refused };
            assert_eq!(login, expected, "{host} with the value of {tried}");
        }
    }
    let login = async |host: &str, value: &str| {
        driver.login(&driver.nodes()[0], &account("app", host), &among, &material(value)).await.unwrap()
    };
    // Where names are resolved, 127.0.0.1 is `localhost` to the server.
    assert_eq!(login("127.0.0.1", "value-localhost").await, Login::Shadowed("app@localhost".into()));
    assert!(matches!(login("::1", "value-::1").await, Login::Unprovable(why) if why.contains("does not listen")));
    assert!(matches!(login("192.0.2.7", "value-192.0.2.7").await, Login::Unprovable(_)));
}

#[tokio::test]
async fn the_way_in_by_socket_is_kept_and_never_taken_for_a_value() {
    let server = start(&[]).await;
    let root = account("root", "localhost");
    server
        .sql(&format!(
            "ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING '{}' OR unix_socket",
            native_hash("old-1")
        ))
        .await;
    let driver = driver(&server);
    let (old, new) = (material("old-1"), material("new-1"));
    let login = async |value: &Material| {
        driver.login(&driver.nodes()[0], &root, std::slice::from_ref(&root), value).await.unwrap()
    };
    assert_eq!(login(&old).await, Login::Accepted);
    assert_eq!(login(&new).await, Login::Refused, "the socket let this process in without a value");
    declare(&driver, &root, &[&new, &old]).await.unwrap();
    assert_eq!([login(&old).await, login(&new).await], [Login::Accepted, Login::Accepted]);
    declare(&driver, &root, &[&new]).await.unwrap();
    assert_eq!([login(&old).await, login(&new).await], [Login::Refused, Login::Accepted]);
    let shown = server.sql("SHOW CREATE USER root@localhost").await.concat().concat();
    assert!(shown.contains("OR unix_socket"), "{shown}");
}

#[tokio::test]
async fn a_socket_that_lets_this_process_in_anyway_proves_nothing() {
    let server = start(&[]).await;
    // Nobody else can come to the socket, so the driver has to go as itself.
    std::fs::set_permissions(server.folder(), PermissionsExt::from_mode(0o700)).unwrap();
    let hash = native_hash("value-1");
    server
        .sql(&format!("ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING '{hash}' OR unix_socket"))
        .await;
    server.account("app", "localhost", "value-1").await;
    let driver = driver(&server);
    let login = async |user: &str, value: &str| {
        let entry = account(user, "localhost");
        driver.login(&driver.nodes()[0], &entry, std::slice::from_ref(&entry), &material(value)).await.unwrap()
    };
    for value in ["value-1", "value-2"] {
        let found = login("root", value).await;
        assert!(matches!(&found, Login::Unprovable(why) if why.contains("any value")), "{found:?}");
    }
    assert_eq!([login("app", "value-1").await, login("app", "value-2").await], [Login::Accepted, Login::Refused]);
}

#[tokio::test]
async fn root_changes_itself_with_whichever_stored_value_works() {
    let server = start(&[]).await;
    for host in ["localhost", "%"] {
        server.account("root", host, "old-1").await;
    }
    let driver = driver(&server);
    let (old, new) = (material("old-1"), material("new-1"));
    let admin = Admin { user: "root", values: &[&new, &old], fence: None, passes: &[] };
    let found = driver.survey(&admin, "root", &[&old]).await.unwrap();
    assert!(found.hazards.is_empty(), "{:?}", found.hazards);
    for account in &found.accounts {
        driver.declare(&admin, account, &[&new, &old]).await.unwrap();
    }
    for account in &found.accounts {
        driver.declare(&admin, account, &[&new]).await.unwrap();
    }
    let stale = Admin { user: "root", values: &[&old], fence: None, passes: &[] };
    assert!(matches!(driver.survey(&stale, "root", &[]).await, Err(TargetError::AdminRefused { .. })));
}

#[tokio::test]
async fn hazards_are_named() {
    let server = start(&["--plugin-load-add=auth_ed25519"]).await;
    server.account("app", "%", "value-1").await;
    let driver = driver(&server);
    let value = material("value-1");
    let hazards = async |known: &[&Material]| -> Vec<String> {
        survey(&driver, "app", known).await.hazards.into_iter().map(|hazard| hazard.what).collect()
    };
    assert_eq!(hazards(&[&value]).await, [""; 0]);
    assert!(hazards(&[]).await[0].contains("someone else changed it"));
    let cases = [
        ("CREATE USER ''@localhost", "DROP USER ''@localhost", "anonymous"),
        ("ALTER USER app@'%' ACCOUNT LOCK", "ALTER USER app@'%' ACCOUNT UNLOCK", "is locked"),
        ("ALTER USER app@'%' PASSWORD EXPIRE", &set("value-1"), "has expired"),
        ("ALTER USER app@'%' REQUIRE SSL", "ALTER USER app@'%' REQUIRE NONE", "demands TLS"),
        ("SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF", "read-only"),
        (
            "ALTER USER app@'%' IDENTIFIED VIA ed25519 USING PASSWORD('value-1') OR mysql_native_password USING PASSWORD('value-1')",
            &set("value-1"),
            "two plugins",
        ),
        (
            "ALTER USER app@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('value-1') OR mysql_native_password USING PASSWORD('value-1') OR mysql_native_password USING PASSWORD('value-1')",
            &set("value-1"),
            "follow only two",
        ),
        ("ALTER USER app@'%' IDENTIFIED VIA mysql_native_password USING ''", &set("value-1"), "empty value"),
        (
            "INSTALL SONAME 'simple_password_check'",
            "UNINSTALL SONAME 'simple_password_check'",
            "strict_password_validation",
        ),
    ];
    for (make, undo, expected) in cases {
        server.sql(make).await;
        let found = hazards(&[&value]).await;
        assert!(found.iter().any(|what| what.contains(expected)), "{make}: {found:?}");
        server.sql(undo).await;
        assert_eq!(hazards(&[&value]).await, [""; 0], "after {undo}");
    }
    // A role and an account that knows no value are nobody's to rotate.
    server.sql("CREATE ROLE app_role").await;
    server.sql("CREATE USER app@localhost IDENTIFIED VIA unix_socket").await;
    let found = survey(&driver, "app", &[&value]).await;
    assert_eq!(found.accounts, [account("app", "%")]);
    assert_eq!(found.entries.len(), 2);
    assert!(survey(&driver, "nobody-there", &[]).await.hazards[0].what.contains("no account"));
}

fn set(value: &str) -> String {
    format!("ALTER USER app@'%' IDENTIFIED VIA mysql_native_password USING '{}'", native_hash(value))
}

#[tokio::test]
async fn blocked_and_locked_accounts_say_so() {
    let server = start(&["--max-password-errors=2"]).await;
    server.account("app", "%", "value-1").await;
    let driver = driver(&server);
    let app = account("app", "%");
    let login = async |value: &str| {
        driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), &material(value)).await.unwrap()
    };
    assert_eq!(login("wrong-1").await, Login::Refused);
    assert_eq!(login("wrong-2").await, Login::Refused);
    assert!(matches!(login("value-1").await, Login::Unprovable(why) if why.contains("4150")));
    server.sql("FLUSH PRIVILEGES").await;
    assert_eq!(login("value-1").await, Login::Accepted);
    server.sql("ALTER USER app@'%' ACCOUNT LOCK").await;
    assert!(matches!(login("value-1").await, Login::Unprovable(why) if why.contains("4151")));
}

#[tokio::test]
async fn no_more_than_three_logins_are_denied_per_call() {
    let server = start(&[]).await;
    let driver = driver(&server);
    let denied =
        async || -> u64 { server.sql("SHOW GLOBAL STATUS LIKE 'Access_denied_errors'").await[0][1].parse().unwrap() };
    let before = denied().await;
    let wrong: Vec<Material> = (0..8).map(|n| material(&format!("wrong-{n}"))).collect();
    let values: Vec<&Material> = wrong.iter().collect();
    let refused =
        driver.mark(&Admin { user: ADMIN, values: &values, fence: None, passes: &[] }, &driver.nodes()[0]).await;
    assert!(matches!(refused, Err(TargetError::AdminRefused { .. })), "{refused:?}");
    assert_eq!(denied().await - before, 3);
}

#[tokio::test]
async fn sessions_of_before_a_restart_are_gone() {
    let mut server = start(&[]).await;
    server.account("app", "%", "value-1").await;
    let driver = driver(&server);
    let keeper = material(ADMIN_VALUE);
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let node = &driver.nodes()[0];
    let old = session(&server, "app", "value-1").await;
    let mut mark = driver.mark(&admin, node).await.unwrap();
    for _ in 0..20 {
        mark = driver.mark(&admin, node).await.unwrap();
    }
    assert_eq!(driver.sessions(&admin, node, "app", Began::NoLaterThan(mark)).await.unwrap().len(), 1);
    server.restart().await;
    drop(old);
    let _new = session(&server, "app", "value-1").await;
    assert!(driver.sessions(&admin, node, "app", Began::NoLaterThan(mark)).await.unwrap().is_empty());
}

/// A broker that rotates its own administrator logs in as the very account whose logins prove a consumer.
#[tokio::test(flavor = "multi_thread")]
async fn a_brokers_own_logins_are_no_sessions_of_anybody_elses() {
    let server = start(&[]).await;
    server.account(ADMIN, "%", ADMIN_VALUE).await;
    let (own, another) = (driver(&server), driver(&server));
    let keeper = material(ADMIN_VALUE);
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let (node, account) = (&own.nodes()[0], account(ADMIN, "%"));
    let over = std::sync::atomic::AtomicBool::new(false);
    let listed = async |by: &Driver| {
        let logins = async || {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                own.login(node, &account, std::slice::from_ref(&account), &keeper).await.unwrap();
            }
        };
        let listing = async {
            let mut listed = 0;
            for _ in 0..100 {
                let mark = by.mark(&admin, node).await.unwrap();
                let sessions = by.sessions(&admin, node, ADMIN, Began::NoLaterThan(mark)).await.unwrap();
                listed += sessions.iter().filter(|session| session.mark != mark).count();
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            listed
        };
        let (listed, ..) = tokio::join!(listing, logins(), logins(), logins(), logins());
        over.store(false, std::sync::atomic::Ordering::Relaxed);
        listed
    };
    assert!(listed(&another).await > 0, "the control: another broker sees them");
    assert_eq!(listed(&own).await, 0);
    let _consumer = session(&server, ADMIN, ADMIN_VALUE).await;
    let mark = own.mark(&admin, node).await.unwrap();
    assert_eq!(
        own.sessions(&admin, node, ADMIN, Began::NoLaterThan(mark)).await.unwrap().len(),
        1,
        "and a consumer's is seen"
    );
}

#[tokio::test]
async fn a_server_that_is_silent_or_gone_is_unreachable_in_time() {
    let mut server = start(&[]).await;
    let limits = Limits { connect: Duration::from_millis(300), statement: Duration::from_millis(300) };
    let driver = Driver::new(vec![server.member("db1")], limits);
    let keeper = material(ADMIN_VALUE);
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let app = account("app", "%");
    let both = async || {
        let begun = Instant::now();
        let asked = driver.survey(&admin, "app", &[]).await;
        assert!(matches!(asked, Err(TargetError::Unreachable { .. })), "{asked:?}");
        let tried = driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), &keeper).await;
        assert!(matches!(tried, Err(TargetError::Unreachable { .. })), "{tried:?}");
        // Without a bound of its own it would wait for as long as the server is silent.
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    };
    server.pause();
    both().await;
    server.resume();
    server.kill();
    both().await;
}
