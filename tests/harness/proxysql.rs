//! A stand-in for ProxySQL in front of a real MariaDB: no package registry has ProxySQL, so this behaves as its documentation
//! says of users, layers and sessions (`fixtures/proxysql/stand_in.py`). What passes here was not run against ProxySQL.

use crate::{
    mariadb::{MariaDb, native_hash},
    port,
    process::{Guard, tied, wait_for},
};
use donjon_drivers::target::proxysql::Member;
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use std::{net::TcpStream, path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;

/// The administrator of a stand-in.
pub const ADMIN: &str = "radmin";
/// Its value.
pub const ADMIN_VALUE: &str = "value-of-the-proxy-admin";

/// A proxy.
#[derive(Debug)]
pub struct StandIn {
    folder: TempDir,
    port: u16,
    admin_port: u16,
    backend: u16,
    process: Guard,
}

impl StandIn {
    /// Starts one that knows no user.
    pub fn start(behind: &MariaDb) -> Self {
        let folder = tempfile::Builder::new().prefix("proxysql.").tempdir().expect("a temporary folder can be made");
        let (port, admin_port) = (port::free(), port::free());
        let process = spawn(folder.path(), admin_port, port, behind.port);
        let proxy = Self { folder, port, admin_port, backend: behind.port, process };
        proxy.ready();
        proxy
    }

    /// Kills it and starts it on what it has on its disk, at the same ports.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.folder.path(), self.admin_port, self.port, self.backend);
        self.ready();
    }

    /// It as a node of a target.
    pub fn member(&self, name: &str) -> Member {
        let address = "127.0.0.1".to_owned();
        Member { name: name.to_owned(), address, port: self.port, admin_port: self.admin_port, tls_ca: None }
    }

    /// Every statement that an administrator said, a line each.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("queries.log")).unwrap_or_default()
    }

    /// The folder in which everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Says a statement to its admin interface; the rows it answers.
    pub async fn sql(&self, statement: &str) -> Vec<Vec<Option<String>>> {
        let mut conn = self.connect(self.admin_port, ADMIN, ADMIN_VALUE).await.expect("the administrator is let in");
        let rows: Vec<mysql_async::Row> =
            conn.query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let text = mysql_async::from_value::<Option<String>>;
        rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect()
    }

    /// Adds a user with a value by its hash, and makes it run and stay.
    pub async fn user(&self, name: &str, value: &str) {
        let hash = native_hash(value);
        for statement in [
            &format!("INSERT INTO mysql_users (username, password, default_hostgroup) VALUES ('{name}', '{hash}', 7)"),
            "LOAD MYSQL USERS TO RUNTIME",
            "SAVE MYSQL USERS TO DISK",
        ] {
            self.sql(statement).await;
        }
    }

    /// A client's session through it to the server behind, which stays open until it is dropped; `None` where it is refused.
    pub async fn try_session(&self, user: &str, value: &str) -> Option<Conn> {
        let mut conn = self.connect(self.port, user, value).await.ok()?;
        conn.query_drop("SELECT CURRENT_USER()").await.ok()?;
        Some(conn)
    }

    async fn connect(&self, port: u16, user: &str, value: &str) -> mysql_async::Result<Conn> {
        let opts = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).prefer_socket(false);
        let opts = opts.user(Some(user)).pass(Some(value)).max_allowed_packet(Some(1 << 24)).wait_timeout(Some(28_800));
        Conn::new(opts).await
    }

    fn ready(&self) {
        wait_for("the stand-in to listen", Duration::from_secs(30), || {
            [self.port, self.admin_port].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
    }
}

fn spawn(folder: &Path, admin_port: u16, port: u16, backend: u16) -> Guard {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/proxysql/stand_in.py");
    let mut command = tied("python3");
    command.args(["-IS", program]).arg(folder);
    command.args([admin_port, port, backend].map(|port| port.to_string()));
    command.args([ADMIN, &native_hash(ADMIN_VALUE)]);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("out"));
    let log = log.expect("the folder takes it");
    Guard::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).expect("python3 is installed")
}
