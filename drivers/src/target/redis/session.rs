//! Sessions in the order in which they began: the server numbers them, and ends those that it is told to.

use super::{
    connection::{Connection, Fault},
    server::Redis,
};
use crate::target::{Admin, Began, Mark, Node, Session, TargetError};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// The number of a session that begins now.
pub(super) async fn mark(target: &Redis, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
    let mut connection = target.administer(node, admin).await?;
    own(&mut connection).await.map(Mark).map_err(|fault| fault.at(node))
}

/// The user's sessions. A replica's link is none of them, nor is a sentinel's: what they would come back with is their
/// `masterauth` and `auth-pass`, which were changed with the user.
pub(super) async fn sessions(
    target: &Redis,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    began: Began,
) -> Result<Vec<Session>, TargetError> {
    let mut connection = target.administer(node, admin).await?;
    let own = own(&mut connection).await.map_err(|fault| fault.at(node))?;
    // Numbers only grow while a server runs: a smaller one than the mark means that it started since, and that every
    // session of before has ended.
    if matches!(began, Began::NoLaterThan(until) if own < until.0) {
        return Ok(Vec::new());
    }
    let clients = Client::all(&mut connection).await.map_err(|fault| fault.at(node))?;
    Ok(clients
        .into_iter()
        .filter(|client| client.id != own && began.holds(Mark(client.id)) && client.user == user)
        .filter(|client| !client.is_replica && (target.sentinels.is_empty() || !client.is_sentinel()))
        .map(|client| Session {
            mark: Mark(client.id),
            from: client.address,
            since: client.age.and_then(|age| SystemTime::now().checked_sub(age)),
        })
        .collect())
}

/// Ends the user's sessions that began no later than a mark. One that has ended meanwhile is no error.
pub(super) async fn end(
    target: &Redis,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    until: Mark,
) -> Result<(), TargetError> {
    let old = sessions(target, admin, node, user, Began::NoLaterThan(until)).await?;
    let mut connection = target.administer(node, admin).await?;
    for session in old {
        let number = session.mark.0.to_string();
        connection.ask(&[b"CLIENT", b"KILL", b"ID", number.as_bytes()]).await.map_err(|fault| fault.at(node))?;
    }
    Ok(())
}

async fn own(connection: &mut Connection) -> Result<u64, Fault> {
    let number = connection.ask(&[b"CLIENT", b"ID"]).await?.text().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Fault::Answered("no number of the session".to_owned()))
}

/// One of the connections to a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: u64,
    /// As whom it logged in.
    pub(super) user: String,
    /// Where it comes from.
    pub(super) address: String,
    name: String,
    /// For how long it is open.
    age: Option<Duration>,
    is_replica: bool,
}

impl Client {
    /// All of them.
    pub(super) async fn all(connection: &mut Connection) -> Result<Vec<Self>, Fault> {
        let list = connection.ask(&[b"CLIENT", b"LIST"]).await?.text().unwrap_or_default();
        Ok(list.lines().filter_map(Self::parse).collect())
    }

    /// Sentinels name their connections so.
    pub(super) fn is_sentinel(&self) -> bool {
        self.name.starts_with("sentinel-")
    }

    /// Whether its name begins so.
    pub(super) fn is_called(&self, begin: &str) -> bool {
        self.name.starts_with(begin)
    }

    /// One line: words of `name=value`. Neither names of users nor of clients hold blanks.
    fn parse(line: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> = line.split(' ').filter_map(|word| word.split_once('=')).collect();
        Some(Self {
            id: fields.get("id")?.parse().ok()?,
            user: (*fields.get("user")?).to_owned(),
            address: (*fields.get("addr")?).to_owned(),
            name: fields.get("name").copied().unwrap_or_default().to_owned(),
            age: fields.get("age").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs),
            is_replica: fields.get("flags").is_some_and(|flags| flags.contains('S')),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_client() {
        let line =
            "id=6 addr=127.0.0.1:41178 laddr=127.0.0.1:45811 fd=7 name= age=7 flags=S db=0 cmd=psync user=a=b redir=-1";
        let client = Client::parse(line).unwrap();
        assert_eq!((client.id, client.user.as_str(), client.is_replica), (6, "a=b", true));
        assert_eq!(client.age, Some(Duration::from_secs(7)));
        assert!(!client.is_sentinel());
        assert_eq!(Client::parse(""), None);
    }
}
