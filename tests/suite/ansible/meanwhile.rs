//! kolla-ansible's own user tasks run in the middle of a rotation, at each of its states: noticed and repaired, nobody locked out.
//!
//! Each task sets one password, the one that the store serves, and so takes the other away from an account that accepts two.
//! It is run as an operator does who has forgotten `donjon run --deploy`, which would have waited.

use super::{
    kolla::{arguments, generated, login, site},
    site::Setting,
};
use crate::rotation::killed_at;
use donjon_tests::{
    donjon::{Donjon, binary},
    mariadb::MariaDb,
    rabbitmq::RabbitMq,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::JoinHandle;

/// The accounts that the role sets, with the secrets that they have; root is what it logs in with.
const ACCOUNTS: [(&str, &str); 4] = [
    ("root", "database_password"),
    ("root_shard_0", "database_password"),
    ("monitor", "mariadb_monitor_password"),
    ("backup_shard_0", "mariadb_backup_database_password"),
];

/// Every state between the first and the last.
const STATES: [&str; 7] = ["staged", "added", "verified", "published", "rolling", "drained", "trial"];

#[tokio::test(flavor = "multi_thread")]
async fn kollas_own_user_tasks_in_the_middle_of_each_state_lock_nobody_out() {
    let mut donjon = Donjon::new();
    let server = MariaDb::start_with(&["--skip-name-resolve"]).await;
    donjon.describe(&format!(
        "deployment: site1\ncatalogue: kolla-ansible\ntargets:\n  mariadb:\n    driver: mariadb\n    nodes:\n      - {{name: db1, address: 127.0.0.1, port: {}, socket: {}}}\n",
        server.port,
        server.socket().display()
    ));
    donjon.up();
    donjon.run(&["generate", "--catalogue", "kolla-ansible"]).ok();
    server.account("root", "%", &generated(&donjon)["database_password"]).await;
    let rabbit = RabbitMq::start();
    let site = site(&donjon, &server, &rabbit);
    let play =
        |donjon: &Donjon| site.play(donjon, Setting::Careless, &rabbit.environment(), &arguments("register.yml")).ok();
    // The deployment as it stands: kolla's roles have made the accounts.
    play(&donjon);
    let prober = Prober::start(donjon.home(), server.port);

    let mut collapsed = Vec::new();
    for state in STATES {
        let before = served(&donjon);
        killed_at(&mut donjon, &format!("rotation.moved.{state}=return"), &apply());
        let told = donjon.run(&["rotate", "status"]);
        assert!(told.code == 13 && told.out.contains(state), "it stands where it was killed: {told:#?}");
        let chains = chains(&server).await;
        play(&donjon);
        // In between: what the store serves is let in, whatever the deployer has done.
        for ((user, _), value) in ACCOUNTS.iter().zip(served(&donjon)) {
            login(&server, user, &value).await.unwrap_or_else(|error| panic!("{state}: {user} before resume: {error}"));
        }
        let changed = self::chains(&server).await != chains;
        let resumed = donjon.run(&["rotate", "resume"]);
        assert_eq!(resumed.code, 0, "{state}: {resumed:#?}");
        let said = format!("{}{}", resumed.out, resumed.err);
        if changed && matches!(state, "added" | "verified" | "published" | "rolling") {
            assert!(said.contains("meanwhile; both values are declared again"), "{state}: noticed: {said}");
            collapsed.push(state);
        }
        for (((user, _), new), old) in ACCOUNTS.iter().zip(served(&donjon)).zip(before) {
            assert_ne!(new, old, "{state}: {user}");
            login(&server, user, &new).await.unwrap_or_else(|error| panic!("{state}: {user}: {error}"));
            assert!(login(&server, user, &old).await.is_err(), "{state}: the old value of {user} is refused");
        }
        donjon.run(&["rotate", "status"]).ok();
    }
    println!("collapsed, noticed and repaired in: {}", collapsed.join(" "));
    assert!(!collapsed.is_empty(), "the control: kolla's tasks do take a value away");

    let seen = prober.end().await;
    println!("logins with what was served: {}, denied: {}", seen.logins, seen.denied.len());
    assert!(seen.logins > 20 && seen.denied.is_empty(), "{:?}", seen.denied);
    // The control: a served value that is refused is seen.
    let prober = Prober::start(donjon.home(), server.port);
    server.account("monitor", "%", "changed-behind-its-back").await;
    donjon_tests::wait::until("a denied login", std::time::Duration::from_secs(60), async || {
        prober.handle.is_finished().then_some(())
    })
    .await;
    assert!(prober.end().await.denied.contains(&"monitor"));
}

fn apply() -> Vec<&'static str> {
    let mut secrets: Vec<&str> = ACCOUNTS.iter().map(|(_, secret)| *secret).collect();
    secrets.dedup();
    [vec!["rotate", "apply"], secrets].concat()
}

/// What the store serves for each account.
fn served(donjon: &Donjon) -> Vec<String> {
    ACCOUNTS.iter().map(|(_, secret)| donjon.run(&["get", secret]).ok()).collect()
}

/// What the server has of each account's ways to log in.
async fn chains(server: &MariaDb) -> Vec<Vec<String>> {
    let users = ACCOUNTS.map(|(user, _)| format!("'{user}'")).join(", ");
    let read = "json_extract(priv, '$.authentication_string'), json_extract(priv, '$.auth_or')";
    server.sql(&format!("select user, {read} from mysql.global_priv where user in ({users}) order by user")).await
}

/// A client that asks for what is served and logs in with it, again and again, until it is told to end or is denied.
struct Prober {
    ended: Arc<AtomicBool>,
    handle: JoinHandle<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    logins: usize,
    denied: Vec<&'static str>,
}

impl Prober {
    fn start(home: &Path, port: u16) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let handle = tokio::spawn(probe(home.to_owned(), port, ended.clone()));
        Self { ended, handle }
    }

    async fn end(self) -> Seen {
        self.ended.store(true, Ordering::Relaxed);
        self.handle.await.unwrap()
    }
}

async fn probe(home: PathBuf, port: u16, ended: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !ended.load(Ordering::Relaxed) && seen.denied.is_empty() {
        for (user, secret) in ACCOUNTS {
            // While the broker is dead nobody can ask.
            let Some(value) = get(&home, secret).await else { continue };
            let denied = async || match super::kolla::login_at(port, user, &value).await {
                Ok(()) => false,
                Err(mysql_async::Error::Server(answer)) => answer.code == 1045,
                Err(_) => false,
            };
            seen.logins += 1;
            // A value that was replaced between the question and the login does not count.
            if denied().await && get(&home, secret).await.as_ref() == Some(&value) && denied().await {
                seen.denied.push(user);
            }
        }
    }
    seen
}

async fn get(home: &Path, secret: &'static str) -> Option<String> {
    let mut command = Command::new(binary());
    command.args(["get", secret]).env("DONJON_HOME", home);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
}
