//! One connection to one node, every step of it within its time.

use super::{
    statement,
    way::{End, Way},
};
use crate::material::Material;
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, Params, SslOpts, Value, prelude::Queryable};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long the steps may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connecting and logging in.
    pub connect: Duration,
    /// One statement.
    pub statement: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), statement: Duration::from_secs(15) }
    }
}

/// How a node proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The authority that signed its certificate.
    pub(crate) ca: PathBuf,
    /// The name in its certificate.
    pub(crate) name: String,
}

/// A connection that has logged in.
pub(crate) struct Connection {
    conn: Conn,
    limits: Limits,
}

/// One row of an answer, as text.
pub(crate) type Row = Vec<Option<String>>;

impl Connection {
    /// Logs in. Nothing is asked of the server beyond that.
    pub(crate) async fn open(
        way: &Way,
        user: &str,
        value: &Material,
        tls: Option<&Tls>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let opening = async {
            let end = way.end(limits.connect).await.map_err(Fault::Silent)?;
            let opts = options(&end, user, value, tls)?;
            Ok(Conn::new(opts).await?)
        };
        let conn = timed(limits.connect, opening).await.map_err(|fault| match fault {
            Fault::Silent(source) => Fault::Silent(way.named(source)),
            Fault::Answered(_) | Fault::Plugin(_) | Fault::NotText => fault,
        })?;
        Ok(Self { conn, limits })
    }

    /// Runs a statement that has no answer.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        timed(self.limits.statement, async { Ok(self.conn.query_drop(sql).await?) }).await
    }

    /// Runs a statement and collects its rows.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Fault> {
        let rows: Vec<mysql_async::Row> =
            timed(self.limits.statement, async { Ok(self.conn.query(sql).await?) }).await?;
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    /// The one field of the one row of an answer.
    pub(crate) async fn field(&mut self, sql: &str) -> Result<Option<String>, Fault> {
        Ok(self.rows(sql).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Runs a statement with arguments that are no part of its text, and collects the rows with the bytes of their fields.
    pub(crate) async fn materials(
        &mut self,
        sql: &str,
        arguments: &[&[u8]],
    ) -> Result<Vec<Vec<Option<Material>>>, Fault> {
        let arguments = arguments.iter().map(|bytes| Value::Bytes(bytes.to_vec())).collect::<Vec<_>>();
        let arguments = if arguments.is_empty() { Params::Empty } else { Params::Positional(arguments) };
        let rows: Vec<mysql_async::Row> =
            timed(self.limits.statement, async { Ok(self.conn.exec(sql, arguments).await?) }).await?;
        let material = |value| match value {
            Value::Bytes(bytes) => Some(Material::new(bytes)),
            other @ (Value::NULL
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..)) => text(other).map(Material::from),
        };
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(material).collect()).collect())
    }

    /// The number that the server gave it when it was opened.
    pub(crate) fn number(&self) -> u32 {
        self.conn.id()
    }

    /// The session for changes: strings mean what they say, and a change goes to all nodes of a cluster.
    pub(super) async fn prepare(&mut self) -> Result<(), Fault> {
        self.run(statement::PREPARE).await
    }

    /// Says good-bye. A server that does not answer it is no error.
    pub(crate) async fn close(self) {
        let _ = tokio::time::timeout(self.limits.connect, self.conn.disconnect()).await;
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The server answered with an error. Its text is left out: it may quote the statement.
    #[error("the server answered with error {0}")]
    Answered(u16),
    /// The server asks for a way to authenticate that is not known here.
    #[error("the server asks for the plugin {0}")]
    Plugin(String),
    /// The value is not text, which this protocol cannot carry.
    #[error("the value is not text")]
    NotText,
    /// It did not answer, or not in time, or not understandably.
    #[error("no answer")]
    Silent(#[source] io::Error),
}

impl From<mysql_async::Error> for Fault {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(answer) => Self::Answered(answer.code),
            mysql_async::Error::Io(mysql_async::IoError::Io(source)) => Self::Silent(source),
            mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => Self::Plugin(name),
            mysql_async::Error::Driver(DriverError::ConnectionClosed) => {
                Self::Silent(io::ErrorKind::ConnectionAborted.into())
            }
            // Their debug forms may hold rows, so only their texts go on.
            other @ (mysql_async::Error::Io(_)
            | mysql_async::Error::Driver(_)
            | mysql_async::Error::Other(_)
            | mysql_async::Error::Url(_)) => Self::Silent(io::Error::other(other.to_string())),
        }
    }
}

async fn timed<T>(within: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(within, work).await.unwrap_or_else(|_| Err(Fault::Silent(io::ErrorKind::TimedOut.into())))
}

fn options(end: &End, user: &str, value: &Material, tls: Option<&Tls>) -> Result<Opts, Fault> {
    // EXPOSE: the client library answers the server's challenge with it; it never travels in clear
    let value = value.expose_text().map_err(|_| Fault::NotText)?;
    let builder = OptsBuilder::default()
        .user(Some(user))
        .pass(Some(value))
        // The way is chosen here: the library must neither look for a better one nor ask the server anything.
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 24))
        .wait_timeout(Some(28_800))
        .stmt_cache_size(0);
    Ok(match end {
        End::Socket(path) => builder.socket(Some(path.to_string_lossy())).into(),
        End::Tcp(address) => builder
            .ip_or_hostname(address.ip().to_string())
            .resolved_ips(Some(vec![address.ip()]))
            .tcp_port(address.port())
            .ssl_opts(tls.map(|tls| ssl(&tls.ca, &tls.name)))
            .into(),
    })
}

fn ssl(ca: &Path, name: &str) -> SslOpts {
    SslOpts::default()
        .with_root_certs(vec![ca.to_path_buf().into()])
        .with_disable_built_in_roots(true)
        .with_danger_tls_hostname_override(Some(name.to_owned()))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::NULL => None,
        number @ (Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Double(_)) => {
            Some(number.as_sql(true).trim_matches('\'').to_owned())
        }
        Value::Date(..) | Value::Time(..) => None,
    }
}
