//! MariaDB accounts with twins: the same rights of every kind, and no trace of a value.

use super::{
    names::ODD,
    scene::{ADMIN, ADMIN_VALUE, account, driver, material, start},
};
use donjon_drivers::target::{Account, Admin, Login, Target, TargetError, conformance};
use donjon_tests::mariadb::MariaDb;
use serde_json::{Map, Value};

/// A server where `app` may do something of every kind, and whose administrator may give all of it on.
async fn with_rights() -> MariaDb {
    let server = start(&[]).await;
    for statement in [
        "CREATE DATABASE `a``b`",
        "CREATE TABLE `a``b`.t (x INT, `y TO z` INT)",
        "CREATE PROCEDURE `a``b`.p() SELECT 1",
        "CREATE FUNCTION `a``b`.f() RETURNS INT DETERMINISTIC RETURN 1",
        "CREATE ROLE `ro``le`",
        "CREATE ROLE second",
        "GRANT `ro``le` TO keeper@localhost WITH ADMIN OPTION",
        "GRANT second TO keeper@localhost WITH ADMIN OPTION",
        "INSERT INTO mysql.proxies_priv VALUES ('localhost', 'harness', '', '', 1, '', NOW())",
        "INSERT INTO mysql.proxies_priv VALUES ('localhost', 'keeper', '', '', 1, '', NOW())",
        "FLUSH PRIVILEGES",
        "CREATE USER app@localhost",
        "CREATE USER app@'%' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 70000 MAX_UPDATES_PER_HOUR 60000 \
         MAX_CONNECTIONS_PER_HOUR 50000 MAX_USER_CONNECTIONS 400 MAX_STATEMENT_TIME 30.5 PASSWORD EXPIRE INTERVAL 30 DAY",
        "GRANT SELECT, PROCESS ON *.* TO app@'%' WITH GRANT OPTION",
        "GRANT ALL ON `a``b`.* TO app@'%'",
        "GRANT SELECT ON `db\\_x%`.* TO app@localhost",
        "GRANT SELECT (x, `y TO z`), INSERT ON `a``b`.t TO app@'%'",
        "GRANT EXECUTE ON PROCEDURE `a``b`.p TO app@'%' WITH GRANT OPTION",
        "GRANT EXECUTE ON FUNCTION `a``b`.f TO app@'%'",
        "GRANT `ro``le` TO app@'%' WITH ADMIN OPTION",
        "GRANT second TO app@'%'",
    ] {
        server.sql(statement).await;
    }
    for host in ["localhost", "%"] {
        set(&server, host, "current-1").await;
    }
    server
}

/// Sets a value and nothing else.
async fn set(server: &MariaDb, host: &str, value: &str) {
    let hash = donjon_tests::mariadb::native_hash(value);
    server.sql(&format!("ALTER USER app@'{host}' IDENTIFIED VIA mysql_native_password USING '{hash}'")).await;
}

/// What an account may do, without its name and its value.
async fn rights(server: &MariaDb, account: &Account) -> (Vec<String>, Map<String, Value>) {
    let name = format!("`{}`@`{}`", account.user, account.host);
    let mut lines: Vec<String> = server
        .sql(&format!("SHOW GRANTS FOR {name}"))
        .await
        .into_iter()
        .map(|row| row[0].replace(&name, "X"))
        .map(|line| line.split(" IDENTIFIED").next().unwrap().to_owned())
        .collect();
    lines.sort();
    let find = format!("SELECT Priv FROM mysql.global_priv WHERE CONCAT('`', User, '`@`', Host, '`') = '{name}'");
    let mut stored: Map<String, Value> = serde_json::from_str(&server.sql(&find).await[0][0]).unwrap();
    let left_out = ["authentication_string", "auth_or", "plugin", "password_last_changed", "version_id"];
    let nothing = |value: &Value| matches!(value.to_string().as_str(), "0" | "0.0" | "-1" | "false" | "\"\"");
    stored.retain(|key, value| !left_out.contains(&key.as_str()) && !nothing(value));
    (lines, stored)
}

#[tokio::test]
async fn a_twin_has_every_kind_of_right_and_no_other() {
    let server = with_rights().await;
    let driver = driver(&server);
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    // Who demands TLS cannot be proven without; that is told elsewhere.
    server.sql("ALTER USER app@'%' REQUIRE NONE").await;
    let scene = conformance::Scene {
        target: &driver,
        admin: Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] },
        user: "app",
        current: &current,
        next: &next,
    };
    server.sql("GRANT PROXY ON other@'h''x' TO app@localhost").await;
    let spoil = async |twin: &Account| {
        let name = format!("`{}`@`{}`", twin.user, twin.host);
        for statement in [
            format!("GRANT INSERT ON *.* TO {name}"),
            format!("GRANT DELETE ON `db\\_x%`.* TO {name}"),
            format!("GRANT SELECT, UPDATE (x) ON `a``b`.t TO {name}"),
            format!("GRANT ALL ON more.* TO {name} WITH GRANT OPTION"),
            format!("GRANT second TO {name} WITH ADMIN OPTION"),
            format!("SET DEFAULT ROLE second FOR {name}"),
            format!("ALTER USER {name} REQUIRE X509 WITH MAX_QUERIES_PER_HOUR 1 PASSWORD EXPIRE NEVER"),
        ] {
            server.sql(&statement).await;
        }
        if twin.host == "%" {
            server.sql(&format!("REVOKE ALL PRIVILEGES ON `a``b`.* FROM {name}")).await;
            server.sql(&format!("REVOKE `ro``le` FROM {name}")).await;
        }
    };
    let told = async |account: &Account| rights(&server, account).await;
    if let Err(violation) = conformance::check_rights(&scene, told, spoil).await {
        panic!("{violation:?}");
    }

    server.sql("SET DEFAULT ROLE `ro``le` FOR app@'%'").await;
    for demand in ["SSL", "X509", "CIPHER 'AES' AND SUBJECT 'a''b' AND ISSUER 'c TO d'"] {
        server.sql(&format!("ALTER USER app@'%' REQUIRE {demand}")).await;
        let (app, twin) = (account("app", "%"), account("app_b", "%"));
        driver.twin(&scene.admin, &app, &twin, &next).await.unwrap();
        let wanted = rights(&server, &app).await;
        assert_eq!(rights(&server, &twin).await, wanted, "{demand}");
        assert!(wanted.0.iter().any(|line| line.starts_with("SET DEFAULT ROLE")), "{wanted:?}");
        assert!(wanted.1.len() >= 8, "{wanted:?}");
    }
}

#[tokio::test]
async fn who_defines_something_has_no_twin_and_is_not_removed() {
    let server = start(&[]).await;
    server.account("app", "%", "current-1").await;
    server.sql("CREATE DATABASE d").await;
    let driver = driver(&server);
    let (keeper, next) = (material(ADMIN_VALUE), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let (app, twin) = (account("app", "%"), account("app_b", "%"));
    for (make, undo) in [
        ("CREATE DEFINER = app@'%' VIEW d.v AS SELECT 1", "DROP VIEW d.v"),
        ("CREATE DEFINER = app@'%' PROCEDURE d.p() SELECT 1", "DROP PROCEDURE d.p"),
        ("CREATE DEFINER = app@'%' EVENT d.e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "DROP EVENT d.e"),
    ] {
        server.sql(make).await;
        for refused in [driver.twin(&admin, &app, &twin, &next).await, driver.remove(&admin, &app).await] {
            let named = matches!(&refused, Err(TargetError::Unable { what, .. }) if what.contains("DEFINER"));
            assert!(named, "{make}: {refused:?}");
        }
        server.sql(undo).await;
    }
    driver.twin(&admin, &app, &twin, &next).await.unwrap();
    driver.remove(&admin, &app).await.unwrap();
    assert!(driver.remove(&admin, &account(ADMIN, "localhost")).await.is_err(), "nobody removes itself");
}

#[tokio::test]
async fn a_twin_of_any_name_is_that_one_and_no_value_is_on_disk() {
    let server = start(&[]).await;
    let driver = driver(&server);
    let texts = ["OldValueCanary0815", "NewValueCanary2342"];
    server.account("app", "localhost", texts[0]).await;
    server.sql("CREATE DATABASE d").await;
    server.sql("GRANT SELECT ON d.* TO app@localhost").await;
    let (keeper, new) = (material(ADMIN_VALUE), material(texts[1]));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let app = account("app", "localhost");
    let accounts = async || server.sql("SELECT User, Host FROM mysql.global_priv ORDER BY 1, 2").await;
    let before = accounts().await;
    for name in ODD {
        let twin = account(name, "localhost");
        driver.twin(&admin, &app, &twin, &new).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let login = driver.login(&driver.nodes()[0], &twin, std::slice::from_ref(&twin), &new).await.unwrap();
        // A server of this kind takes quotes around a client's name away, and so finds nobody of this one.
        assert_eq!(login == Login::Accepted, *name != "''", "{name:?}: {login:?}");
        assert_eq!(accounts().await.len(), before.len() + 1, "{name}");
        driver.remove(&admin, &twin).await.unwrap();
        assert_eq!(accounts().await, before, "{name}");
    }
    server.sql("FLUSH LOGS").await;
    assert!(!server.holds(b"CREATE USER `o'brien`@`localhost`").is_empty(), "the statements are in the logs");
    for text in texts {
        for part in [text, &text[..9], &text[9..]] {
            assert!(server.holds(part.as_bytes()).is_empty(), "{part}: {:?}", server.holds(part.as_bytes()));
        }
    }
}
