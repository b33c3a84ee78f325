//! Names with everything in them: a change reaches the named account and no other.

use super::scene::{declare, driver, material, start, survey};
use donjon_drivers::target::{Account, TargetError};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
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

async fn accounts(server: &donjon_tests::mariadb::MariaDb) -> Accounts {
    let rows = server.sql("SELECT User, Host, Priv FROM mysql.global_priv").await;
    rows.into_iter().map(|row| ((row[0].clone(), row[1].clone()), row[2].clone())).collect()
}
