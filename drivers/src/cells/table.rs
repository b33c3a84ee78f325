//! The table: its rows, and changes of the rows that were read.

use super::Place;
use crate::{
    material::Material,
    target::mariadb::{
        Limits,
        connection::{Connection, Fault, Tls},
        way::{Peer, Way},
    },
};
use std::{fmt, io};

/// A connection to the database that holds the table.
pub struct Table {
    connection: Connection,
    database: String,
}

/// One row.
#[derive(Debug)]
pub struct Cell {
    /// Its identifier.
    pub uuid: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Where its messages go.
    pub transport: Material,
    /// Where its database is.
    pub database: Material,
}

/// A column that holds a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Where messages go.
    TransportUrl,
    /// Where the database is.
    DatabaseConnection,
}

/// A change of one field.
#[derive(Debug)]
pub struct Change<'a> {
    /// The row.
    pub uuid: &'a str,
    /// The column.
    pub column: Column,
    /// What was read.
    pub before: &'a Material,
    /// What is to be there.
    pub after: &'a Material,
}

/// Why the table could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum CellsError {
    /// The server did not answer.
    #[error("no answer from {place}")]
    Unreachable {
        /// The database.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It refused the user of the setting.
    #[error("{place} refuses the user `{user}` with the password of the setting")]
    Denied {
        /// The database.
        place: String,
        /// The user.
        user: String,
    },
    /// No such table.
    #[error("{0} has no table cell_mappings: it is no API database of nova")]
    NoTable(String),
    /// The server answered with an error.
    #[error("{place} answers with error {code}")]
    Answered {
        /// The database.
        place: String,
        /// The number of the error.
        code: u16,
    },
    /// Somebody changed a row meanwhile.
    #[error("{column} of the cell {uuid} was changed meanwhile")]
    Changed {
        /// The row.
        uuid: String,
        /// The column.
        column: Column,
    },
    /// Something else is there than was written.
    #[error("{column} of the cell {uuid} is not what was written")]
    NotWritten {
        /// The row.
        uuid: String,
        /// The column.
        column: Column,
    },
    /// The server speaks in a way that is not understood.
    #[error("{place} cannot be talked to: {what}")]
    Odd {
        /// The database.
        place: String,
        /// What is odd.
        what: String,
    },
}

impl Table {
    /// Logs in.
    pub async fn open(place: &Place) -> Result<Self, CellsError> {
        let limits = Limits::default();
        let way = match &place.socket {
            Some(path) => Way::Socket { path: path.clone(), peer: Peer::Own },
            None => {
                let found = tokio::net::lookup_host((place.host.as_str(), place.port)).await;
                let to = found.and_then(|mut all| all.next().ok_or_else(|| io::ErrorKind::NotFound.into()));
                let unreachable = |source| CellsError::Unreachable { place: place.to_string(), source };
                Way::Tcp { to: to.map_err(unreachable)?, from: None }
            }
        };
        let tls = place.tls_ca.as_ref().map(|ca| Tls { ca: ca.clone(), name: place.host.clone() });
        match Connection::open(&way, &place.user, &place.value, tls.as_ref(), limits).await {
            Ok(connection) => Ok(Self { connection, database: place.database.clone() }),
            Err(Fault::Answered(1045 | 1698 | 1044)) => {
                Err(CellsError::Denied { place: place.to_string(), user: place.user.clone() })
            }
            Err(fault) => Err(told(fault, place.to_string())),
        }
    }

    /// The rows, in the order in which they were made.
    pub async fn cells(&mut self) -> Result<Vec<Cell>, CellsError> {
        let sql = format!("SELECT uuid, name, transport_url, database_connection FROM {} ORDER BY id", self.table());
        let rows = self.ask(&sql, &[]).await?;
        let mut cells = Vec::new();
        for row in rows {
            // EXPOSE: identifiers and names are no secrets
            let text = |field: Material| String::from_utf8_lossy(field.expose()).into_owned();
            let Ok([Some(uuid), name, Some(transport), Some(database)]) = <[_; 4]>::try_from(row) else { continue };
            cells.push(Cell { uuid: text(uuid), name: name.map(text), transport, database });
        }
        Ok(cells)
    }

    /// Makes changes, all of them or none: not where a field is no longer what was read. Then reads them back.
    pub async fn change(&mut self, changes: &[Change<'_>]) -> Result<(), CellsError> {
        self.ask("START TRANSACTION", &[]).await?;
        for change in changes {
            if let Err(error) = self.one(change).await {
                // The server does so by itself once the connection has gone.
                let _ = self.ask("ROLLBACK", &[]).await;
                return Err(error);
            }
        }
        self.ask("COMMIT", &[]).await?;
        for change in changes {
            let now = self.field(change, "").await?;
            if !now.is_some_and(|now| now.matches(change.after)) {
                return Err(CellsError::NotWritten { uuid: change.uuid.to_owned(), column: change.column });
            }
        }
        Ok(())
    }

    /// Says good-bye.
    pub async fn close(self) {
        self.connection.close().await;
    }

    /// The row is locked from the look at it to the end of the transaction.
    async fn one(&mut self, change: &Change<'_>) -> Result<(), CellsError> {
        let now = self.field(change, " FOR UPDATE").await?;
        if !now.is_some_and(|now| now.matches(change.before)) {
            return Err(CellsError::Changed { uuid: change.uuid.to_owned(), column: change.column });
        }
        let sql = format!("UPDATE {} SET {} = ? WHERE uuid = ?", self.table(), change.column);
        // EXPOSE: a template, which holds no value, or what an operator asked to have put back
        self.ask(&sql, &[change.after.expose(), change.uuid.as_bytes()]).await.map(drop)
    }

    async fn field(&mut self, change: &Change<'_>, more: &str) -> Result<Option<Material>, CellsError> {
        let sql = format!("SELECT {} FROM {} WHERE uuid = ?{more}", change.column, self.table());
        let rows = self.ask(&sql, &[change.uuid.as_bytes()]).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    async fn ask(&mut self, sql: &str, arguments: &[&[u8]]) -> Result<Vec<Vec<Option<Material>>>, CellsError> {
        let answer = self.connection.materials(sql, arguments).await;
        answer.map_err(|fault| told(fault, self.database.clone()))
    }

    /// No name that a URL may give holds a quote.
    fn table(&self) -> String {
        format!("`{}`.cell_mappings", self.database)
    }
}

fn told(fault: Fault, place: String) -> CellsError {
    match fault {
        Fault::Silent(source) => CellsError::Unreachable { place, source },
        Fault::Answered(NO_TABLE | NO_DATABASE) => CellsError::NoTable(place),
        Fault::Answered(code) => CellsError::Answered { place, code },
        other @ (Fault::Plugin(_) | Fault::NotText) => CellsError::Odd { place, what: other.to_string() },
    }
}

const NO_TABLE: u16 = 1146;
const NO_DATABASE: u16 = 1049;

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TransportUrl => "transport_url",
            Self::DatabaseConnection => "database_connection",
        })
    }
}
