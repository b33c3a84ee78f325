//! Two brokers on one Vault: one that is alive is left alone, and one that stalled changes nothing when it wakes.

use super::existing;
use donjon_tests::{
    donjon::Donjon,
    mariadb::MariaDb,
    openbao::OpenBao,
    process::wait_for,
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
    let (_, rotation) = stalls_at(&mut first, "rotation.moved.verified", 8);
    under_way(&second, "verified");
    let aborted = second.run(&["rotate", "abort", "--take-over", "--output", "json"]).json();
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
    let stopped = rustix::process::Pid::from_raw(daemon).expect("it is a process");
    rustix::process::kill_process(stopped, Signal::STOP).expect("it is ours");

    let waits = second.run(&["rotate", "resume", "--take-over"]);
    let status = second.run(&["rotate", "status"]);
    // Before anything is asserted: a process that stands still would be waited for.
    donjon_tests::donjon::end(daemon, Signal::KILL);
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
    server.root_accounts(OLD).await;
    server.account("nova", "%", OLD).await;
    let at = folder.path().display().to_string();
    let site = || {
        let mut donjon = Donjon::new();
        existing::uses(&mut donjon, &vault, &folder);
        let waits = format!("touch {at}/restarting; for i in $(seq 600); do test -e {at}/go && exit; sleep 0.1; done");
        donjon.describe(&format!(
            "deployment: site1\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}\n\
             services:\n  api: {{driver: command, restart: [sh, -c, {waits:?}], started: [date, +%s%6N], proof: check, check: ['true'], uses: [database_password]}}\n",
            server.port,
            server.socket().display(),
        ));
        donjon.up();
        donjon
    };
    let (first, second) = (site(), site());
    for name in ["database_password", "nova_database_password"] {
        second.run_with_input(&["put", name], OLD.as_bytes()).ok();
    }
    let nova = ["rotate", "apply", "nova_database_password"];

    // A deployer.
    let mark = folder.path().join("deploying");
    let script = format!("touch {}; exec sleep 60", mark.display());
    let mut command = first.command(&["run", "--deploy", "--", "sh", "-c", &script]);
    let mut run = command.stdin(Stdio::null()).spawn().expect("donjon is built");
    wait_for("the run to begin", Duration::from_secs(20), || mark.exists());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let under = format!("another broker of this store, process {} on {host}", first.daemon().expect("it runs"));
    let refused =
        [second.run(&nova).failed(13), second.run_with_input(&["put", "x"], b"a-value-long-enough").failed(13)];
    run.kill().expect("it runs");
    run.wait().expect("a child can be waited for");
    for refused in refused {
        assert!(refused.contains("a deployer run is under way") && refused.contains(&under), "{refused}");
    }
    assert!(server.logs_in("nova", OLD).await, "nothing was changed");
    second.run(&["rotate", "status"]).ok();
    wait_for("the run to be over for the other one, too", Duration::from_secs(20), || {
        second.run_with_input(&["put", "x"], b"a-value-long-enough").code == 0
    });

    // A rotation, in the middle of a restart.
    let mut command = first.command(&["rotate", "apply", "database_password"]);
    let rotation = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for("the restart", Duration::from_secs(30), || folder.path().join("restarting").exists());
    let (refused, deployer) = (second.run(&nova), second.run(&["run", "--deploy", "--", "true"]));
    donjon_drivers::fs::replace(&folder.path().join("go"), b"").expect("it can be written");
    let rotated = rotation.wait_with_output().expect("it ended");
    let refused = refused.failed(5);
    assert!(refused.contains("another broker rotates `database_password` at this moment"), "{refused}");
    assert!(deployer.failed(13).contains("`database_password` has not ended"));
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    second.run(&["rotate", "status"]).ok();
    second.run(&nova).ok();
    assert!(!server.logs_in("nova", OLD).await);
}
