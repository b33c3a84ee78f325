//! What a restart would bring back: where a node keeps its users and settings, and telling it to keep them now.

use super::connection::{Connection, Fault};
use crate::{material::Material, target::redis::resp::Reply};
use std::io;

/// Where a node keeps its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// In a file of users.
    Users,
    /// Among its settings.
    Settings,
    /// Among its settings, which it would not understand when it starts: it writes users there as they are, and takes quotes in a
    /// name or a rule for those around a text (`rewriteConfigUserOption` and `sdssplitargs` in Redis 7.0).
    Garbled,
    /// Nowhere: a restart begins with what the node is started with.
    Nowhere,
}

/// Where a node keeps what it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Its users.
    pub(super) users: Kept,
    /// Whether it has a file of settings.
    has_settings: bool,
}

impl Memory {
    /// Asks a node.
    pub(super) async fn of(connection: &mut Connection) -> Result<Self, Fault> {
        let information = connection.ask(&[b"INFO", b"server"]).await?.text().unwrap_or_default();
        let file = information.lines().find_map(|line| line.trim_end().strip_prefix("config_file:"));
        let has_settings = file.is_some_and(|path| !path.is_empty());
        let users = match connection.setting("aclfile").await?.text() {
            Some(path) if !path.is_empty() => Kept::Users,
            Some(_) | None if !has_settings => Kept::Nowhere,
            Some(_) | None => {
                let Reply::List(users) = connection.ask(&[b"ACL", b"LIST"]).await? else {
                    return Err(io::Error::from(io::ErrorKind::InvalidData).into());
                };
                if users.iter().any(is_quoted) { Kept::Garbled } else { Kept::Settings }
            }
        };
        Ok(Self { users, has_settings })
    }

    /// What would be lost, where it would be.
    pub(super) fn hazard(self, upstream: Option<&Upstream>) -> Option<&'static str> {
        match (self.users, upstream) {
            (Kept::Nowhere, _) => Some(
                "it keeps its users nowhere, so a restart would bring the old value back; give it an `aclfile` or a \
                 configuration file",
            ),
            (Kept::Garbled, _) => self.refusal(),
            (Kept::Users, Some(_)) if !self.has_settings => Some(
                "it keeps no settings, so a restart would bring the old `masterauth` back; give it a configuration file",
            ),
            (Kept::Users | Kept::Settings, _) => None,
        }
    }

    /// Why nothing may be changed here at all, not even back: keeping it would be the node's end.
    pub(super) fn refusal(self) -> Option<&'static str> {
        (self.users == Kept::Garbled).then_some(
            "the name or a rule of one of its users holds a quote, and with that among its settings it would not start again; \
             give it an `aclfile`",
        )
    }

    /// Makes it keep what it has now.
    pub(super) async fn keep(self, connection: &mut Connection, upstream: Option<&Upstream>) -> Result<(), Fault> {
        if self.users == Kept::Users {
            connection.ask(&[b"ACL", b"SAVE"]).await?;
        }
        if self.has_settings && (self.users == Kept::Settings || upstream.is_some()) {
            connection.ask(&[b"CONFIG", b"REWRITE"]).await?;
        }
        Ok(())
    }
}

/// Whether a line of `ACL LIST` holds what the server takes for the beginning of a quoted text.
fn is_quoted(user: &Reply) -> bool {
    match user {
        // EXPOSE: looked at; it holds hashes, and no value
        Reply::Bytes(line) => line.expose().iter().any(|byte| matches!(byte, b'"' | b'\'')),
        Reply::Word(_) | Reply::Error(_) | Reply::Number(_) | Reply::Nothing | Reply::List(_) => true,
    }
}

/// What a node logs in with at the node that it replicates, or would if it had to.
pub(super) struct Upstream(pub(super) Material);

impl Upstream {
    /// Where a node has such a value and it is this user's.
    pub(super) async fn of(connection: &mut Connection, user: &str) -> Result<Option<Self>, Fault> {
        let whose = connection.setting("masteruser").await?.text().filter(|name| !name.is_empty());
        if whose.as_deref().unwrap_or(DEFAULT) != user {
            return Ok(None);
        }
        match connection.setting("masterauth").await? {
            Reply::Bytes(value) if !value.is_empty() => Ok(Some(Self(value))),
            Reply::Bytes(_) | Reply::Word(_) | Reply::Error(_) | Reply::Number(_) | Reply::Nothing | Reply::List(_) => {
                Ok(None)
            }
        }
    }

    /// Makes the node log in with a value from its next connection on.
    pub(super) async fn set(connection: &mut Connection, value: &Material) -> Result<(), Fault> {
        // EXPOSE: the server has to say it elsewhere, so it takes no hash of it
        connection.ask(&[b"CONFIG", b"SET", b"masterauth", value.expose()]).await.map(|_| ())
    }
}

/// The user of those who name none.
pub(super) const DEFAULT: &str = "default";
