//! Two brokers on one Vault: one that is alive is left alone, and one that stalled changes nothing when it wakes.

use super::{existing, push};
use donjon_tests::{
    donjon::Donjon,
    mariadb::MariaDb,
    openbao::OpenBao,
    process::{Standing, wait_for},
    proxy::{Act, Proxy},
};
use rustix::process::Signal;
use std::{
    net::Ipv4Addr,
    process::{Child, Stdio},
    time::Duration,
};

const OLD: &str = "the-first-root-password-4711";

fn broker(vault: &OpenBao, folder: &tempfile::TempDir, server: &MariaDb) -> Donjon {
    let mut donjon = Donjon::new();
    existing::uses(&mut donjon, vault, folder);
    donjon.describe(&format!(
        "deployment: site1
targets:
  mariadb:
    driver: mariadb
    nodes:
      - {{name: db1, address: 127.0.0.1, port: {}, socket: {}}}
",
        server.port,
        server.socket().display(),
    ));
    donjon
}

/// Starts a broker whose daemon stalls at a point for some seconds, and a rotation in it; gives back the daemon's id too,
/// for one that stalls does not tell it.
fn stalls_at(donjon: &mut Donjon, point: &str, seconds: u32) -> (i32, Child) {
    if let Some(daemon) = donjon.daemon() {
        donjon_tests::donjon::end(daemon, Signal::KILL);
    }
    donjon.set("FAILPOINTS", &format!("{point}=1*sleep({seconds}000)"));
    donjon.up();
    donjon.unset("FAILPOINTS");
    let mut command = donjon.command(&["rotate", "apply", "database_password"]);
    let daemon = donjon.daemon().expect("it runs");
    (daemon, command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts"))
}

fn under_way(donjon: &Donjon, state: &str) {
    wait_for(state, Duration::from_secs(30), || donjon.run(&["rotate", "status"]).out.contains(state));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lives_is_left_alone_and_one_that_stalled_changes_nothing_late() {
    let (vault, folder, server) = (OpenBao::start().await, tempfile::tempdir().unwrap(), MariaDb::start().await);
    server.root_accounts(OLD).await;
    let (mut first, second) = (broker(&vault, &folder, &server), broker(&vault, &folder, &server));
    second.up();
    second.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();

    // It lives, though it hangs: nobody takes it over by accident. Once it is dead, anybody may.
    let (daemon, rotation) = stalls_at(&mut first, "rotation.moved.added", 120);
    under_way(&second, "added");
    let refused = second.run(&["rotate", "resume"]).failed(5);
    assert!(refused.contains("which is alive") && refused.contains("--take-over"), "{refused}");
    donjon_tests::donjon::end(daemon, Signal::KILL);
    assert_eq!(rotation.wait_with_output().expect("it ended").status.code(), Some(6));
    second.run(&["rotate", "resume"]).ok();

    // It stalls before it tells the server to take the new value alone; the other one goes back meanwhile.
    let before = second.run(&["get", "database_password"]).ok();
    let (daemon, rotation) = stalls_at(&mut first, "rotation.moved.verified", 8);
    under_way(&second, "verified");
    // However long the other one takes.
    let standing = Standing::still(daemon);
    let aborted = second.run(&["rotate", "abort", "--take-over", "--output", "json"]).json();
    drop(standing);
    assert_eq!(aborted["rotations"][0]["state"], "aborted");
    let late = rotation.wait_with_output().expect("it ended");
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert_eq!(late.status.code(), Some(5), "{said}");
    assert!(said.contains("another broker has taken over") && said.contains("this one has stopped"), "{said}");
    assert_eq!(second.run(&["get", "database_password"]).ok(), before);
    second.run(&["rotate", "status"]).ok();
    let applied = second.run(&["rotate", "apply", "database_password", "--output", "json"]).json();
    assert_eq!(applied["rotations"][0]["state"], "retired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_a_broker_that_stands_still_is_named_as_that_brokers() {
    let (vault, folder) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let server = MariaDb::start_with(&["--skip-name-resolve"]).await;
    server.account("root", "127.0.0.1", OLD).await;
    let (proxy, port) = Proxy::tcp((Ipv4Addr::LOCALHOST, server.port).into()).await;
    let site = || {
        let mut donjon = Donjon::new();
        existing::uses(&mut donjon, &vault, &folder);
        let node = format!("{{name: db1, address: 127.0.0.1, port: {port}}}");
        donjon.describe(&format!(
            "deployment: site1\ndrain: 1\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{node}]}}\n"
        ));
        donjon.up();
        donjon
    };
    let (first, second) = (site(), site());
    second.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();

    // After the first look at the two users that the secret may have, the next one, once the new value is stored: no lock is
    // held yet by which others could end it.
    proxy.set("FROM mysql.global_priv", 2, Act::HoldReply);
    let mut apply = first.command(&["rotate", "apply", "database_password"]);
    let mut rotation = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    under_way(&second, "staged");
    wait_for("it to be held", Duration::from_secs(30), || proxy.has_acted());
    let daemon = first.daemon().expect("it runs");
    let standing = Standing::still(daemon);

    let waits = second.run(&["rotate", "resume", "--take-over"]);
    let status = second.run(&["rotate", "status"]);
    // Before anything is asserted: a process that stands still would be waited for.
    donjon_tests::donjon::end(daemon, Signal::KILL);
    drop(standing);
    rotation.wait().expect("it ends with its daemon");
    proxy.drop_held();
    let waits = waits.failed(13);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = format!("the broker on {host} (process {daemon}), from which this rotation was taken over at 20");
    assert!(
        waits.contains(&named) && waits.contains(": a session of root, root_shard_0 at `mariadb` from "),
        "{waits}"
    );
    assert!(waits.contains("end a broker that stands still by its process"), "{waits}");
    assert!(status.code == 13 && status.out.contains(&named), "who asks later is told as well: {status:?}");

    second.run(&["rotate", "resume"]).ok();
    let new = second.run(&["get", "database_password"]).ok();
    assert_ne!(new, OLD);
    assert!(server.logs_in("root", &new).await, "the new value");
    assert!(!server.logs_in("root", OLD).await, "the old value");
}

/// Deployer runs and restarts are one at a time for all brokers of a store, and not for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_under_way_keeps_the_others_waiting() {
    let (vault, folder, server) = (OpenBao::start().await, tempfile::tempdir().unwrap(), MariaDb::start().await);
    let (first, second) = (of_a_group(&vault, &folder, &server).await, of_a_group(&vault, &folder, &server).await);
    let there = |name: &str| folder.path().join(name).exists();
    let touch = |name: &str| donjon_drivers::fs::replace(&folder.path().join(name), b"").expect("it can be written");
    let at = push::named(&vault, &folder);
    let export: Vec<&str> = ["export", "vault"].into_iter().chain(at.iter().map(String::as_str)).collect();

    // A deployer.
    let script = format!("touch {}/deploying; exec sleep 60", folder.path().display());
    let mut command = first.command(&["run", "--deploy", "--", "sh", "-c", &script]);
    let mut run = command.stdin(Stdio::null()).spawn().expect("donjon is built");
    wait_for("the run to begin", Duration::from_secs(20), || there("deploying"));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let under = format!("another broker of this store, process {} on {host}", first.daemon().expect("it runs"));
    let nested = first.run(&["run", "--deploy", "--", "true"]);
    let put = second.run_with_input(&["put", "x"], b"a-value-long-enough").failed(13);
    let refused = [second.run(&NOVA).failed(13), put, second.run(&export).failed(13)];
    run.kill().expect("it runs");
    run.wait().expect("a child can be waited for");
    assert_eq!(nested.code, 0, "several of one broker share it: {nested:?}");
    for refused in refused {
        assert!(refused.contains("a deployer run is under way") && refused.contains(&under), "{refused}");
    }
    assert!(server.logs_in("nova", OLD).await, "nothing was changed");
    second.run(&["rotate", "status"]).ok();
    wait_for("the run to be over for the other one, too", Duration::from_secs(20), || {
        second.run_with_input(&["put", "x"], b"a-value-long-enough").code == 0
    });

    // A rotation, in the middle of a restart.
    let rotation = applies(&first, &ROOT);
    wait_for("the restart", Duration::from_secs(30), || there("api.restarting"));
    let (refused, deployer) = (second.run(&NOVA), second.run(&["run", "--deploy", "--", "true"]));
    let exported = second.run(&export);
    touch("api.go");
    let rotated = rotation.wait_with_output().expect("it ended");
    for refused in [refused.failed(5), exported.failed(5)] {
        assert!(refused.contains("another broker rotates `database_password` at this moment"), "{refused}");
    }
    assert!(deployer.failed(13).contains("`database_password` has not ended"));
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    second.run(&["rotate", "status"]).ok();
    touch("web.go");
    second.run(&NOVA).ok();
    assert!(!server.logs_in("nova", OLD).await);
}

/// Nor where two begin at once, or one goes on with what had stood still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_begin_at_once_or_go_on_restart_no_two_of_a_group() {
    let (vault, folder, server) = (OpenBao::start().await, tempfile::tempdir().unwrap(), MariaDb::start().await);
    let (first, second) = (of_a_group(&vault, &folder, &server).await, of_a_group(&vault, &folder, &server).await);
    let there = |name: &str| folder.path().join(name).exists();
    let touch = |name: &str| donjon_drivers::fs::replace(&folder.path().join(name), b"").expect("it can be written");

    let both = [applies(&first, &ROOT), applies(&second, &NOVA)];
    wait_for("one of them to restart", Duration::from_secs(60), || there("api.restarting") || there("web.restarting"));
    // The other one has been told before this one restarts, or has been seen.
    let went_on = if there("api.restarting") { "api" } else { "web" };
    let other = if went_on == "api" { "web" } else { "api" };
    let [mut root, mut nova] = both;
    let stopped = if went_on == "api" { &mut nova } else { &mut root };
    wait_for("the other one to stop", Duration::from_secs(60), || stopped.try_wait().expect("it is ours").is_some());
    assert_eq!(stopped.try_wait().expect("it is ours").and_then(|status| status.code()), Some(5));
    assert!(!there(&format!("{other}.restarting")), "two of a group restarted");
    for name in ["api.go", "web.go"] {
        touch(name);
    }
    let goes_on = if went_on == "api" { &mut root } else { &mut nova };
    assert!(goes_on.wait().expect("it ends").success());
    for name in ["api.go", "web.go", "api.restarting", "web.restarting"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }

    // One is killed in the middle of a restart; the other one may begin then, and keeps it waiting when it comes back.
    let mut killed = applies(&first, &ROOT);
    wait_for("its restart", Duration::from_secs(60), || there("api.restarting"));
    donjon_tests::donjon::end(first.daemon().expect("it runs"), Signal::KILL);
    killed.wait().expect("it ends with its daemon");
    let rotation = applies(&second, &NOVA);
    wait_for("the other restart", Duration::from_secs(60), || there("web.restarting"));
    first.up();
    let refused = first.run(&["rotate", "resume"]).failed(5);
    touch("web.go");
    assert!(rotation.wait_with_output().expect("it ended").status.success());
    assert!(refused.contains("another broker rotates `nova_database_password` at this moment"), "{refused}");
    assert!(refused.contains("this broker has taken it over") && !refused.contains("nothing was changed"), "{refused}");
    let status = first.run(&["rotate", "status", "--output", "json"]).out;
    assert!(
        status.contains(r#""waiting":"another broker rotates `nova_database_password` at this moment""#),
        "{status}"
    );
    touch("api.go");
    first.run(&["rotate", "resume"]).ok();
}

const ROOT: [&str; 3] = ["rotate", "apply", "database_password"];
const NOVA: [&str; 3] = ["rotate", "apply", "nova_database_password"];

fn applies(donjon: &Donjon, words: &[&str]) -> Child {
    donjon.command(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// A broker of two secrets with a service each, of one group, whose restarts last until a file is there.
async fn of_a_group(vault: &OpenBao, folder: &tempfile::TempDir, server: &MariaDb) -> Donjon {
    server.root_accounts(OLD).await;
    server.account("nova", "%", OLD).await;
    let at = folder.path().display().to_string();
    let service = |name: &str, uses: &str| {
        let waits = format!(
            "touch {at}/{name}.restarting; for i in $(seq 600); do test -e {at}/{name}.go && exit; sleep 0.1; done"
        );
        format!(
            "\u{20} {name}: {{driver: command, quorum_group: q, restart: [sh, -c, {waits:?}], started: [date, +%s%6N], proof: check, check: ['true'], uses: [{uses}]}}\n"
        )
    };
    let mut donjon = Donjon::new();
    existing::uses(&mut donjon, vault, folder);
    donjon.describe(&format!(
        "deployment: site1\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}\nservices:\n{}{}",
        server.port,
        server.socket().display(),
        service("api", "database_password"),
        service("web", "nova_database_password"),
    ));
    donjon.up();
    for name in ["database_password", "nova_database_password"] {
        donjon.run_with_input(&["put", name], OLD.as_bytes()).ok();
    }
    donjon
}
