//! Who is connected to a proxy: it numbers its sessions as they begin, those of its administrators among them.

use super::server::ProxySql;
use crate::target::{
    Admin, Began, Mark, Node, Session, TargetError,
    mariadb::connection::{Connection, Fault},
};

/// The number of a session that begins now.
pub(super) async fn mark(target: &ProxySql, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
    let connection = target.administer(node, admin).await?;
    let number = connection.number();
    connection.close().await;
    Ok(Mark(number.into()))
}

/// The user's sessions. Since when they are open, the proxy does not tell.
pub(super) async fn sessions(
    target: &ProxySql,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    began: Began,
) -> Result<Vec<Session>, TargetError> {
    let mut connection = target.administer(node, admin).await?;
    let own = Mark(connection.number().into());
    let told = told(&mut connection).await.map_err(|fault| fault.at(node))?;
    connection.close().await;
    let told = told.ok_or_else(|| TargetError::Unable {
        node: node.name.clone(),
        what: "it does not list idle sessions: set `mysql-session_idle_show_processlist`".to_owned(),
    })?;
    // Numbers only grow while it runs: a smaller one than the mark means that it started since.
    if matches!(began, Began::NoLaterThan(until) if own < until) {
        return Ok(Vec::new());
    }
    let open = told.into_iter().filter(|(whose, session)| whose == user && began.holds(session.mark));
    Ok(open.map(|(_, session)| session).filter(|session| session.mark != own).collect())
}

/// Ends the user's sessions that began no later than a mark.
pub(super) async fn end(
    target: &ProxySql,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    until: Mark,
) -> Result<(), TargetError> {
    let old = sessions(target, admin, node, user, Began::NoLaterThan(until)).await?;
    let mut connection = target.administer(node, admin).await?;
    for session in old {
        let killed = connection.run(&format!("KILL CONNECTION {}", session.mark.0)).await;
        killed.map_err(|fault| fault.at(node))?;
    }
    connection.close().await;
    Ok(())
}

/// Every session with its user; `None` where some are hidden.
async fn told(connection: &mut Connection) -> Result<Option<Vec<(String, Session)>>, Fault> {
    let idle = "SELECT variable_value FROM runtime_global_variables \
                WHERE variable_name = 'mysql-session_idle_show_processlist'";
    if matches!(connection.field(idle).await?.as_deref(), Some("false" | "0")) {
        return Ok(None);
    }
    let rows = connection.rows("SELECT SessionID, user, cli_host, cli_port FROM stats_mysql_processlist").await?;
    let told = rows.iter().filter_map(|row| {
        let [Some(number), Some(user), host, port] = row.as_slice() else { return None };
        let from = format!("{}:{}", host.as_deref().unwrap_or_default(), port.as_deref().unwrap_or_default());
        Some((user.clone(), Session { mark: Mark(number.parse().ok()?), from, since: None }))
    });
    Ok(Some(told.collect()))
}
