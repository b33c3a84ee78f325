//! Making a user accept exactly some values on every node: first all nodes accept them, beside what they accept already;
//! then replicas and sentinels log in with the likeliest; and only then goes what else was accepted. Each node keeps what it
//! is told before the next step begins. So wherever it is cut off, nobody is left with a value that its master refuses.

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
    let wanted: BTreeSet<String> = values.iter().map(|value| user::hash(value)).collect();
    let mut too_much = Vec::new();
    for (node, connection, memory) in &mut opened {
        let accepted = accept(connection, node, account, &wanted, Others::Stay).await?;
        memory.keep(connection, None).await.map_err(|fault| refused(fault, node, account))?;
        if accepted != wanted {
            too_much.push((*node, *memory));
        }
    }
    for (node, connection, memory) in &mut opened {
        follow(connection, *memory, account, values[0]).await.map_err(|fault| refused(fault, node, account))?;
    }
    sentinel::follow(target, admin, account, values[0]).await?;
    for (node, memory) in too_much {
        // Sentinels take their time: it may be another broker's turn by now, and the server may have closed what idled.
        if let Some(fence) = admin.fence {
            let fenced = |source| TargetError::Fenced { node: node.name.clone(), source };
            fence.holds().await.map_err(fenced)?;
        }
        let mut connection = target.administer(node, admin).await?;
        accept(&mut connection, node, account, &wanted, Others::Go).await?;
        memory.keep(&mut connection, None).await.map_err(|fault| refused(fault, node, account))?;
    }
    Ok(())
}

/// What becomes of values that a user accepts beside those that are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Stay,
    Go,
}

/// One command, so that there is no instant without a value; the hashes of what is accepted then.
async fn accept(
    connection: &mut Connection,
    node: &Node,
    account: &Account,
    wanted: &BTreeSet<String>,
    others: Others,
) -> Result<BTreeSet<String>, TargetError> {
    let unable = |what: String| TargetError::Unable { node: node.name.clone(), what };
    let so = |found: &User| {
        !found.is_open()
            && match others {
                Others::Stay => found.hashes.is_superset(wanted),
                Others::Go => found.hashes == *wanted,
            }
    };
    let found = User::read(connection, &account.user).await.map_err(|fault| fault.at(node))?;
    let Some(found) = found else { return Err(unable(format!("there is no user {account}"))) };
    if so(&found) {
        return Ok(found.hashes);
    }
    let words: Vec<String> = wanted.iter().map(|hash| format!("#{hash}")).collect();
    let mut command: Vec<&[u8]> = vec![b"ACL", b"SETUSER", account.user.as_bytes()];
    if others == Others::Go {
        command.push(b"resetpass");
    }
    command.extend(words.iter().map(String::as_bytes));
    connection.ask(&command).await.map_err(|fault| refused(fault, node, account))?;
    match User::read(connection, &account.user).await.map_err(|fault| fault.at(node))? {
        Some(after) if so(&after) => Ok(after.hashes),
        Some(_) | None => {
            Err(unable(format!("{account} accepts other values than it was told to; someone else changes it too")))
        }
    }
}

/// Where replicas log in as this user, they do so with a value from now on, and it is kept.
async fn follow(connection: &mut Connection, memory: Memory, account: &Account, value: &Material) -> Result<(), Fault> {
    let Some(upstream) = Upstream::of(connection, &account.user).await? else { return Ok(()) };
    if !upstream.0.matches(value) {
        Upstream::set(connection, value).await?;
    }
    memory.keep(connection, Some(&upstream)).await
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
