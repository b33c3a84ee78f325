//! Holding off whoever else would change accounts for the same rotation: a lock by name, on the connection that changes.
//!
//! `GET_LOCK` belongs to a connection and goes with it. A lock is of one node; every change is made at each node in turn,
//! so that nobody who stalls at one of them is passed over.

use super::{connection::Connection, statement};
use crate::target::{Admin, Node, TargetError};
use sha2::{Digest, Sha256};

/// Takes the lock. Who holds it stalled, and loses its connection, if the rotation is the caller's now.
pub(super) async fn enter(connection: &mut Connection, node: &Node, admin: &Admin<'_>) -> Result<(), TargetError> {
    let Some(fence) = admin.fence else { return Ok(()) };
    let lock = name(fence.holder());
    if taken(connection, node, &lock, 0).await? {
        return Ok(());
    }
    certain(node, admin).await?;
    let holder = connection.field(&statement::lock_holder(&lock)).await.map_err(|fault| fault.at(node))?;
    if let Some(holder) = holder.and_then(|id| id.parse::<u64>().ok()) {
        // It may have ended meanwhile; whether it is gone is seen by the lock.
        let _ = connection.run(&statement::end(holder)).await;
    }
    if taken(connection, node, &lock, PATIENCE).await? {
        return Ok(());
    }
    Err(TargetError::Unable {
        node: node.name.clone(),
        what: "another broker's connection that changes the same accounts does not end".to_owned(),
    })
}

/// Asks the fence, under the lock: right before a change.
pub(super) async fn certain(node: &Node, admin: &Admin<'_>) -> Result<(), TargetError> {
    match admin.fence {
        Some(fence) => fence.holds().await.map_err(|source| TargetError::Fenced { node: node.name.clone(), source }),
        None => Ok(()),
    }
}

async fn taken(connection: &mut Connection, node: &Node, lock: &str, patience: u32) -> Result<bool, TargetError> {
    let answer = connection.field(&statement::lock(lock, patience)).await.map_err(|fault| fault.at(node))?;
    Ok(answer.as_deref() == Some("1"))
}

/// A server cuts names at 64 characters, and a holder's may be longer.
fn name(holder: &str) -> String {
    format!("donjon.{}", hex::encode(&Sha256::digest(holder.as_bytes())[..16]))
}

/// For how many seconds a connection may take to end.
const PATIENCE: u32 = 10;
