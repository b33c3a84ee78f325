//! Making an account accept exactly some values: what is there already is left alone, and what was done is read back.

use super::{
    connection::{Connection, Fault},
    hold,
    privilege::Privilege,
    server::MariaDb,
    statement, survey,
};
use crate::{
    material::Material,
    target::{Account, Admin, Node, TargetError},
};

/// Declares accounts at one node, over one connection. In a cluster the first node's change reaches the others, which are
/// then only read.
pub(super) async fn declare(
    target: &MariaDb,
    node: &Node,
    admin: &Admin<'_>,
    accounts: &[&Account],
    values: &[&Material],
    done: &(dyn Fn() + Send + Sync),
) -> Result<(), TargetError> {
    for account in accounts {
        speakable(node, account, values)?;
    }
    let mut connection = target.administer(node, admin).await?;
    let declared = at_node(&mut connection, node, admin, (accounts, values), done).await;
    connection.close().await;
    declared
}

async fn at_node(
    connection: &mut Connection,
    node: &Node,
    admin: &Admin<'_>,
    (accounts, values): (&[&Account], &[&Material]),
    done: &(dyn Fn() + Send + Sync),
) -> Result<(), TargetError> {
    let unable = |what: String| TargetError::Unable { node: node.name.clone(), what };
    hold::enter(connection, node, admin).await?;
    together(connection, node).await?;
    let before = survey::privileges(connection, node).await?;
    let mut changed = Vec::new();
    for account in accounts {
        let found = among(&before, node, account)?;
        let wanted = found.accepting(values).map_err(|why| why.at(&node.name, account))?;
        if found.chain != wanted {
            let sql = statement::alter_unchanged(account, &wanted, &found.mark);
            let sql = sql.map_err(|why| unable(format!("{account}: {why}")))?;
            if changed.is_empty() {
                // Once: from here on whoever takes over ends this connection first.
                hold::certain(node, admin).await?;
            }
            if let Err(fault) = connection.run(&sql).await {
                if !changed.is_empty() && matches!(fault, Fault::Silent(_)) {
                    // Whoever took over since the question has ended it; that is told, and not that the node is away.
                    hold::certain(node, admin).await?;
                }
                return Err(fault.changing(node, account));
            }
            changed.push((account, wanted));
        }
        done();
    }
    if changed.is_empty() {
        return Ok(());
    }
    let after = survey::privileges(connection, node).await?;
    for (account, wanted) in changed {
        if among(&after, node, account)?.chain != wanted {
            return Err(unable(format!(
                "{account} accepts other values than it was told to; someone else changes it too"
            )));
        }
    }
    Ok(())
}

/// In a cluster, reads what was changed elsewhere, and changes all nodes at once.
pub(super) async fn together(connection: &mut Connection, node: &Node) -> Result<(), TargetError> {
    if survey::is_clustered(connection).await.map_err(|fault| fault.at(node))? {
        for setting in ["SET SESSION wsrep_sync_wait = 1", "SET SESSION wsrep_OSU_method = 'TOI'"] {
            connection.run(setting).await.map_err(|fault| fault.at(node))?;
        }
    }
    Ok(())
}

/// An account as a node has it; `None` where it has none.
pub(super) async fn find(
    connection: &mut Connection,
    node: &Node,
    account: &Account,
) -> Result<Option<Privilege>, TargetError> {
    Ok(survey::privileges(connection, node).await?.into_iter().find(|row| row.account == *account))
}

/// An account as a node has it.
pub(super) async fn read(
    connection: &mut Connection,
    node: &Node,
    account: &Account,
) -> Result<Privilege, TargetError> {
    find(connection, node, account).await?.ok_or_else(|| missing(node, account))
}

fn among<'a>(privileges: &'a [Privilege], node: &Node, account: &Account) -> Result<&'a Privilege, TargetError> {
    privileges.iter().find(|row| row.account == *account).ok_or_else(|| missing(node, account))
}

fn missing(node: &Node, account: &Account) -> TargetError {
    TargetError::Unable { node: node.name.clone(), what: format!("there is no account {account}") }
}

/// Refuses what would lock everyone out, or what clients could not send.
pub(super) fn speakable(node: &Node, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
    let unfit = match values.len() {
        0 => Some("no value at all would lock it"),
        1 | 2 => values.iter().find_map(|value| {
            let bytes = value.expose(); // EXPOSE: looked at for what clients cannot send
            match (bytes.is_empty(), bytes.contains(&0), std::str::from_utf8(bytes).is_err()) {
                (true, _, _) => Some("an empty value would open it to all"),
                (_, true, _) => Some("clients cut a value at a NUL"),
                (_, _, true) => Some("the value is not text"),
                (false, false, false) => None,
            }
        }),
        _ => Some("clients follow two values, not more"),
    };
    match unfit {
        None => Ok(()),
        Some(why) => {
            Err(TargetError::Unable { node: node.name.clone(), what: format!("{account} is left as it is: {why}") })
        }
    }
}
