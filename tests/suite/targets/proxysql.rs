//! The ProxySQL driver against a stand-in that behaves as ProxySQL's documentation says, in front of a real MariaDB: ProxySQL
//! itself is in no package registry, so nothing here was run against it.

use super::scene::{account, material};
use donjon_drivers::target::{
    Account, Admin, Login, Node, Target, conformance, mariadb::Limits, proxysql::ProxySql as Driver,
};
use donjon_tests::{
    donjon::Donjon,
    mariadb::{MariaDb, native_hash},
    proxysql::{ADMIN, ADMIN_VALUE, StandIn},
    wait,
};
use std::time::Duration;

/// A server whose `app` accepts both values, so that only the proxy decides, and a proxy that knows the first.
async fn start() -> (MariaDb, StandIn) {
    let server = MariaDb::start().await;
    for user in ["app", "app_b"] {
        let [current, next] = ["current-1", "next-1"].map(native_hash);
        server.account(user, "%", "current-1").await;
        let both = format!("mysql_native_password USING '{current}' OR mysql_native_password USING '{next}'");
        server.sql(&format!("ALTER USER {user}@'%' IDENTIFIED VIA {both}")).await;
    }
    let proxy = StandIn::start(&server);
    proxy.user("app", "current-1").await;
    (server, proxy)
}

fn driver(proxy: &StandIn, values_at_once: usize) -> Driver {
    Driver::new(vec![proxy.member("px1")], values_at_once, Limits::default())
}

fn app() -> Account {
    account("app", "")
}

async fn login(driver: &Driver, user: &str, value: &str) -> Login {
    let tried = account(user, "");
    driver.login(&driver.nodes()[0], &tried, std::slice::from_ref(&tried), &material(value)).await.unwrap()
}

/// What a user's rows say besides its name and its password.
async fn rights(proxy: &StandIn, user: &str) -> Vec<Vec<Option<String>>> {
    let columns = "active, use_ssl, default_hostgroup, default_schema, schema_locked, transaction_persistent, fast_forward, \
                   backend, frontend, max_connections, attributes, comment";
    let mut rows = Vec::new();
    for table in ["mysql_users", "runtime_mysql_users", "disk.mysql_users"] {
        rows.extend(
            proxy.sql(&format!("SELECT {columns} FROM {table} WHERE username = '{user}' ORDER BY backend")).await,
        );
    }
    rows
}

#[tokio::test]
async fn users_conform_to_the_documented_interface_with_one_password_and_with_two() {
    let (_server, proxy) = start().await;
    let keeper = material(ADMIN_VALUE);
    for values_at_once in [1, 2] {
        let driver = driver(&proxy, values_at_once);
        let scene = conformance::Scene {
            target: &driver,
            admin: Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] },
            user: "app",
            current: &material("current-1"),
            next: &material("next-1"),
        };
        let open = async |_: &Node| proxy.try_session("app", "current-1").await.expect("app is let in");
        if let Err(violation) = conformance::check(&scene, open).await {
            panic!("{values_at_once}: {violation:?}");
        }
        conformance::check_texts(&scene).await.unwrap_or_else(|violation| panic!("{violation:?}"));
        proxy.sql("UPDATE mysql_users SET max_connections = 77, default_schema = 'a''b', comment = 'c' WHERE username = 'app'").await;
        proxy.sql("LOAD MYSQL USERS TO RUNTIME").await;
        let told = async |account: &Account| rights(&proxy, &account.user).await;
        let spoil = async |twin: &Account| {
            let twin = &twin.user;
            proxy
                .sql(&format!(
                    "UPDATE mysql_users SET max_connections = 1, default_hostgroup = 9 WHERE username = '{twin}'"
                ))
                .await;
            proxy.sql("LOAD MYSQL USERS TO RUNTIME").await;
        };
        proxy.sql("SAVE MYSQL USERS TO DISK").await;
        if let Err(violation) = conformance::check_rights(&scene, told, spoil).await {
            panic!("{values_at_once}: {violation:?}");
        }
    }
    let said = proxy.said();
    assert!(said.contains(&native_hash("next-1")), "the control: what was said is seen");
    assert!(!said.contains("current-1") && !said.contains("next-1") && !said.contains(ADMIN_VALUE), "{said}");
}

#[tokio::test]
async fn what_is_unsafe_by_the_documented_interface_is_named_and_a_restart_keeps_what_was_declared() {
    let (_server, mut proxy) = start().await;
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let driver = driver(&proxy, 1);
    let hazards = async |proxy: &StandIn, user: &str| -> Vec<String> {
        let driver = self::driver(proxy, 1);
        let survey = driver.survey(&admin, user, &[&current]).await.unwrap();
        survey.hazards.into_iter().map(|hazard| hazard.what).collect()
    };
    assert_eq!(hazards(&proxy, "app").await, [""; 0]);
    assert!(hazards(&proxy, "nobody").await[0].contains("no user"));
    let load = "LOAD MYSQL USERS TO RUNTIME";
    for (statements, expected) in [
        (&["INSERT INTO mysql_users (username, password) VALUES ('other', 'plain')"][..], "differ between memory"),
        (&["DELETE FROM mysql_users WHERE username = 'other'", "UPDATE mysql_users SET active = 0", load], "is off"),
        (&["UPDATE mysql_users SET active = 1, password = 'in-clear'", load], "someone else changed it"),
    ] {
        for statement in statements {
            proxy.sql(statement).await;
        }
        let found = hazards(&proxy, "app").await;
        assert!(found.iter().any(|what| what.contains(expected)), "{expected}: {found:?}");
    }
    driver.declare(&admin, &app(), &[&current]).await.unwrap();
    assert_eq!(hazards(&proxy, "app").await, [""; 0]);

    driver.twin(&admin, &app(), &account("app_b", ""), &next).await.unwrap();
    driver.declare(&admin, &app(), &[&next]).await.unwrap();
    // The control: what is not saved does not come back.
    proxy.sql("UPDATE mysql_users SET comment = 'not saved'").await;
    proxy.restart();
    assert!(rights(&proxy, "app").await.iter().flatten().flatten().all(|cell| cell != "not saved"));
    for user in ["app", "app_b"] {
        assert_eq!(login(&driver, user, "next-1").await, Login::Accepted, "{user}");
        assert_eq!(login(&driver, user, "current-1").await, Login::Refused, "{user}");
    }
}

const OLD: &str = "an-old-service-password-0815";

/// Through the proxy and on the real MariaDB behind it: both get the twin, clients of the old user are waited for, and the
/// proxy's own idle connections are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_user_rotates_by_twins_through_a_stand_in_of_the_documented_proxy() {
    const SECRET: &str = "nova_database_password";
    let server = MariaDb::start().await;
    server.account("root", "localhost", "the-root-password-4711").await;
    server.account("nova", "%", OLD).await;
    let proxy = StandIn::start(&server);
    proxy.user("nova", OLD).await;
    let member = proxy.member("px1");
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().display().to_string();
    let describe = |donjon: &Donjon, more: &str| {
        donjon.describe(&format!(
            "deployment: site1\ndrain: 1\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, \
             port: {}, socket: {}}}]}}\n  front: {{driver: proxysql, administrator: {{user: {ADMIN}, secret: \
             proxysql_admin_password}}, nodes: [{{name: px1, address: 127.0.0.1, port: {}, admin_port: {}}}]{more}}}\n\
             services:\n  api:\n    driver: command\n    restart: [sh, -c, \"date +%s%6N > {own}/started\"]\n    \
             started: [cat, {own}/started]\n    settle: 30\n    uses: [{SECRET}]\nviews:\n  nova_url: \
             'mysql+pymysql://{{{SECRET}:user:nova}}:{{{SECRET}:url}}@127.0.0.1:{}/nova'\n",
            server.port,
            server.socket().display(),
            member.port,
            member.admin_port,
            member.port,
        ));
    };
    let donjon = Donjon::new();
    describe(&donjon, "");
    donjon.up();
    for (name, value) in
        [("database_password", "the-root-password-4711"), ("proxysql_admin_password", ADMIN_VALUE), (SECRET, OLD)]
    {
        donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }
    let plan = donjon.run(&["rotate", "plan", SECRET]).ok();
    assert!(plan.contains("dual-user") && plan.contains("`front`"), "{plan}");

    let pooled = proxy.try_session("nova", OLD).await.expect("nova is let in");
    let waits = std::thread::scope(|scope| {
        let applied = scope.spawn(|| donjon.run(&["rotate", "apply", SECRET]));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let later = wait::until("the new user to be let in", Duration::from_secs(60), async || {
                    // The consumer restarts, and comes again through the proxy.
                    if !folder.path().join("started").exists() {
                        return None;
                    }
                    proxy.try_session("nova_b", &donjon.run(&["get", SECRET]).ok()).await
                })
                .await;
                let waits = applied.join().expect("it ends").failed(13);
                drop(later);
                waits
            })
        })
    });
    let named = "api@local: a session of nova at `front` from 127.0.0.1:";
    assert!(waits.contains(named) && !waits.contains("at `mariadb`"), "{waits}");
    drop(pooled);
    let resumed = donjon.run(&["rotate", "resume", "--output", "json"]).json();
    assert_eq!(resumed["rotations"][0]["state"], "retired", "{resumed}");
    let new = donjon.run(&["get", SECRET]).ok();
    assert!(donjon.run(&["get", "nova_url"]).ok().starts_with(&format!("mysql+pymysql://nova_b:{new}@")));
    assert!(proxy.try_session("nova_b", &new).await.is_some() && server.logs_in("nova_b", &new).await);
    assert!(proxy.try_session("nova", OLD).await.is_none() && !server.logs_in("nova", OLD).await);
    let idle = server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'nova'").await;
    assert_ne!(idle[0][0], "0", "the control: the proxy's own connections of the old user are open");

    // What the deployment file asks for and the proxy cannot hold is refused by name; where it says that it can, it is planned.
    let more = format!("strategies: {{{SECRET}: dual-password}}\n");
    let file = std::fs::read_to_string(donjon.home().join("donjon.yaml")).unwrap();
    donjon.describe(&format!("{file}{more}"));
    let refused = donjon.run(&["rotate", "plan", SECRET]).failed(8);
    assert!(refused.contains("`front`") && refused.contains("one password"), "{refused}");
    describe(&donjon, ", additional_password: true");
    let plan = donjon.run(&["rotate", "plan", SECRET]).ok();
    assert!(plan.contains("dual-password"), "{plan}");
    let said = proxy.said();
    assert!(said.contains(&native_hash(&new)) && !said.contains(&new) && !said.contains(OLD), "{said}");
}
