//! Making a user accept exactly some values on every node: first all nodes accept them, then replicas and sentinels log in
//! with the likeliest, and every node keeps it.

use super::{
    connection::{Connection, Fault},
    keep::{Memory, Upstream},
    sentinel,
    server::Redis,
    user::{self, User},
};
use crate::{
    material::Material,
    target::{Account, Admin, Node, TargetError},
};
use std::collections::BTreeSet;

/// Declares a user at every node.
pub(super) async fn declare(
    target: &Redis,
    admin: &Admin<'_>,
    account: &Account,
    values: &[&Material],
) -> Result<(), TargetError> {
    let left = |node: &Node, why: &str| {
        let what = format!("{account} is left as it is: {why}");
        Err(TargetError::Unable { node: node.name.clone(), what })
    };
    let unfit = unfit(account, values).or_else(|| sentinel::unfit(target, values));
    if let (Some(why), Some(node)) = (unfit, target.nodes.first()) {
        return left(node, why);
    }
    let mut opened = Vec::new();
    for node in &target.nodes {
        let mut connection = target.administer(node, admin).await?;
        let memory = Memory::of(&mut connection).await.map_err(|fault| fault.at(node))?;
        if let Some(why) = memory.refusal() {
            return left(node, why);
        }
        opened.push((node, connection, memory));
    }
    for (node, connection, _) in &mut opened {
        accept(connection, node, account, values).await?;
    }
    for (node, connection, memory) in &mut opened {
        follow(connection, *memory, account, values[0]).await.map_err(|fault| refused(fault, node, account))?;
    }
    sentinel::follow(target, admin, account, values[0]).await
}

/// One command, so that there is no instant without a value.
async fn accept(
    connection: &mut Connection,
    node: &Node,
    account: &Account,
    values: &[&Material],
) -> Result<(), TargetError> {
    let unable = |what: String| TargetError::Unable { node: node.name.clone(), what };
    let wanted: BTreeSet<String> = values.iter().map(|value| user::hash(value)).collect();
    let found = User::read(connection, &account.user).await.map_err(|fault| fault.at(node))?;
    let Some(found) = found else { return Err(unable(format!("there is no user {account}"))) };
    if found.hashes == wanted && !found.is_open() {
        return Ok(());
    }
    let words: Vec<String> = wanted.iter().map(|hash| format!("#{hash}")).collect();
    let mut command: Vec<&[u8]> = vec![b"ACL", b"SETUSER", account.user.as_bytes(), b"resetpass"];
    command.extend(words.iter().map(String::as_bytes));
    connection.ask(&command).await.map_err(|fault| refused(fault, node, account))?;
    match User::read(connection, &account.user).await.map_err(|fault| fault.at(node))? {
        Some(after) if after.hashes == wanted => Ok(()),
        Some(_) | None => {
            Err(unable(format!("{account} accepts other values than it was told to; someone else changes it too")))
        }
    }
}

/// Replicas follow, and what was told is kept.
async fn follow(connection: &mut Connection, memory: Memory, account: &Account, value: &Material) -> Result<(), Fault> {
    let upstream = Upstream::of(connection, &account.user).await?;
    if upstream.as_ref().is_some_and(|upstream| !upstream.0.matches(value)) {
        Upstream::set(connection, value).await?;
    }
    memory.keep(connection, upstream.as_ref()).await
}

fn refused(fault: Fault, node: &Node, account: &Account) -> TargetError {
    match fault {
        Fault::Answered(kind) => {
            TargetError::Unable { node: node.name.clone(), what: format!("it answers {kind} to a change of {account}") }
        }
        silent @ Fault::Silent(_) => silent.at(node),
    }
}

/// Refuses what would lock everyone out, or let everyone in.
fn unfit(account: &Account, values: &[&Material]) -> Option<&'static str> {
    match values.len() {
        _ if !account.host.is_empty() => Some("users have no host entries here"),
        0 => Some("no value at all would lock it"),
        1 | 2 if values.iter().any(|value| value.is_empty()) => Some("an empty value would open it to all"),
        1 | 2 => None,
        _ => Some("it shall accept two values at most"),
    }
}
