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
        server.root_accounts(FIRST).await;
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
        self.old.run(&["down", "--no-search"]).ok();
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

#[tokio::test(flavor = "multi_thread")]
async fn after_a_drill_the_vault_may_go_and_its_bundle_rotates_and_exports_later() {
    use age::secrecy::ExposeSecret;
    let site = Site::new().await;
    let second = age::x25519::Identity::generate();
    donjon_drivers::fs::replace(&site.files.path().join("second"), second.to_string().expose_secret().as_bytes())
        .unwrap();
    let (bundle, one, two) = (site.file("everything.donjon"), site.file("custodian"), site.file("second"));
    let both = ["--recipient", &site.recipient, "--recipient", &second.to_public().to_string()];
    let export =
        |donjon: &Donjon| donjon.run(&[&["export", "bundle", "--custodians", "-o", &bundle], &both[..]].concat()).ok();
    export(&site.old);
    let age = |donjon: &Donjon| {
        let text = donjon.run(&["metrics"]).ok();
        text.lines()
            .find_map(|line| line.strip_prefix("donjon_drill_age_seconds ").map(|age| age.parse::<u64>().unwrap()))
    };
    assert_eq!(age(&site.old), None, "there never was one");
    donjon_drivers::fs::replace(
        &site.files.path().join("stranger"),
        age::x25519::Identity::generate().to_string().expose_secret().as_bytes(),
    )
    .unwrap();
    let drill = |donjon: &Donjon, more: &[&str]| donjon.run(&[&["doctor", "--drill", &bundle], more].concat());
    let nobody = drill(&site.old, &["-i", &site.file("stranger")]).failed(3);
    assert!(nobody.contains("the custodians cannot open their bundle"), "{nobody}");
    let few = drill(&site.old, &["-i", &one, "-i", &site.file("stranger"), "--threshold", "2"]).failed(3);
    assert!(few.contains("1 of the identities given opens the bundle, and it takes 2"), "{few}");
    assert_eq!(age(&site.old), None, "what failed is none");
    let shown = drill(&site.old, &["-i", &one, "-i", &two, "--threshold", "2"]).ok();
    assert!(
        shown.contains("2 custodians have opened the bundle") && shown.contains("everything as it is now"),
        "{shown}"
    );
    assert!(!shown.contains(FIRST), "no value is shown");
    assert!(age(&site.old).unwrap() < 60);
    site.old.run(&["down", "--no-search"]).ok();

    // Later, and with one of them.
    site.new.run(&["up", "--from", &bundle, "-i", &two, "--trust-first"]).ok();
    assert_eq!(site.settled(&[]).await, FIRST);
    let applied = site.new.run(&["rotate", "apply", "database_password", "--output", "json"]).json();
    assert_eq!(applied["rotations"][0]["state"], "retired");
    site.settled(&[FIRST]).await;
    assert!(age(&site.new).is_none(), "the drill of before is not this bundle's");
    export(&site.new);
    drill(&site.new, &["-i", &one, "-i", &two, "--threshold", "2"]).ok();
    assert!(age(&site.new).unwrap() < 60);
}
