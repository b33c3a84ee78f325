//! A new authority, made from a custodians' bundle, rotates on a real MariaDB; also what the old one had begun.

use donjon::rotation::checkpoint::POINTS;
use donjon_tests::{
    donjon::{Donjon, runs},
    mariadb::MariaDb,
    process::wait_for,
};
use mysql_async::{Conn, OptsBuilder};
use std::time::Duration;

const FIRST: &str = "the-first-root-password-4711";

struct Site {
    server: MariaDb,
    old: Donjon,
    new: Donjon,
    files: tempfile::TempDir,
    recipient: String,
}

impl Site {
    async fn new() -> Self {
        use age::secrecy::ExposeSecret;
        let server = MariaDb::start().await;
        for host in ["localhost", "127.0.0.1", "%"] {
            server.account("root", host, FIRST).await;
        }
        let files = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let identity = key.to_string();
        donjon_drivers::fs::replace(&files.path().join("custodian"), identity.expose_secret().as_bytes()).unwrap();
        let deployment = format!(
            "deployment: site1\ntargets:\n  mariadb:\n    driver: mariadb\n    nodes:\n      \
             - {{name: db1, address: 127.0.0.1, port: {}, socket: {}}}\n",
            server.port,
            server.socket().display()
        );
        let (old, new) = (Donjon::new(), Donjon::new());
        old.describe(&deployment);
        new.describe(&deployment);
        old.up();
        old.run_with_input(&["put", "database_password"], FIRST.as_bytes()).ok();
        Self { server, old, new, files, recipient: key.to_public().to_string() }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// Everything goes from the old authority to the new one, and the old one ends.
    fn move_authority(&self) {
        let (bundle, identity) = (self.file("everything.donjon"), self.file("custodian"));
        let export = ["export", "bundle", "--custodians", "--recipient", &self.recipient, "-o", &bundle];
        self.old.run(&export).ok();
        let key = self.file("authority.pem");
        self.old.run(&["export", "key", "-o", &key]).ok();
        self.new.run(&["up", "--from", &bundle, "-i", &identity, "--authority-key", &key]).ok();
        self.old.run(&["receipt", &self.file("everything.donjon.receipt")]).ok();
        self.old.run(&["down"]).ok();
    }

    async fn logs_in(&self, password: &str) -> bool {
        let options = OptsBuilder::default().user(Some("root")).pass(Some(password)).ip_or_hostname("127.0.0.1");
        let conn = Conn::new(options.tcp_port(self.server.port).prefer_socket(false)).await;
        match conn {
            Ok(conn) => conn.disconnect().await.is_ok(),
            Err(_) => false,
        }
    }

    /// What the new authority serves works, and no earlier value does.
    async fn settled(&self, earlier: &[&str]) -> String {
        let served = self.new.run(&["get", "database_password"]).ok();
        assert!(self.logs_in(&served).await, "the served value logs in");
        for value in earlier {
            assert!(!self.logs_in(value).await, "an earlier value is refused");
        }
        self.new.run(&["rotate", "status"]).ok();
        served
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_rotates() {
    let site = Site::new().await;
    site.old.run(&["rotate", "apply", "database_password"]).ok();
    let second = site.old.run(&["get", "database_password"]).ok();
    site.move_authority();
    assert_eq!(site.settled(&[FIRST]).await, second);
    assert_eq!(site.new.run(&["get", "database_password", "--version", "previous"]).ok(), FIRST, "labels came along");
    let applied = site.new.run(&["rotate", "apply", "database_password", "--output", "json"]).json();
    assert_eq!(applied["rotations"][0]["state"], "retired");
    let third = site.settled(&[FIRST, &second]).await;
    assert_ne!(third, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_ends_what_the_old_one_had_begun() {
    for point in ["rotation.declared", "rotation.record-written", "rotation.old-removed"] {
        assert!(POINTS.contains(&point), "{point} is a point");
        let mut site = Site::new().await;
        site.old.kill_daemon();
        site.old.set("FAILPOINTS", &format!("{point}=return"));
        site.old.up();
        site.old.unset("FAILPOINTS");
        let victim = site.old.daemon().expect("it runs");
        assert_eq!(site.old.run(&["rotate", "apply", "database_password"]).code, 6);
        wait_for("the killed daemon", Duration::from_secs(5), || !runs(victim));
        site.old.up();
        site.move_authority();
        site.new.run(&["rotate", "status"]).failed(13);
        site.new.run(&["rotate", "resume"]).ok();
        assert_ne!(site.settled(&[FIRST]).await, FIRST, "{point}");
    }
}
