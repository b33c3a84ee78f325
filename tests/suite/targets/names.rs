//! Names with everything in them: a change reaches the named account and no other.

use super::{
    redis::KEEPER,
    scene::{ADMIN, ADMIN_VALUE, account, declare, driver, material, start, survey},
};
use donjon_drivers::target::{Account, Admin, Login, Target, TargetError, keystone as target, rabbitmq, redis};
use donjon_tests::{
    keystone::{self, Keystone, Setup},
    mariadb::MariaDb,
    rabbitmq::RabbitMq,
    redis::Redis,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Accounts = BTreeMap<(String, String), String>;

pub(super) const ODD: &[&str] = &[
    "o'brien",
    "a`b",
    "a``b",
    "``",
    "`",
    "'",
    "''",
    "\"",
    "\\",
    "\\'",
    "a\\`b",
    "a;DROP USER keeper@localhost",
    "x' OR '1'='1",
    "a -- b",
    "a#b",
    "a/*b*/c",
    "a@b",
    "@",
    "%",
    "_",
    "a b",
    "a\nb",
    "a\tb",
    "\u{1}",
    "é",
    "名前",
    "ß",
    "\u{2028}",
    "$a",
    "{x}",
    "*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29",
    "USING",
    "IDENTIFIED",
];

/// Names with a meaning in an address, or in a file of settings.
const ODDER: [&str; 8] = ["a/b", "a%2Fb", "%2e%2e", "a?b", "#a", "a&b", "a\"b", ">a"];

/// What a server stores of each user.
type Stored = BTreeMap<String, String>;

/// Gives each of these a new value, in turn: what the server stores of it changes, and of nobody else.
async fn each_alone(
    driver: &dyn Target,
    (admin, value): (&str, &str),
    accounts: &[Account],
    stored: impl AsyncFn() -> Stored,
) {
    let (keeper, old, new) = (material(value), material("old-1"), material("new-1"));
    let admin = Admin { user: admin, values: &[&keeper], fence: None, passes: &[] };
    for account in accounts {
        let before = stored().await;
        driver.declare(&admin, account, &[&new]).await.unwrap_or_else(|error| panic!("{account:?}: {error}"));
        let after = stored().await;
        let changed: Vec<&String> =
            before.keys().chain(after.keys()).filter(|user| before.get(*user) != after.get(*user)).collect();
        assert!(changed.iter().all(|user| **user == account.user) && !changed.is_empty(), "{account:?}: {changed:?}");
        for (value, wanted) in [(&new, Login::Accepted), (&old, Login::Refused)] {
            let login = driver.login(&driver.nodes()[0], account, std::slice::from_ref(account), value).await.unwrap();
            assert_eq!(login, wanted, "{account:?}");
        }
    }
}

fn odd() -> impl Iterator<Item = &'static str> {
    ODD.iter().chain(&ODDER).copied()
}

/// As one segment of an address's path.
fn segment(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_user_of_rabbitmq_is_changed_alone() {
    let server = RabbitMq::start_managed();
    server.user(ADMIN, ADMIN_VALUE).await;
    let driver = rabbitmq::RabbitMq::new(vec![server.member("mq1")], rabbitmq::Limits::default());
    let made: Vec<Account> = odd().map(|name| account(name, "")).collect();
    server.api("PUT", "users/app", Some(json!({"password": "old-1", "tags": ""}))).await;
    for name in odd() {
        let body = json!({"password": "old-1", "tags": ""});
        server.api("PUT", &format!("users/{}", segment(name)), Some(body)).await;
        let rights = json!({"configure": "", "write": name.replace('\\', ""), "read": ".*"});
        // Not every text is a pattern.
        let rights = if name.contains('*') { json!({"configure": "", "write": "", "read": ".*"}) } else { rights };
        server.api("PUT", &format!("vhosts/{}", segment(name)), None).await;
        server.api("PUT", &format!("permissions/{}/app", segment(name)), Some(rights)).await;
    }
    let stored = async || -> Stored {
        let users = server.api("GET", "users", None).await;
        let of = |user: &Value, field: &str| user[field].as_str().unwrap().to_owned();
        users.as_array().unwrap().iter().map(|user| (of(user, "name"), of(user, "password_hash"))).collect()
    };
    each_alone(&driver, (ADMIN, ADMIN_VALUE), &made, stored).await;

    // As twins, with rights in virtual hosts of such names.
    let (keeper, new) = (material(ADMIN_VALUE), material("new-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let rights = async |user: &str| {
        let mut all = server.api("GET", &format!("users/{}/permissions", segment(user)), None).await;
        for right in all.as_array_mut().unwrap() {
            right.as_object_mut().unwrap().remove("user");
        }
        all
    };
    let of_app = rights("app").await;
    assert_eq!(of_app.as_array().unwrap().len(), odd().count());
    let before = stored().await;
    for name in odd() {
        let twin = account(&format!("{name}.twin"), "");
        driver.twin(&admin, &account("app", ""), &twin, &new).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(rights(&twin.user).await, of_app, "{name}");
        driver.remove(&admin, &twin).await.unwrap();
        assert_eq!(stored().await, before, "{name}");
    }

    // Steps in a path cannot be named there, so nothing else is changed either.
    for name in [".", ".."] {
        assert!(server.control(&["add_user", name, "old-1"]).status.success());
        let before = stored().await;
        let refused = driver.declare(&admin, &account(name, ""), &[&new]).await;
        assert!(matches!(refused, Err(TargetError::Unable { .. })), "{name}: {refused:?}");
        assert!(driver.remove(&admin, &account(name, "")).await.is_err(), "{name}");
        assert_eq!(stored().await, before);
    }
}

/// What a Redis has of each user.
fn users(server: &Redis) -> Stored {
    let all = server.say(ADMIN, ADMIN_VALUE, &["ACL", "LIST"]);
    let user = |line: &str| line.split(' ').nth(1).unwrap_or_else(|| panic!("{line}")).to_owned();
    all.lines().map(|line| (user(line), line.to_owned())).collect()
}

#[tokio::test]
async fn a_user_of_redis_is_changed_alone_also_after_a_restart() {
    let in_a_file = Redis::start(&["aclfile {folder}/users.acl"]);
    let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(KEEPER.split(' ').skip(1)).collect();
    in_a_file.say("default", "", &words);
    // With a quote among its settings it would not start again: below.
    for (mut server, quotes) in [(in_a_file, true), (Redis::start(&[KEEPER]), false)] {
        let kept = |name: &&str| quotes || !name.contains(['"', '\'']);
        let make =
            |name: &&str| server.say(ADMIN, ADMIN_VALUE, &["ACL", "SETUSER", name, "on", ">old-1", "+ping"]) == "OK";
        let (made, refused): (Vec<&str>, Vec<&str>) = odd().filter(kept).partition(make);
        assert!(refused.iter().all(|name| name.contains(char::is_whitespace)), "{refused:?}");
        let driver = redis::Redis::new(vec![server.member("r1")], redis::Limits::default());
        let made: Vec<Account> = made.into_iter().map(|name| account(name, "")).collect();
        each_alone(&driver, (ADMIN, ADMIN_VALUE), &made, async || users(&server)).await;
        let before = users(&server);
        server.restart();
        let after = users(&server);
        // The server itself words its `default` otherwise once it has written it down.
        let other = before.iter().filter(|(user, what)| *user != "default" && after.get(*user) != Some(*what));
        let other: Vec<_> = other.collect();
        assert!(other.is_empty() && after.len() == before.len(), "{other:#?}");
    }
}

#[tokio::test]
async fn a_redis_that_could_not_start_again_is_left_alone() {
    let mut server = Redis::start(&[KEEPER, "user app on >old-1 ~app:* +@read"]);
    let driver = redis::Redis::new(vec![server.member("r1")], redis::Limits::default());
    let (keeper, old, new) = (material(ADMIN_VALUE), material("old-1"), material("new-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let before = users(&server);
    for rule in [&["o'brien", "on"][..], &["a\"b", "on"], &["other", "~it's:*"]] {
        server.say(ADMIN, ADMIN_VALUE, &[&["ACL", "SETUSER"], rule].concat());
        let survey = driver.survey(&admin, "app", &[&old]).await.unwrap();
        assert!(survey.hazards.iter().any(|hazard| hazard.what.contains("holds a quote")), "{survey:?}");
        let refused = driver.declare(&admin, &account("app", ""), &[&new, &old]).await;
        assert!(matches!(refused, Err(TargetError::Unable { .. })), "{refused:?}");
        assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["ACL", "DELUSER", rule[0]]), "1");
        assert_eq!(users(&server), before, "nobody was changed");
    }
    // Nor is another node changed, though it is asked before.
    let plain = Redis::start(&[KEEPER, "user app on >old-1 ~app:* +@read"]);
    let nodes = vec![plain.member("r1"), server.member("r2")];
    server.say(ADMIN, ADMIN_VALUE, &["ACL", "SETUSER", "o'brien", "on"]);
    let refused = redis::Redis::new(nodes, redis::Limits::default());
    let refused = refused.declare(&admin, &account("app", ""), &[&new, &old]).await;
    assert!(matches!(refused, Err(TargetError::Unable { ref node, .. }) if node == "r2"), "{refused:?}");
    assert_eq!(users(&plain), before);
    assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["ACL", "DELUSER", "o'brien"]), "1");
    driver.declare(&admin, &account("app", ""), &[&new, &old]).await.unwrap();
    server.restart();
    assert_ne!(users(&server), before);
    // The control: what is refused would be its end.
    server.say(ADMIN, ADMIN_VALUE, &["ACL", "SETUSER", "o'brien", "on"]);
    assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["CONFIG", "REWRITE"]), "OK");
    let said = server.cannot_restart();
    assert!(said.contains("FATAL CONFIG FILE ERROR") && said.contains("o'brien"), "{said}");
}

#[tokio::test]
async fn a_user_of_keystone_is_changed_alone() {
    let database = MariaDb::start().await;
    let keystone = Keystone::start_with(&database, Setup::default()).await;
    let member = target::Member { name: "k1".into(), auth_url: keystone.instances[0].url(), tls_ca: None };
    let scope = target::Scope::Project { name: "admin".into(), domain: "Default".into() };
    let administration = target::Administration { domain: "Default".into(), scope };
    let driver = target::Keystone::new(vec![member], "Default", administration, target::Limits::default()).unwrap();
    let (mut made, mut refused) = (vec![], vec![]);
    let token = keystone.admin(0).await;
    for name in odd() {
        let body = json!({"user": {"name": name, "domain_id": "default", "password": "old-1"}});
        let (status, _) = keystone.call(0, Method::POST, "/v3/users", &token, Some(body)).await;
        match status {
            201 => made.push(account(name, "Default")),
            _ => refused.push(name),
        }
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    let stored = async || -> Stored {
        let rows = database
            .sql(
                "SELECT u.name, p.password_hash FROM keystone.local_user u JOIN keystone.password p \
                 ON p.local_user_id = u.id WHERE p.expires_at IS NULL ORDER BY p.id",
            )
            .await;
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    };
    each_alone(&driver, (keystone::ADMIN, keystone::ADMIN_VALUE), &made, stored).await;
}

#[tokio::test]
async fn a_change_reaches_the_named_account_and_no_other() {
    let server = start(&[]).await;
    let driver = driver(&server);
    let mut runner = TestRunner::deterministic();
    let odd = "[`'\"\\\\;%_@#$ /*()a-cß名-]{1,16}";
    // The server cuts blanks at the end from the row, but not from what it remembers until the next start.
    let mut random = || odd.new_tree(&mut runner).unwrap().current().trim_end().to_owned();
    let mut names: Vec<(String, String)> =
        ODD.iter().map(|name| ((*name).to_owned(), "localhost".to_owned())).collect();
    names.extend(ODD.iter().map(|host| ("app".to_owned(), (*host).to_owned())));
    names.extend((0..120).map(|_| (random(), "%".to_owned())));
    names.extend((0..60).map(|_| (random(), random())));
    let (old, new) = (material("old-1"), material("new-1"));
    let mut made = 0;
    // Nobody's account is never changed; below.
    names.retain(|(user, host)| !user.is_empty() && !host.is_empty());
    for (user, host) in names {
        let before = accounts(&server).await;
        let quoted = format!("`{}`@`{}`", user.replace('`', "``"), host.replace('`', "``"));
        // What the server does not take is nobody's account.
        if server.try_sql(&format!("CREATE USER {quoted}")).await.is_err() {
            continue;
        }
        let with = accounts(&server).await;
        let (user, host) = with.keys().find(|key| !before.contains_key(key)).unwrap().clone();
        let account = Account { user, host };
        server.account(&account.user, &account.host, "old-1").await;
        let with = accounts(&server).await;
        let seen = survey(&driver, &account.user, &[&old]).await;
        assert!(seen.accounts.contains(&account), "{account:?}");
        declare(&driver, &account, &[&new, &old]).await.unwrap_or_else(|error| panic!("{account:?}: {error}"));
        let after = accounts(&server).await;
        let changed: Vec<_> =
            after.iter().filter(|(key, value)| with.get(*key) != Some(*value)).map(|(key, _)| key).collect();
        assert_eq!(changed, [&(account.user.clone(), account.host.clone())]);
        assert_eq!(after.len(), with.len());
        made += 1;
    }
    assert!(made > 150, "only {made} names were taken by the server");
    for (user, host) in [("a\0b", "%"), ("app", "%\0"), ("", "%"), ("app", "")] {
        let account = Account { user: user.into(), host: host.into() };
        let refused = declare(&driver, &account, &[&new]).await;
        assert!(matches!(refused, Err(TargetError::Unable { .. })), "{account:?}: {refused:?}");
    }
    println!("{made} names");
}

async fn accounts(server: &MariaDb) -> Accounts {
    let rows = server.sql("SELECT User, Host, Priv FROM mysql.global_priv").await;
    rows.into_iter().map(|row| ((row[0].clone(), row[1].clone()), row[2].clone())).collect()
}
