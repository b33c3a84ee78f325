//! Sessions in the order in which they began: the server numbers them, and ends those that it is told to.

use super::{server::MariaDb, statement};
use crate::target::{Admin, Began, Mark, Node, Session, TargetError};

/// The number of a session that begins now.
pub(super) async fn mark(target: &MariaDb, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
    let mut connection = target.administer(node, admin).await?;
    let number = connection.field("SELECT CONNECTION_ID()").await.map_err(|fault| fault.at(node))?;
    connection.close().await;
    number.and_then(|text| text.parse().ok()).map(Mark).ok_or_else(|| TargetError::Unable {
        node: node.name.clone(),
        what: "it does not number its sessions".to_owned(),
    })
}

/// The user's sessions, this process's own left out. Since when they are open, the server does not tell.
pub(super) async fn sessions(
    target: &MariaDb,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    began: Began,
) -> Result<Vec<Session>, TargetError> {
    let mut connection = target.administer(node, admin).await?;
    let quiet = target.own.quiet(node).await;
    let rows = connection
        .rows("SELECT CONNECTION_ID(), ID, USER, HOST FROM information_schema.PROCESSLIST")
        .await
        .map_err(|fault| fault.at(node))?;
    let listed = rows.iter().filter_map(|row| row.get(1)?.as_deref()?.parse().ok()).collect();
    let others = quiet.others(&listed);
    connection.close().await;
    let mut sessions = Vec::new();
    for row in rows {
        let [Some(own), Some(id), Some(whose), from] = row.as_slice() else { continue };
        let (Ok(own), Ok(id)) = (own.parse::<u64>(), id.parse::<u64>()) else { continue };
        // Numbers only grow while a server runs: a smaller one than the mark means that it started since, and that every
        // session of before has ended.
        if matches!(began, Began::NoLaterThan(until) if own < until.0) {
            return Ok(Vec::new());
        }
        if others.contains(&id) && whose == user && began.holds(Mark(id)) {
            sessions.push(Session { mark: Mark(id), from: from.clone().unwrap_or_default(), since: None });
        }
    }
    Ok(sessions)
}

/// Ends the user's sessions that began no later than a mark. One that has ended meanwhile is no error.
pub(super) async fn end(
    target: &MariaDb,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    until: Mark,
) -> Result<(), TargetError> {
    for session in sessions(target, admin, node, user, Began::NoLaterThan(until)).await? {
        let mut connection = target.administer(node, admin).await?;
        let ended = connection.rows(&statement::end(session.mark.0)).await;
        connection.close().await;
        match ended {
            Ok(_) => {}
            Err(super::connection::Fault::Answered(NO_SUCH_THREAD)) => {}
            Err(fault) => return Err(fault.at(node)),
        }
    }
    Ok(())
}

/// ER_NO_SUCH_THREAD.
const NO_SUCH_THREAD: u16 = 1094;
