//! The whole way: a three-controller overcloud and two edge sites live from their bundles, the temporary Vault is gone, and a
//! rotation weeks later waits for the site that is offline.

use donjon_tests::{
    castellan::Castellan,
    donjon::{Donjon, Ran, binary},
    keystone::{DATABASE_USER, DATABASE_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    namespaces::{Host, Hosts, Link},
    process::{Guard, write_program},
    tools,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

const ROOT: &str = "the-root-password-4711";

/// A service that logs in at its node's reader when it is started, as one with castellan does.
const SERVICE: &str = "#!/bin/sh
set -e
cd FOLDER
case $1 in
restart)
    date +%s%6N > api.started
    BAO_ADDR=$(cat url) PROGRAM write auth/approle/login \\
        role_id=@node/approle/keystone/role-id secret_id=@node/approle/keystone/secret-id > /dev/null ;;
started) cat api.started 2>/dev/null || true ;;
read)
    export BAO_ADDR=$(cat url)
    export BAO_TOKEN=$(PROGRAM write -field=token auth/approle/login \\
        role_id=@node/approle/keystone/role-id secret_id=@node/approle/keystone/secret-id)
    PROGRAM kv get -mount=donjon -field=password site1/keystone.database.connection ;;
esac
";

/// One node of a site: its identity, its reader, its services. Without a host it is this machine itself.
struct Node {
    site: &'static str,
    name: &'static str,
    host: Option<Host>,
    recipient: String,
    donjon: Donjon,
    files: tempfile::TempDir,
    serving: Option<Guard>,
}

impl Node {
    fn new(site: &'static str, name: &'static str, host: Option<Host>) -> Self {
        use age::secrecy::ExposeSecret;
        let key = age::x25519::Identity::generate();
        let (files, donjon) = (tempfile::tempdir().unwrap(), Donjon::new());
        let recipient = key.to_public().to_string();
        let node = Self { site, name, host, recipient, donjon, files, serving: None };
        donjon_drivers::fs::replace(&node.path("identity"), key.to_string().expose_secret().as_bytes()).unwrap();
        let (folder, bao) = (node.files.path().display().to_string(), tools::program("bao").display().to_string());
        let script = SERVICE.replace("FOLDER", &folder).replace("PROGRAM", &bao);
        write_program(&node.path("service"), &script);
        node.donjon.describe(&format!(
            "deployment: site1\nservices:\n  api: {{driver: command, settle: 5, uses: [keystone.database.connection], \
             restart: [{0}, restart], started: [{0}, started]}}\n",
            node.text("service")
        ));
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `donjon` on this node.
    fn command(&self, words: &[&str]) -> Command {
        let Some(host) = &self.host else { return self.donjon.command(words) };
        let mut command = host.command(binary());
        command.args(words).env("DONJON_HOME", self.donjon.home()).env("NO_COLOR", "1");
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(words, self.command(words).stdin(Stdio::null()).output().unwrap())
    }

    /// A bundle of its own from the authority, taken in; its receipt goes back by file. An authority that came out of a
    /// custodians' bundle has a key of its own, which is pinned by file.
    fn takes(&mut self, authority: &Donjon, pin: &[&str]) {
        self.serving = None;
        let (file, identity, folder) = (self.text("bundle"), self.text("identity"), self.text("node"));
        let export = ["export", "bundle", "--site", self.site, "--role", "keystone", "--host", self.name];
        authority.run(&[&export[..], &["--recipient", &self.recipient, "-o", &file]].concat()).ok();
        self.run(&[&["import", &file, "-i", &identity, "--into", &folder], pin].concat()).ok();
        authority.run(&["receipt", &format!("{file}.receipt")]).ok();
        self.serve();
    }

    /// Starts its reader, on its own loopback.
    fn serve(&mut self) {
        let (identity, folder) = (self.text("identity"), self.text("node"));
        let words = ["serve", "-i", &identity, "--node", &folder, "--listen", "127.0.0.1:0", "--output", "json"];
        let mut child = self.command(&words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.serving = Some(Guard::from(child));
        let told: Value = serde_json::from_str(&line).expect("it says where it serves");
        donjon_drivers::fs::replace(&self.path("url"), told["url"].as_str().unwrap().as_bytes()).unwrap();
    }

    /// What unchanged castellan needs to read at this node; the lines of Keystone's file that lead there.
    fn castellan(&self) -> String {
        let url = std::fs::read_to_string(self.path("url")).unwrap();
        let castellan = Castellan { url, authority: None, approle: self.path("node/approle/keystone") };
        castellan.configure(self.files.path())
    }

    /// What its reader answers to `bao`, on the node itself.
    fn reads(&self) -> String {
        let mut command = match &self.host {
            Some(host) => host.command(self.path("service")),
            None => Command::new(self.path("service")),
        };
        let output = command.arg("read").output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Says that it runs on its bundle, by a file.
    fn drains(&self, authority: &Donjon, more: &[&str]) {
        let (identity, folder, receipt) = (self.text("identity"), self.text("node"), self.text("drained"));
        self.run(&[&["drain", "-i", &identity, "--node", &folder, "--receipt", &receipt], more].concat()).ok();
        authority.run(&["receipt", &receipt]).ok();
    }
}

/// Starts an instance of Keystone anew, as the node's service manager would, and notes when.
async fn restart(keystone: &mut Keystone, node: &Node) {
    // Its reader may listen elsewhere now, and castellan's file says where.
    node.castellan();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    donjon_drivers::fs::replace(&node.path("api.started"), format!("{now}\n").as_bytes()).unwrap();
    keystone.restart(0).await;
}

/// Whether a host is there for this machine: one that is refuses a connection to a port at which nobody listens, at once.
fn reached(host: &Host) -> bool {
    let address = std::net::SocketAddr::new(host.address.parse().unwrap(), 9);
    match std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(2)) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_first_bundle_to_a_rotation_that_waits_for_the_site_that_is_offline() {
    let hosts = Hosts::new(5);
    let machine = &hosts.machine;
    let database = MariaDb::start_with(&[&format!("--bind-address=127.0.0.1,{machine}"), "--skip-name-resolve"]).await;
    database.root_accounts(ROOT).await;
    let on = |number: usize| Some(hosts.host(number).clone());
    let mut nodes = vec![
        Node::new("overcloud", "ctl1", on(0)),
        Node::new("overcloud", "ctl2", on(1)),
        Node::new("overcloud", "ctl3", on(2)),
        Node::new("edge1", "edge1-node", on(3)),
        Node::new("edge2", "edge2-node", on(4)),
    ];
    let deployment = format!(
        "deployment: site1\ncatalogue: kolla-ansible\ndrain: 2\ntargets:\n  mariadb:\n    driver: mariadb\n    nodes:\n      \
         - {{name: db1, address: 127.0.0.1, port: {port}, socket: {socket}}}\nviews:\n  keystone.database.connection: \
         'mysql+pymysql://{DATABASE_USER}:{{keystone_database_password:url}}@{machine}:{port}/{DATABASE_USER}'\nroles:\n  \
         keystone: {{reads: [keystone.database.connection]}}\nsites:\n  overcloud: {{roles: [keystone], recipients: []}}\n  \
         edge1: {{roles: [keystone], recipients: []}}\n  edge2: {{roles: [keystone], recipients: []}}\n",
        port = database.port,
        socket = database.socket().display()
    );
    let (undercloud, later) = (Donjon::new(), Donjon::new());
    undercloud.describe(&deployment);
    later.describe(&deployment);
    undercloud.up();
    for (name, value) in [("database_password", ROOT), ("keystone_database_password", DATABASE_VALUE)] {
        undercloud.run_with_input(&["put", name], value.as_bytes()).ok();
    }
    undercloud.run(&["generate", "nova_database_password", "rabbitmq_password", "keystone_admin_password"]).ok();

    // Export, import, receipts; a drill; and the temporary Vault is gone.
    for node in &mut nodes {
        node.takes(&undercloud, &[]);
    }
    let custodian = Node::new("overcloud", "custodian", None);
    let (bundle, identity) = (custodian.text("everything"), custodian.text("identity"));
    let everything = ["export", "bundle", "--custodians", "--recipient", &custodian.recipient, "-o", &bundle];
    undercloud.run(&everything).ok();
    let old_key = custodian.text("undercloud.pem");
    undercloud.run(&["export", "key", "-o", &old_key]).ok();
    undercloud.run(&["doctor", "--drill", &bundle, "-i", &identity]).ok();
    undercloud.run(&["down", "--no-search"]).ok();
    assert!(!undercloud.home().join("vault/raft").exists(), "the temporary Vault is gone");

    // Keystone on the first controller has its database's URL from the node's reader, through unchanged castellan.
    let setup = Setup { database: Some(nodes[0].castellan()), host: on(0), ..Setup::default() };
    let mut keystone = Keystone::start_with(&database, setup).await;
    keystone.user("app", "value-1").await;
    restart(&mut keystone, &nodes[0]).await;
    keystone.token(0, "app", "value-1").await.expect("Keystone reaches its database");

    // Weeks later the bundle is opened as the new authority. A rotation goes as far as the sites let it.
    later.run(&["up", "--from", &bundle, "-i", &identity, "--authority-key", &old_key]).ok();
    later.run(&["rotate", "apply", "keystone_database_password"]).failed(13);
    let error = later.run(&["down", "--no-search"]).failed(13);
    assert!(error.contains("a rotation has not ended"), "servers have a value that only this store holds: {error}");
    let value = later.run(&["get", "keystone_database_password"]).ok();
    assert_ne!(value, DATABASE_VALUE, "the new value is published");
    for password in [DATABASE_VALUE, &value] {
        assert!(database.logs_in(DATABASE_USER, password).await, "both are good while a site is waited for");
    }

    // All but the second edge, which is offline: what it has, it serves.
    assert!(reached(hosts.host(4)), "the control");
    hosts.host(4).link(Link::Down);
    assert!(!reached(hosts.host(4)), "nobody reaches the site that is offline");
    let key = custodian.text("authority.pem");
    later.run(&["export", "key", "-o", &key]).ok();
    let pin = ["--authority-key", &key];
    let (edge2, online) = nodes.split_last_mut().unwrap();
    for node in online.iter_mut() {
        node.takes(&later, &pin);
    }
    assert!(online.iter().all(|node| node.reads().contains(&value)), "each node serves the new value");
    restart(&mut keystone, &online[0]).await;
    // castellan logs in when the first option is asked for, not before.
    keystone.token(0, "app", "value-1").await.expect("Keystone runs on the new value");
    for (number, node) in online.iter().enumerate() {
        node.drains(&later, if number == 0 { &[] } else { &["--restart"] });
    }
    later.run(&["rotate", "resume"]).failed(13);
    let status = later.run(&["rotate", "status"]);
    assert!(status.code == 13 && status.out.contains("edge2"), "{status:#?}");
    assert!(!status.out.contains("edge1") && !status.out.contains("overcloud"), "{status:#?}");
    assert!(edge2.reads().contains(DATABASE_VALUE), "the offline site serves what it has");
    assert!(database.logs_in(DATABASE_USER, DATABASE_VALUE).await, "and is not cut off");

    // It is back.
    assert!(!reached(hosts.host(4)), "it was offline all the time");
    hosts.host(4).link(Link::Up);
    assert!(reached(hosts.host(4)));
    edge2.takes(&later, &pin);
    edge2.drains(&later, &["--restart"]);
    let resumed = later.run(&["rotate", "resume", "--output", "json"]).json();
    assert_eq!(resumed["rotations"][0]["state"], "retired", "{resumed}");
    assert!(!database.logs_in(DATABASE_USER, DATABASE_VALUE).await, "the old value is refused");
    restart(&mut keystone, &nodes[0]).await;
    keystone.token(0, "app", "value-1").await.expect("Keystone reaches its database");
}
