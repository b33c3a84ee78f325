//! What the Redis driver sees, changes and proves, on real servers.

use super::scene::{ADMIN, ADMIN_VALUE, account, material};
use donjon_drivers::{
    material::Material,
    target::{
        Account, Admin, Began, Login, Node, Target, TargetError, conformance,
        redis::{Limits, Redis as Driver},
    },
};
use donjon_tests::{
    process::wait_for,
    redis::{Redis, Sentinel},
    search, wait,
};
use std::{net::TcpStream, time::Duration};

pub(super) const KEEPER: &str = "user keeper on >keeper-value-1 ~* &* +@all";
const APP: &str = "user app on >current-1 ~app:* +@read +@connection";

fn driver(servers: &[&Redis]) -> Driver {
    let member = |(number, server): (usize, &&Redis)| server.member(&format!("r{}", number + 1));
    Driver::new(servers.iter().enumerate().map(member).collect(), Limits::default())
}

fn app() -> Account {
    account("app", "")
}

async fn conforms(servers: &[&Redis], admin: (&str, &str), user: &str) {
    let (driver, keeper) = (driver(servers), material(admin.1));
    let scene = conformance::Scene {
        target: &driver,
        admin: Admin { user: admin.0, values: &[&keeper], fence: None, passes: &[] },
        user,
        current: &material("current-1"),
        next: &material("next-1"),
    };
    let open = async |_: &Node| -> TcpStream { servers[0].session(user, "current-1") };
    if let Err(violation) = conformance::check(&scene, open).await {
        panic!("{violation:?}");
    }
    conformance::check_texts(&scene).await.unwrap_or_else(|violation| panic!("{violation:?}"));
    let written = search::in_any_form(servers[0].folder(), &conformance::TEXTS);
    assert_eq!(written, [] as [std::path::PathBuf; 0], "no server writes it down");
}

#[tokio::test]
async fn users_conform_on_every_node_and_default_too() {
    let servers = [Redis::start(&[KEEPER, APP]), Redis::start(&[KEEPER, APP])];
    conforms(&servers.each_ref(), (ADMIN, ADMIN_VALUE), "app").await;
    // As most deployers leave it: one value for everyone, and no other user.
    let server = Redis::start(&["requirepass current-1", KEEPER]);
    conforms(&[&server], (ADMIN, ADMIN_VALUE), "default").await;
}

#[tokio::test]
async fn a_restart_brings_back_what_was_declared() {
    let with_users = Redis::start(&["aclfile {folder}/users.acl"]);
    for line in [KEEPER, APP] {
        let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(line.split(' ').skip(1)).collect();
        assert_eq!(with_users.say("default", "", &words), "OK");
    }
    let with_settings = Redis::start(&[KEEPER, APP]);
    let with_requirepass = Redis::start(&[KEEPER, "requirepass current-1"]);
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    for (mut server, user) in [(with_users, "app"), (with_settings, "app"), (with_requirepass, "default")] {
        let (driver, account) = (driver(&[&server]), account(user, ""));
        let login = async |value: &Material| {
            driver.login(&driver.nodes()[0], &account, std::slice::from_ref(&account), value).await.unwrap()
        };
        for (values, wanted) in [(&[&next, &current][..], [true, true]), (&[&next], [false, true])] {
            driver.declare(&admin, &account, values).await.unwrap();
            server.restart();
            let found = [login(&current).await, login(&next).await].map(|login| login == Login::Accepted);
            assert_eq!(found, wanted, "{user} {values:?}");
        }
        let keys = server.say(user, "next-1", &["GET", "other"]);
        assert_eq!(keys.contains("NOPERM"), user == "app", "rights are as before: {keys}");
    }
}

#[tokio::test]
async fn what_is_unsafe_is_named() {
    let server = Redis::start(&[KEEPER, APP]);
    let driver = driver(&[&server]);
    let (keeper, value) = (material(ADMIN_VALUE), material("current-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let hazards = async |driver: &Driver, user: &str| -> Vec<String> {
        let survey = driver.survey(&admin, user, &[&value]).await.unwrap();
        survey.hazards.into_iter().map(|hazard| hazard.what).collect()
    };
    assert_eq!(hazards(&driver, "app").await, [""; 0]);
    assert!(hazards(&driver, "nobody").await[0].contains("no user"));
    let say = |words: &[&str]| assert_eq!(server.say(ADMIN, ADMIN_VALUE, words), "OK", "{words:?}");
    for (rules, expected) in [
        (&[">other"][..], "someone else changed it"),
        (&["resetpass"], "no value at all"),
        (&["nopass"], "any value"),
        (&["resetpass", ">current-1", "off"], "is off"),
    ] {
        say(&[&["ACL", "SETUSER", "app"], rules].concat());
        let found = hazards(&driver, "app").await;
        assert!(found.iter().any(|what| what.contains(expected)), "{rules:?}: {found:?}");
    }
    say(&["ACL", "SETUSER", "app", "on"]);
    assert_eq!(hazards(&driver, "app").await, [""; 0]);
    say(&["CONFIG", "SET", "masterauth", "foreign"]);
    say(&["CONFIG", "SET", "masteruser", "app"]);
    assert!(hazards(&driver, "app").await[0].contains("masterauth"));
    assert_eq!(hazards(&driver, "nobody").await.len(), 1, "it is the value of another user");
    say(&["CONFIG", "SET", "masterauth", "current-1"]);
    assert_eq!(hazards(&driver, "app").await, [""; 0]);

    let forgetful = Redis::start_without_file();
    let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(KEEPER.split(' ').skip(1)).collect();
    assert_eq!(forgetful.say("default", "", &words), "OK");
    assert_eq!(forgetful.say("default", "", &["ACL", "SETUSER", "app", "on", ">current-1"]), "OK");
    let found = hazards(&self::driver(&[&forgetful]), "app").await;
    assert!(found.len() == 1 && found[0].contains("bring the old value back"), "{found:?}");

    // A value on one node alone is told, and a node that is away is an error.
    let second = Redis::start(&[KEEPER]);
    let both = self::driver(&[&server, &second]);
    let survey = both.survey(&admin, "app", &[&value]).await.unwrap();
    assert!(survey.hazards.len() == 1 && survey.hazards[0].node == "r2", "{survey:?}");
    drop(second);
    let away = both.survey(&admin, "app", &[&value]).await;
    assert!(matches!(&away, Err(TargetError::Unreachable { node, .. }) if node == "r2"), "{away:?}");
}

#[tokio::test]
async fn replicas_log_in_with_what_their_master_accepts() {
    let sync = "user sync on >current-1 +psync +replconf +ping";
    let master = Redis::start(&[KEEPER, sync, "masteruser sync", "masterauth current-1"]);
    let upstream = format!("replicaof 127.0.0.1 {}", master.port);
    let mut replica = Redis::start(&[KEEPER, sync, "masteruser sync", "masterauth current-1", &upstream]);
    let linked = |replica: &Redis| {
        wait_for("the replica to be linked", Duration::from_secs(60), || {
            replica.say(ADMIN, ADMIN_VALUE, &["INFO", "replication"]).contains("master_link_status:up")
        });
    };
    linked(&replica);
    let driver = driver(&[&master, &replica]);
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let user = account("sync", "");
    let survey = driver.survey(&admin, "sync", &[&current]).await.unwrap();
    assert!(survey.hazards.is_empty(), "{survey:?}");
    let mark = driver.mark(&admin, &driver.nodes()[0]).await.unwrap();
    for values in [&[&next, &current][..], &[&next]] {
        driver.declare(&admin, &user, values).await.unwrap();
    }
    assert!(driver.sessions(&admin, &driver.nodes()[0], "sync", Began::NoLaterThan(mark)).await.unwrap().is_empty());
    for server in [&master, &replica] {
        assert!(server.say(ADMIN, ADMIN_VALUE, &["CONFIG", "GET", "masterauth"]).ends_with("next-1"));
    }
    assert_eq!(master.say(ADMIN, ADMIN_VALUE, &["CLIENT", "KILL", "TYPE", "replica"]), "1");
    linked(&replica);
    replica.restart();
    linked(&replica);
}

/// A replica and its master, where everybody logs in as `default`, with a value of before; the replica's administrator may
/// not do what `rights` takes from it.
fn pair(rights: &str) -> [Redis; 2] {
    let plain = ["requirepass current-1", "masterauth current-1"];
    let master = Redis::start(&[&plain[..], &[KEEPER]].concat());
    let upstream = format!("replicaof 127.0.0.1 {}", master.port);
    let replica = Redis::start(&[&plain[..], &[&format!("{KEEPER} {rights}"), &upstream]].concat());
    [master, replica]
}

/// Every link to the nodes is cut, and those of the replica and of some sentinels come back.
fn links_come_back([master, replica]: &[Redis; 2], sentinels: usize) {
    for server in [master, replica] {
        for kind in ["replica", "normal", "pubsub"] {
            server.say(ADMIN, ADMIN_VALUE, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
    }
    wait_for("the replica to be linked", Duration::from_secs(30), || {
        replica.say(ADMIN, ADMIN_VALUE, &["INFO", "replication"]).contains("master_link_status:up")
            && master.say(ADMIN, ADMIN_VALUE, &["INFO", "replication"]).contains("state=online")
    });
    for server in [master, replica] {
        wait_for("the sentinels at a node", Duration::from_secs(30), || {
            let clients = server.say(ADMIN, ADMIN_VALUE, &["CLIENT", "LIST"]);
            clients.lines().filter(|line| line.contains("name=sentinel-") && line.contains("-cmd ")).count()
                == sentinels
        });
    }
}

/// A replica is not told what it is to log in with: no value goes.
#[tokio::test(flavor = "multi_thread")]
async fn no_replica_is_left_with_a_value_that_its_master_refuses() {
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let user = account("default", "");
    for values in [&[&next][..], &[&next, &current]] {
        let servers = pair("-config|set");
        let target = driver(&servers.each_ref());
        if values.len() == 1 {
            target.declare(&admin, &user, &[&current, &next]).await.unwrap();
        }
        links_come_back(&servers, 0);
        let cut_off = target.declare(&admin, &user, values).await;
        assert!(matches!(&cut_off, Err(TargetError::Unable { node, .. }) if node == "r2"), "{cut_off:?}");
        links_come_back(&servers, 0);
        let mut servers = servers;
        for server in &mut servers {
            server.restart();
        }
        links_come_back(&servers, 0);
        assert_eq!(servers[1].say(ADMIN, ADMIN_VALUE, &["ACL", "SETUSER", ADMIN, "+@all"]), "OK");
        target.declare(&admin, &user, values).await.unwrap();
        links_come_back(&servers, 0);
        for node in target.nodes() {
            let login = target.login(node, &user, &[], &current).await.unwrap();
            assert_eq!(login == Login::Accepted, values.len() == 2, "{node:?}");
        }
    }
}

/// A sentinel cannot be told: neither are those behind it, and no value goes.
#[tokio::test(flavor = "multi_thread")]
async fn no_sentinel_is_left_with_a_value_that_its_master_refuses() {
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let user = account("default", "");
    let servers = pair("");
    let mut sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(&servers[0], 2, "current-1")).collect();
    let names = ["s1", "s2", "s3"];
    let described = sentinels.iter().zip(names).map(|(one, name)| one.described(name)).collect();
    let target = driver(&servers.each_ref()).watched_by(described);
    links_come_back(&servers, 3);
    target.declare(&admin, &user, &[&current, &next]).await.unwrap();
    drop(sentinels.remove(0));
    let cut_off = target.declare(&admin, &user, &[&next]).await;
    assert!(matches!(&cut_off, Err(TargetError::Unreachable { node, .. }) if node == "s1"), "{cut_off:?}");
    links_come_back(&servers, 2);
}

/// As kolla has it: everybody logs in as `default`, replicas and sentinels too, and each sentinel keeps for itself with what.
#[tokio::test(flavor = "multi_thread")]
async fn each_sentinel_is_told_what_it_logs_in_with_and_has_logged_in_with_it() {
    let plain = ["requirepass current-1", "masterauth current-1", KEEPER];
    let master = Redis::start(&plain);
    let upstream = format!("replicaof 127.0.0.1 {}", master.port);
    let replica = Redis::start(&[&plain[..], &[&upstream]].concat());
    let mut sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(&master, 2, "current-1")).collect();
    let described: Vec<_> =
        sentinels.iter().enumerate().map(|(number, one)| one.described(&format!("s{}", number + 1))).collect();
    let nodes = [&master, &replica];
    let links = |value: &str, server: &Redis| {
        let clients = server.say("default", value, &["CLIENT", "LIST"]);
        clients.lines().filter(|line| line.contains("name=sentinel-") && line.contains("-cmd ")).count()
    };
    let linked = |value: &str| {
        for server in nodes {
            wait_for("three sentinels at a node", Duration::from_secs(60), || links(value, server) == 3);
        }
    };
    linked("current-1");
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let hazards = async |driver: &Driver| -> Vec<String> {
        let survey = driver.survey(&admin, "default", &[&current]).await.unwrap();
        survey.hazards.iter().map(ToString::to_string).collect()
    };

    // One that is not described would stay behind.
    let told = hazards(&driver(&nodes).watched_by(described[..2].to_vec())).await;
    assert!(told.len() == 2 && told.iter().all(|what| what.contains("name it under `sentinels`")), "{told:?}");
    let target = driver(&nodes).watched_by(described);
    assert_eq!(hazards(&target).await, [""; 0]);

    let user = account("default", "");
    target.declare(&admin, &user, &[&next, &current]).await.unwrap();
    for sentinel in &sentinels {
        assert!(sentinel.settings().contains("auth-pass kolla next-1"), "{}", sentinel.settings());
    }
    let mark = target.mark(&admin, &target.nodes()[0]).await.unwrap();
    let old = target.sessions(&admin, &target.nodes()[0], "default", Began::NoLaterThan(mark)).await.unwrap();
    assert!(old.is_empty(), "a sentinel's link is nobody's session: {old:?}");
    target.declare(&admin, &user, &[&next]).await.unwrap();
    linked("next-1");

    // Whoever has to log in anew is let in: after a cut, after a restart, and for a fail-over that they all agree on.
    for server in nodes {
        server.say(ADMIN, ADMIN_VALUE, &["CLIENT", "KILL", "TYPE", "normal"]);
        server.say(ADMIN, ADMIN_VALUE, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    }
    sentinels[2].restart();
    linked("next-1");
    // They have to see each other and the replica again first.
    for (what, words) in
        [("them to agree", ["SENTINEL", "CKQUORUM", "kolla"]), ("a fail-over", ["SENTINEL", "FAILOVER", "kolla"])]
    {
        wait_for(what, Duration::from_secs(60), || sentinels[0].say(&words).starts_with("OK"));
    }
    wait_for("the replica to lead", Duration::from_secs(60), || {
        replica.say("default", "next-1", &["ROLE"]).starts_with("master")
    });
    linked("next-1");

    // A sentinel that somebody else told another value is seen, and so is one that is away.
    assert_eq!(sentinels[1].say(&["SENTINEL", "SET", "kolla", "auth-pass", "another"]), "OK");
    // Any of them may be without its link for a moment.
    wait::until("it to be seen as refused", Duration::from_secs(60), async || {
        let told = target.survey(&admin, "default", &[&next]).await.unwrap().hazards;
        told.iter().any(|hazard| hazard.node == "s2" && hazard.what.contains("not logged in at r2")).then_some(())
    })
    .await;
    // It is told again.
    target.declare(&admin, &user, &[&next]).await.unwrap();
    linked("next-1");
    drop(sentinels.pop());
    let away = target.survey(&admin, "default", &[&next]).await;
    assert!(matches!(&away, Err(TargetError::Unreachable { node, .. }) if node == "s3"), "{away:?}");
}

#[tokio::test]
async fn a_value_that_a_sentinel_could_not_keep_is_refused() {
    let server = Redis::start(&["requirepass current-1", KEEPER]);
    let mut sentinel = Sentinel::start(&server, 1, "current-1");
    let (keeper, current) = (material(ADMIN_VALUE), material("current-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let user = account("default", "");
    let before = server.say(ADMIN, ADMIN_VALUE, &["ACL", "LIST"]);
    let watched = driver(&[&server]).watched_by(vec![sentinel.described("s1")]);
    for odd in ["it's", "a\"b", "two words", "a\tb", "a\nb"] {
        let refused = watched.declare(&admin, &user, &[&material(odd), &current]).await;
        assert!(matches!(refused, Err(TargetError::Unable { .. })), "{odd:?}: {refused:?}");
    }
    assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["ACL", "LIST"]), before, "nobody was changed");
    // Without sentinels it is as good as any.
    driver(&[&server]).declare(&admin, &user, &[&material("two words"), &current]).await.unwrap();
    // All else it keeps.
    let plain = r"!#$%&()*+,-./:;<=>?@[\]^_`{|}~";
    watched.declare(&admin, &user, &[&material(plain), &current]).await.unwrap();
    sentinel.restart();
    assert!(sentinel.settings().contains(plain));
    // The control: what is refused would be its end.
    assert_eq!(sentinel.say(&["SENTINEL", "SET", "kolla", "auth-pass", "it's"]), "OK");
    sentinel.cannot_restart();
}

#[tokio::test]
async fn values_stand_in_no_file_of_the_server() {
    let server = Redis::start(&[KEEPER, APP, "slowlog-log-slower-than 0", "loglevel debug"]);
    // The control: what is said in plaintext stands in the settings.
    assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["CONFIG", "SET", "masterauth", "PlaintextCanary4711"]), "OK");
    assert_eq!(server.say(ADMIN, ADMIN_VALUE, &["CONFIG", "REWRITE"]), "OK");
    assert_eq!(search::holding(server.folder(), b"PlaintextCanary4711"), [server.folder().join("redis.conf")]);

    let driver = driver(&[&server]);
    let keeper = material(ADMIN_VALUE);
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let texts = ["OldValueCanary0815", "NewValueCanary2342"];
    let (old, new) = (material(texts[0]), material(texts[1]));
    for values in [&[&old][..], &[&new, &old], &[&new], &[&new, &old]] {
        driver.declare(&admin, &app(), values).await.unwrap();
        for value in [&old, &new] {
            driver.login(&driver.nodes()[0], &app(), &[app()], value).await.unwrap();
        }
    }
    assert!(server.say("app", texts[1], &["PING"]).contains("PONG"));
    let slow = server.say(ADMIN, ADMIN_VALUE, &["SLOWLOG", "GET", "1000"]);
    let log = server.say(ADMIN, ADMIN_VALUE, &["ACL", "LOG"]);
    assert!(slow.contains("SETUSER") && log.contains("app"), "{slow} {log}");
    for text in texts {
        for part in [text, &text[..9], &text[9..]] {
            let found = search::holding(server.folder(), part.as_bytes());
            assert!(found.is_empty() && !slow.contains(part) && !log.contains(part), "{part}: {found:?}");
        }
    }
}
