//! Galera nodes that fetch a full copy from each other by `mariadb-backup`: with a password in each node's configuration, and,
//! as plan and doctor advise, by an account that the node's own socket lets in, which no rotation ever touches.

use donjon_tests::{
    donjon::{Donjon, binary},
    galera::Growing,
    mariadb::{MariaDb, native_hash},
    process::Standing,
    wait,
};
use std::{path::Path, process::Command, time::Duration};

const ROOT: &str = "the-first-root-password-4711";
const CHECK: &str = "the-first-check-password-4711";
const BACKUP: &str = "the-first-backup-password-4711";
const BACKUP_SECRET: &str = "MysqlMariabackupPassword";

/// What this donor says of itself while it gives a copy.
async fn gives(node: &MariaDb) -> bool {
    node.sql("SHOW STATUS LIKE 'wsrep_local_state'").await[0][1] == "2"
}

/// The process that copies a donor's data, while there is one.
fn copies(donor: &MariaDb) -> Option<i32> {
    let folder = donor.folder().display().to_string();
    let mut pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        words
            .split('\0')
            .next()
            .is_some_and(|program| program.ends_with("mariadb-backup") || program.ends_with("mariabackup"))
            && words.contains(&folder)
    })
}

fn describe(donjon: &Donjon, nodes: &[MariaDb]) {
    let lines: Vec<String> = nodes
        .iter()
        .zip(["n1", "n2", "n3"])
        .map(|(node, name)| {
            let socket = node.socket();
            format!("      - {{name: {name}, address: 127.0.0.1, port: {}, socket: {}}}", node.port, socket.display())
        })
        .collect();
    donjon.describe(&format!(
        "deployment: site1\ncatalogue: tripleo\ndrain: 1\ntargets:\n  mariadb:\n    driver: mariadb\n    nodes:\n{}\n",
        lines.join("\n")
    ));
}

/// Types what the doctor said, as root in a shell.
fn type_in(donjon: &Donjon, lines: &[String]) {
    let path = binary().parent().map(Path::to_owned).expect("it lies in a folder");
    let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &lines.join("\n")]).env("PATH", path).env("DONJON_HOME", donjon.home());
    let done = shell.output().expect("there is a shell");
    assert!(done.status.success(), "{lines:#?}\n{}", String::from_utf8_lossy(&done.stderr));
}

fn next(donjon: &Donjon, secret: &str) -> (Vec<String>, String) {
    let told = donjon.run(&["doctor", secret, "--output", "json"]).json();
    let lines = told["secrets"][0]["next"].as_array().expect("a list");
    let lines = lines.iter().map(|line| line.as_str().expect("a line").to_owned()).collect();
    (lines, told["secrets"][0]["findings"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_by_an_account_of_the_socket_in_the_middle_of_rotations() {
    let mut cluster = Growing::start().await;
    let first = &cluster.nodes[0];
    let by = |value| format!("unix_socket OR mysql_native_password USING '{}'", native_hash(value));
    first.sql(&format!("ALTER USER root@localhost IDENTIFIED VIA {}", by(ROOT))).await;
    for (user, value) in [("clustercheck", CHECK), ("mariabackup", BACKUP)] {
        first.account(user, "localhost", value).await;
    }

    // As deployers leave it: the second one joins by a password, which stands in its configuration.
    first.sql(&format!("SET GLOBAL wsrep_sst_auth = 'mariabackup:{BACKUP}'")).await;
    let second = cluster.newcomer(&format!("mariabackup:{BACKUP}")).await;
    assert!(!second.holds(BACKUP.as_bytes()).is_empty(), "the control: it stands in a file");
    cluster.nodes.push(second);

    let donjon = Donjon::new();
    describe(&donjon, &cluster.nodes);
    donjon.up();
    for (secret, value) in [("MysqlRootPassword", ROOT), ("MysqlClustercheckPassword", CHECK), (BACKUP_SECRET, BACKUP)]
    {
        donjon.run_with_input(&["put", secret], value.as_bytes()).ok();
    }
    let plan = donjon.run(&["rotate", "plan", BACKUP_SECRET]).ok();
    assert!(plan.contains("wsrep_sst_auth") && plan.contains(&format!("`donjon doctor {BACKUP_SECRET}`")), "{plan}");
    assert!(!donjon.run(&["rotate", "plan", "MysqlClustercheckPassword"]).ok().contains("wsrep_sst_auth"));

    // What the doctor says is typed; then it has nothing more to say.
    let (lines, findings) = next(&donjon, BACKUP_SECRET);
    assert!(findings.contains("fetch full copies from each other with this value"), "{findings}");
    assert!(lines.iter().any(|line| line.contains("wsrep_sst_auth=mysql:")), "{lines:#?}");
    type_in(&donjon, &lines);
    let (lines, findings) = next(&donjon, BACKUP_SECRET);
    assert_eq!((lines, findings.as_str()), (Vec::new(), "[]"), "one that needs no value is there");

    // The old account needs no password any more: there is nothing to rotate.
    cluster.nodes[0].sql("ALTER USER mariabackup@localhost IDENTIFIED VIA unix_socket").await;
    let nothing = "mariabackup@localhost in by the node's own socket (unix_socket): there is no value";
    for words in [&["rotate", "plan", BACKUP_SECRET][..], &["rotate", "plan", "--all"]] {
        let told = donjon.run(words).ok();
        assert!(told.contains("LEFT ALONE") && told.contains(nothing), "{words:?}: {told}");
    }
    let told = donjon.run(&["rotate", "apply", BACKUP_SECRET]).failed(4);
    assert!(told.contains(nothing), "{told}");
    let told = donjon.run(&["doctor", BACKUP_SECRET]).ok();
    assert!(told.contains("healthy") && told.contains(nothing), "{told}");

    // Root and the check's account rotate, and wait for a session of before.
    let pooled = cluster.nodes[0].session("root", ROOT).await;
    let apply = ["rotate", "apply", "MysqlRootPassword", "MysqlClustercheckPassword"];
    donjon.run(&apply).failed(13);
    let new = donjon.run(&["get", "MysqlRootPassword"]).ok();
    let meanwhile = async {
        let copying = wait::until("one to give a copy", Duration::from_secs(60), async || {
            let mut donors = cluster.nodes.iter().filter_map(|node| Some((node, copies(node)?)));
            let (donor, pid) = donors.next()?;
            gives(donor).await.then_some(pid)
        })
        .await;
        // It does not end before it is met.
        let standing = Standing::still(copying);
        drop(pooled);
        let refused = donjon.run(&["rotate", "resume"]).failed(11);
        drop(standing);
        assert!(refused.contains("not a synced node of the primary component"), "{refused}");
        assert!(refused.contains("Donor/Desynced"), "{refused}");
        for node in &cluster.nodes {
            assert!(node.logs_in("root", ROOT).await && node.logs_in("root", &new).await, "both are valid meanwhile");
        }
    };
    let (third, ()) = tokio::join!(cluster.newcomer("mysql:"), meanwhile);
    cluster.nodes.push(third);
    describe(&donjon, &cluster.nodes);
    donjon.run(&["rotate", "resume"]).ok();
    for node in &cluster.nodes {
        assert!(!node.logs_in("root", ROOT).await && node.logs_in("root", &new).await);
    }
    donjon.run(&apply).ok();
    let new = donjon.run(&["get", "MysqlRootPassword"]).ok();
    let third = &cluster.nodes[2];
    assert!(third.logs_in("root", &new).await);
    let own = std::fs::read_to_string(third.folder().join("error.log")).unwrap_or_default();
    assert!(own.contains("mariabackup SST completed on joiner"), "{own}");
    assert!(third.holds(BACKUP.as_bytes()).is_empty(), "{:?}", third.holds(BACKUP.as_bytes()));
}
