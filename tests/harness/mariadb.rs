//! A real MariaDB server in a folder of its own, with its general log and its binlog on.

use crate::{
    port,
    process::{Guard, tied},
    search, wait,
};
use donjon_drivers::target::mariadb::Member;
use mysql_async::{Conn, OptsBuilder, Value, prelude::Queryable};
use sha1::{Digest, Sha1};
use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A server.
#[derive(Debug)]
pub struct MariaDb {
    /// Its port on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    extra: Vec<String>,
    user: User,
    process: Guard,
}

/// Who runs a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs the tests.
    Own,
    /// The system's user of servers, `mysql`, with all settings in a configuration file, as a deployer leaves it.
    System,
}

/// Where MySQL's usual root accounts log in from.
pub const ROOT_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "%"];

impl MariaDb {
    /// Starts one with nobody but the harness's own account in it.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with more arguments, such as `--plugin-load-add=auth_ed25519`.
    pub async fn start_with(extra: &[&str]) -> Self {
        Self::start_on(&template(), port::free(), extra).await
    }

    /// Starts one on a copy of a data folder, at a port.
    pub(crate) async fn start_on(data: &Path, port: u16, extra: &[&str]) -> Self {
        let extra = extra.iter().map(|&argument| argument.to_owned()).collect();
        Self::start_by(User::Own, data, port, extra).await
    }

    /// As [`Self::start_on`], by somebody.
    pub(crate) async fn start_by(user: User, data: &Path, port: u16, extra: Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("mariadb.").tempdir().unwrap();
        // The server's socket must be reachable for other users, as it is in real life.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        run(Command::new("cp").arg("-a").arg(data).arg(folder.path().join("data")));
        let process = spawn(user, folder.path(), port, &extra);
        let mut server = Self { port, folder, extra, user, process };
        server.ready().await;
        server
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The folder in which everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// It as a node of a target.
    pub fn member(&self, name: &str) -> Member {
        Member {
            name: name.to_owned(),
            address: Ipv4Addr::LOCALHOST.to_string(),
            port: self.port,
            socket: Some(self.socket()),
            log: None,
            tls_ca: None,
        }
    }

    /// Runs a statement as the harness, which no rotation touches.
    pub async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        self.try_sql(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// As [`Self::sql`], with the server's error.
    pub async fn try_sql(&self, statement: &str) -> Result<Vec<Vec<String>>, mysql_async::Error> {
        let opts = OptsBuilder::default()
            .socket(Some(self.socket().to_string_lossy()))
            .user(Some(HARNESS))
            .pass(Some(HARNESS_VALUE))
            .max_allowed_packet(Some(1 << 24))
            .wait_timeout(Some(60));
        let mut connection = Conn::new(opts).await?;
        let rows: Vec<mysql_async::Row> = connection.query(statement).await?;
        connection.disconnect().await?;
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    /// A client program, such as `mariadb-dump`, as the harness.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--user={HARNESS}"));
        command.env("MYSQL_PWD", HARNESS_VALUE);
        command
    }

    /// Creates an account, or changes it, to accept one value by its hash, with all rights.
    pub async fn account(&self, user: &str, host: &str, value: &str) {
        let name = format!("`{}`@`{}`", user.replace('`', "``"), host.replace('`', "``"));
        let hash = native_hash(value);
        self.sql(&format!("CREATE USER IF NOT EXISTS {name}")).await;
        self.sql(&format!("ALTER USER {name} IDENTIFIED VIA mysql_native_password USING '{hash}'")).await;
        self.sql(&format!("GRANT ALL ON *.* TO {name} WITH GRANT OPTION")).await;
    }

    /// MySQL's usual root accounts, each to accept one value.
    pub async fn root_accounts(&self, value: &str) {
        for host in ROOT_HOSTS {
            self.account("root", host, value).await;
        }
    }

    /// A session of a user over TCP, which stays open until it is dropped; `None` where the server refuses it.
    pub async fn try_session(&self, user: &str, value: &str) -> Option<Session> {
        let opts = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(self.port).prefer_socket(false);
        Conn::new(opts.user(Some(user)).pass(Some(value))).await.ok().map(Session)
    }

    /// As [`Self::try_session`], of a user that is let in.
    pub async fn session(&self, user: &str, value: &str) -> Session {
        self.try_session(user, value).await.unwrap_or_else(|| panic!("{user} is refused"))
    }

    /// Whether the server lets a user in over TCP.
    pub async fn logs_in(&self, user: &str, value: &str) -> bool {
        self.try_session(user, value).await.is_some()
    }

    /// Whether these bytes stand in any file of the server: logs, binlogs, tables.
    pub fn holds(&self, needle: &[u8]) -> Vec<PathBuf> {
        search::holding(self.folder.path(), needle)
    }

    /// Stops answering without closing anything; [`Self::resume`] ends that.
    pub fn pause(&self) {
        self.process.signal(rustix::process::Signal::STOP).unwrap();
    }

    /// Answers again.
    pub fn resume(&self) {
        self.process.signal(rustix::process::Signal::CONT).unwrap();
    }

    /// Stops it as its own service manager would, and waits for it.
    pub async fn stop(&mut self) {
        self.process.signal(rustix::process::Signal::TERM).unwrap();
        wait::until("MariaDB to stop", Duration::from_secs(30), async || self.process.ended().unwrap()).await;
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on what it has on disk, at the same port.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.user, self.folder.path(), self.port, &self.extra);
        self.ready().await;
    }

    async fn ready(&mut self) {
        wait::until("MariaDB to answer", Duration::from_secs(60), async || {
            if let Some(status) = self.process.ended().unwrap() {
                let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
                // It ends with why, after some hundred lines that a report would cut.
                let lines: Vec<&str> = log.lines().collect();
                panic!("mariadbd ended with {status}: {}", lines[lines.len().saturating_sub(30)..].join("\n"));
            }
            self.try_sql("SELECT 1").await.ok()
        })
        .await;
    }
}

/// What `mysql_native_password` stores of a value, so that tests can set one without saying it.
pub fn native_hash(value: &str) -> String {
    format!("*{}", hex::encode_upper(Sha1::digest(Sha1::digest(value))))
}

/// An open session.
#[derive(Debug)]
pub struct Session(Conn);

impl Session {
    /// Whether the server still serves it.
    pub async fn is_open(mut self) -> bool {
        self.0.query_drop("SELECT 1").await.is_ok()
    }
}

/// The harness's own way in.
const HARNESS: &str = "harness";
const HARNESS_VALUE: &str = "value-of-the-harness";

fn spawn(user: User, folder: &Path, port: u16, extra: &[String]) -> Guard {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("error.log")).unwrap();
    let own = |name: &str| folder.join(name).display().to_string();
    // A starting server deletes every temporary table that lies in its temporary folder: in a shared one, other servers' too.
    fs::create_dir_all(folder.join("tmp")).unwrap();
    let mut settings = vec![
        format!("--datadir={}", own("data")),
        format!("--tmpdir={}", own("tmp")),
        format!("--socket={}", own("socket")),
        format!("--pid-file={}", own("pid")),
        format!("--general-log-file={}", own("general.log")),
        format!("--log-bin={}", own("binlog")),
        format!("--port={port}"),
    ];
    let common = ["--bind-address=127.0.0.1", "--server-id=1", "--general-log=1", "--skip-stack-trace"].into_iter();
    let small = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0"]
        .into_iter();
    settings.extend(common.chain(small).map(str::to_owned));
    settings.extend_from_slice(extra);
    let mut command = match user {
        User::Own => {
            let mut command = tied("mariadbd");
            command.arg("--no-defaults").args(as_root()).args(settings);
            command
        }
        User::System => {
            let lines: Vec<&str> = settings.iter().map(|setting| setting.trim_start_matches('-')).collect();
            // Without a syslog, what a state transfer says is lost, and the transfer with it.
            let file = format!("[mysqld]\n{}\n[sst]\nsst-syslog=-1\n", lines.join("\n"));
            donjon_drivers::fs::replace(&folder.join("my.cnf"), file.as_bytes()).unwrap();
            run(Command::new("chown").args(["-R", "mysql:mysql"]).arg(folder));
            // It is tied last: whoever changes its user is no longer tied.
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "mysql", "--regid", "mysql", "--clear-groups", "--pdeathsig", "KILL", "--"]);
            command.arg("mariadbd").arg(format!("--defaults-file={}", own("my.cnf")));
            command
        }
    };
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Guard::start(&mut command).unwrap()
}

/// A data folder as `mariadb-install-db` makes it, made once.
pub(crate) fn template() -> PathBuf {
    let cache = crate::cache_folder();
    let version = Command::new("mariadbd").arg("--version").output().expect("mariadb-server is installed").stdout;
    let name = format!("mariadb-{}", hex::encode(&Sha1::digest(version)[..6]));
    let made = cache.join(name);
    if !made.exists() {
        let own = tempfile::Builder::new().prefix("mariadb-new.").tempdir_in(&cache).unwrap();
        let data = own.path().join("data");
        let first = own.path().join("first.sql");
        let statement = format!(
            "FLUSH PRIVILEGES;\n\
             CREATE USER {HARNESS}@localhost IDENTIFIED VIA mysql_native_password USING '{}';\n\
             GRANT ALL ON *.* TO {HARNESS}@localhost WITH GRANT OPTION;\n",
            native_hash(HARNESS_VALUE)
        );
        donjon_drivers::fs::replace(&first, statement.as_bytes()).unwrap();
        run(Command::new("mariadb-install-db")
            .env("TMPDIR", own.path())
            .arg("--no-defaults")
            .args(as_root())
            .args(["--skip-test-db", "--auth-root-authentication-method=socket", "--auth-root-socket-user=root"])
            .arg(format!("--extra-file={}", first.display()))
            .arg(format!("--datadir={}", data.display())));
        // Another test may have been faster; its folder is as good.
        let _ = fs::rename(&data, &made);
    }
    made
}

fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn text(value: Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other @ (Value::NULL
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..)) => other.as_sql(true),
    }
}
