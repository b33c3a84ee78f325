//! What a proxy knows of its users, layer by layer, and how one changes in all of them.

use crate::{
    material::Material,
    target::mariadb::{
        connection::{Connection, Fault},
        hash::{Hash, Plugin},
    },
};
use std::collections::BTreeMap;

/// A layer of the proxy's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// What its administrators edit.
    Memory,
    /// What it does.
    Runtime,
}

impl Layer {
    fn table(self) -> &'static str {
        match self {
            Self::Memory => "mysql_users",
            Self::Runtime => "runtime_mysql_users",
        }
    }
}

/// What a row says of a user, as far as clients log in by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// Whether clients may come as the user.
    pub(super) active: bool,
    /// The hashes that it accepts, the first one first; `None` for one that is no hash, and so is never read.
    pub(super) hashes: Vec<Option<Hash>>,
}

/// What a proxy accepts of a value.
pub(super) fn hash(value: &Material) -> Hash {
    Plugin::Native.hash(value)
}

/// The users of a layer. A proxy may have a row for clients and one for servers: those for clients count.
pub(super) async fn read(
    connection: &mut Connection,
    columns: &[String],
    layer: Layer,
) -> Result<BTreeMap<String, Known>, Fault> {
    let additional = match columns.iter().any(|column| column == ATTRIBUTES) {
        // Written as the hex of the hash.
        true => "CASE WHEN json_valid(attributes) THEN json_extract(attributes, '$.additional_password') END",
        false => "NULL",
    };
    let rows = connection
        .rows(&format!(
            "SELECT username, active, CASE WHEN substr(password, 1, 1) = '*' THEN password END, {additional} \
             FROM {} WHERE frontend = 1",
            layer.table()
        ))
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let [name, active, first, second] = <[Option<String>; 4]>::try_from(row).ok()?;
            let second = second.map(|hex| {
                let bytes = hex::decode(hex).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                bytes.filter(|text| text.starts_with('*')).map(Hash)
            });
            let hashes = [Some(first.map(Hash)), second].into_iter().flatten().collect();
            Some((name?, Known { active: active.as_deref() == Some("1"), hashes }))
        })
        .collect())
}

/// The names of the table's columns, from the statement that made it.
pub(super) async fn columns(connection: &mut Connection) -> Result<Vec<String>, Fault> {
    let made = connection.rows("SHOW CREATE TABLE mysql_users").await?;
    let made = made.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten()).unwrap_or_default();
    Ok(columns_of(&made))
}

/// Makes a user accept exactly these hashes, in memory.
pub(super) async fn accept(
    connection: &mut Connection,
    columns: &[String],
    user: &str,
    hashes: &[Hash],
) -> Result<(), Fault> {
    let attributes = match (hashes.get(1), columns.iter().any(|column| column == ATTRIBUTES)) {
        (Some(second), true) => format!(
            ", attributes = json_set(CASE WHEN json_valid(attributes) THEN attributes ELSE '{{}}' END, \
             '$.additional_password', '{}')",
            hex::encode_upper(&second.0)
        ),
        (None, true) => format!(", attributes = {WITHOUT_ADDITIONAL}"),
        (_, false) => String::new(),
    };
    let first = text(hashes.first().map(|hash| hash.0.as_str()).unwrap_or_default());
    connection
        .run(&format!("UPDATE mysql_users SET password = {first}{attributes} WHERE username = {}", text(user)))
        .await
}

/// Makes a user's rows those of another with a password of its own, in memory. What the other's password is, is not read.
pub(super) async fn copy(
    connection: &mut Connection,
    columns: &[String],
    from: &str,
    to: &str,
    accepts: &Hash,
) -> Result<(), Fault> {
    let others = columns.iter().filter(|column| !["username", "password"].contains(&column.as_str()));
    let (mut names, mut values) = (String::new(), String::new());
    for column in others {
        names.push_str(&format!(", {column}"));
        values.push_str(&format!(", {}", if column == ATTRIBUTES { WITHOUT_ADDITIONAL } else { column }));
    }
    let (from, to) = (text(from), text(to));
    connection
        .run(&format!(
            "REPLACE INTO mysql_users (username, password{names}) \
             SELECT {to}, {}{values} FROM mysql_users WHERE username = {from}",
            text(&accepts.0)
        ))
        .await?;
    connection
        .run(&format!(
            "DELETE FROM mysql_users WHERE username = {to} \
             AND backend NOT IN (SELECT backend FROM mysql_users WHERE username = {from})"
        ))
        .await
}

/// Takes a user away, in memory.
pub(super) async fn forget(connection: &mut Connection, user: &str) -> Result<(), Fault> {
    connection.run(&format!("DELETE FROM mysql_users WHERE username = {}", text(user))).await
}

/// Makes what is in memory what runs and what lies on the disk.
pub(super) async fn load_and_save(connection: &mut Connection) -> Result<(), Fault> {
    connection.run("LOAD MYSQL USERS TO RUNTIME").await?;
    connection.run("SAVE MYSQL USERS TO DISK").await
}

const ATTRIBUTES: &str = "attributes";
const WITHOUT_ADDITIONAL: &str =
    "CASE WHEN json_valid(attributes) THEN json_remove(attributes, '$.additional_password') ELSE attributes END";

/// Quoted as SQLite reads a string: nothing but a quote has a meaning in it.
fn text(string: &str) -> String {
    format!("'{}'", string.replace('\'', "''"))
}

fn columns_of(made: &str) -> Vec<String> {
    let body = made.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(body, _)| body);
    let mut depth = 0_u32;
    let parts = body.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let first = parts.filter_map(|part| part.split([' ', '(', '\n', '\t']).find(|word| !word.is_empty()));
    first.filter(|word| !["PRIMARY", "UNIQUE", "CHECK"].contains(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_table() {
        let made = "CREATE TABLE mysql_users (username VARCHAR NOT NULL , password VARCHAR , active INT CHECK (active IN \
                    (0,1)) NOT NULL DEFAULT 1 , backend INT , PRIMARY KEY (username, backend) , UNIQUE (username, x))";
        assert_eq!(columns_of(made), ["username", "password", "active", "backend"]);
        assert!(columns_of("").is_empty());
    }

    #[test]
    fn a_quote_does_not_end_a_name() {
        assert_eq!(text("o'brien\\"), "'o''brien\\'");
    }
}
